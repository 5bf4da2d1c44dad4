"""The model a run serves is the one it was tested with last, read from a checkpoint that stays as it is."""

import numpy as np
import pytest

from everbloom.errors import CheckpointError
from server.released import released
from server.run_directory import RunDirectory

METHODS = {
    "plain": {},
    "finetune": {"continual": {"method": {"name": "finetune"}}},
    "merging": {"continual": {"method": {"name": "merging", "weights": [0.3, 0.6], "average": True}}},
    "frozen": {"continual": {"method": {"name": "frozen"}}},
    "average": {"federation": {"average": 0.7}},
    "early stop": {"federation": {"rounds": 4, "early_stop": {"patience": 1}}},
}


@pytest.mark.parametrize("method", METHODS)
def test_what_a_run_ends_with(run, small, study_of, method):
    experiment = small(**METHODS[method])
    federation = run(experiment)
    directory = federation.run_directory
    before = {path: path.read_bytes() for path in directory.path.rglob("*") if path.is_file()}
    _, parameters = released(study_of(experiment), RunDirectory.open(directory.path), lambda state: None)
    np.testing.assert_array_equal(parameters, federation.state.parameters)
    assert {path: path.read_bytes() for path in directory.path.rglob("*") if path.is_file()} == before


def test_a_run_without_a_checkpoint(run, small, study_of):
    federation = run.federation(small())
    with pytest.raises(CheckpointError, match=r"no checkpoint here yet .*everbloom run --resume"):
        released(study_of(small()), federation.run_directory, lambda state: None)
