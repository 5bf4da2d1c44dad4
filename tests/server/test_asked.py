"""A crash of the server undoes rounds that devices were charged for: what they were asked stays counted."""

import numpy as np
import pytest

from everbloom.errors import CheckpointError
from server.asked import AskedRecord
from server.federation import initial_state
from server.hooks import Hooks
from server.run_directory import RunDirectory


@pytest.fixture
def record(small, tmp_path) -> AskedRecord:
    return AskedRecord(RunDirectory.create(tmp_path / "run", small()))


@pytest.fixture
def state(small, study_of):
    return initial_state(study_of(small()))


def test_rounds_after_the_checkpoint_are_counted_each_time_they_were_tried(record, state):
    record.note(0, 1, [0, 1])
    record.note(0, 2, [1, 2])
    record.note(0, 2, [1, 2])
    record.note(1, 1, [3])
    np.testing.assert_array_equal(record.count(state)[:5], [1, 3, 2, 1, 0])
    state.round = 1
    np.testing.assert_array_equal(record.count(state)[:5], [0, 2, 2, 1, 0])
    state.period, state.round = 1, 0
    np.testing.assert_array_equal(record.count(state)[:5], [0, 0, 0, 1, 0])
    state.round = 1
    assert not record.count(state).any()


def test_nothing_was_asked_where_there_is_no_record_or_its_last_line_is_cut(record, state):
    assert not record.count(state).any()
    record.note(0, 1, [0])
    path = record.run.path / "asked.jsonl"
    path.write_text(path.read_text() + '{"period": 0, "round": 2, "cli')
    assert record.count(state).sum() == 1


@pytest.mark.parametrize("line", ["nonsense", '{"period": 0}', '{"period": 0, "round": 1, "clients": [999]}'])
def test_a_damaged_record_is_refused(record, state, line):
    (record.run.path / "asked.jsonl").write_text(line + "\n")
    with pytest.raises(CheckpointError, match="what devices were asked is unknown"):
        record.count(state)


def test_a_federation_notes_a_cohort_before_anybody_hears_of_it(run, small):
    asked: list[tuple[int, int, list[int]]] = []
    heard: list[int] = []

    def reply(task, true):
        heard.append(len(asked))
        return true

    federation = run.federation(small(), reply)
    federation.hooks = Hooks(asking=lambda period, round, clients: asked.append((period, round, list(clients))))
    federation.run()
    assert [(period, round) for period, round, _ in asked] == [(0, 1), (0, 2), (1, 1), (1, 2)]
    assert heard == [1] * 6 + [2] * 6 + [3] * 6 + [4] * 6
