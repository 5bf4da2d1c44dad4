"""What a stored device cannot do with what it holds, it refuses before it reads an event."""

from dataclasses import replace

import pytest

from client.store import DeviceStore
from everbloom.errors import DataError
from simulation.export import one_user

GAPS = {"user": {"gaps": True}}


def test_gaps_want_times(small, study_of, tmp_path):
    """A log that has only an order would make every gap one second."""
    study = study_of(small(model=GAPS))
    log = one_user(study.dataset.events, 3)
    stores = {
        timed: DeviceStore.create(tmp_path / str(timed), 3, replace(log, has_time=timed), study.dataset.catalog)
        for timed in (True, False)
    }
    assert stores[True].open().workbench(study.terms).layout.schema == study.layout.schema
    with pytest.raises(DataError, match=r"model\.user\.gaps: needs timestamps"):
        stores[False].open().workbench(study.terms)
    stores[False].open().workbench(study_of(small()).terms)
