"""Which ledger a device's folder must hold: never a fresh one in place of one that was used."""

import json
from pathlib import Path

import pytest

from client.ledger import SqliteLedger
from client.store import DeviceStore
from everbloom.errors import DataError, PrivacyError
from everbloom.privacy.budget import Budget
from simulation.export import export_device, one_user

BUDGET = Budget("example", "adding or removing one", 4.0, 1e-5, "gdp")


@pytest.fixture
def folder(small, study_of, tmp_path) -> Path:
    export_device(study_of(small(privacy=True)), 3, tmp_path / "device")
    return tmp_path / "device"


def test_a_device_has_its_ledger_from_the_start(folder):
    device = DeviceStore(folder).open()
    assert isinstance(device.ledger, SqliteLedger)
    assert json.loads((folder / "device.json").read_text())["ledger"] == device.ledger.account().ledger
    assert device.ledger.account().reservations == ()


def test_a_device_whose_ledger_is_gone_does_not_open(folder):
    (folder / "ledger.sqlite").unlink()
    with pytest.raises(PrivacyError, match="the ledger is missing; refused, a ledger that was reset"):
        DeviceStore(folder).open()
    assert not (folder / "ledger.sqlite").exists()


def test_a_device_with_another_ledger_does_not_open(folder):
    (folder / "ledger.sqlite").unlink()
    SqliteLedger.create(folder / "ledger.sqlite")
    with pytest.raises(PrivacyError, match="refused, a ledger that was reset or swapped"):
        DeviceStore(folder).open()


def test_settings_without_a_ledger_are_of_another_version(folder):
    (folder / "device.json").write_text(json.dumps({"client": 3, "seed": None}))
    with pytest.raises(DataError, match=r"device\.json: names no ledger"):
        DeviceStore(folder).open()


def test_a_device_that_comes_back_goes_on_with_its_ledger(folder, small, study_of, make_plan):
    ledger = DeviceStore(folder).open().ledger
    ledger.reserve(make_plan(), 0, 1)
    (folder / "device.json").unlink()
    study = study_of(small(privacy=True))
    store = DeviceStore.create(folder, 3, one_user(study.dataset.events, 3), study.dataset.catalog)
    assert store.open().ledger == ledger
    assert len(ledger.account().reservations) == 1


def test_an_owners_budget_is_there_from_the_start_and_is_not_exchanged(small, study_of, tmp_path):
    study = study_of(small())
    one = (3, one_user(study.dataset.events, 3), study.dataset.catalog)
    DeviceStore.create(tmp_path / "d", *one, budget=BUDGET, period_share=0.25)
    (tmp_path / "d" / "device.json").unlink()
    for other in ({"budget": Budget("example", "adding or removing one", 8.0, 1e-5, "gdp")}, {"period_share": 1.0}):
        with pytest.raises(PrivacyError, match="there is a ledger with another budget here; it is kept"):
            DeviceStore.create(tmp_path / "d", *one, **other)
    account = DeviceStore.create(tmp_path / "d", *one, budget=BUDGET).open().ledger.account()
    assert account.budget == BUDGET
    assert account.period_share == 0.25
