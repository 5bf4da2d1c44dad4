"""A few people of a data set as an experiment of their own: the same events in the same order, and devices whose owners allow just that."""

import numpy as np
import pytest

from client.catalogue import install
from client.service.folder import DeviceFolder
from client.service.own_events import OwnEvents
from client.service.permission import check_plan
from client.service.policy import read_policy
from client.store import stored_workbench
from everbloom.errors import ConfigError
from simulation.fleet.devices import make_devices
from simulation.fleet.people import experiment_of

KEY = "0" * 64


@pytest.fixture
def few(small, tmp_path):
    return experiment_of(small(privacy=True), 4, tmp_path / "data")


def test_people_keep_their_events_in_order(small, few, study_of):
    whole, part = study_of(small()).dataset, study_of(few).dataset
    assert part.events.users == 4
    for user in range(4):
        name = part.events.user_ids[user]
        (before,) = [one for one in range(whole.events.users) if whole.events.user_ids[one] == name]
        ours, theirs = part.events.of(user), whole.events.of(before)
        assert [part.catalog.item_ids[item] for item in ours.item] == [
            whole.catalog.item_ids[item] for item in theirs.item
        ]
        np.testing.assert_array_equal(ours.time, theirs.time)
        np.testing.assert_array_equal(ours.behaviour, theirs.behaviour)
        np.testing.assert_array_equal(ours.value, theirs.value)
    titles = dict(zip(whole.catalog.item_ids, whole.catalog.fields["title"], strict=True))
    assert all(
        titles[item] == title for item, title in zip(part.catalog.item_ids, part.catalog.fields["title"], strict=True)
    )


def test_everybody_is_asked(few):
    assert few.federation.cohort_size(4) == 4


def test_more_people_than_there_are_is_one_line(small, tmp_path):
    with pytest.raises(ConfigError, match=r"--devices 21: the experiment's data set has 20 users"):
        experiment_of(small(), 21, tmp_path / "data")


def test_devices_hold_one_person_each_and_allow_the_experiment(few, study_of, tmp_path):
    study = study_of(few)
    devices = make_devices(study, tmp_path / "devices", KEY, seeded=False)
    for user, device in enumerate(devices):
        assert device.settings["client"] == user
        assert device.settings["seed"] is None, "noise of its own"
        log, expected = OwnEvents(device.store).log(), study.dataset.events.of(user)
        np.testing.assert_array_equal(log.item, expected.item)
        np.testing.assert_array_equal(log.time, expected.time)
        np.testing.assert_array_equal(log.value, expected.value)
        policy = read_policy(device.policy)
        assert policy.servers[0].key == KEY
        assert policy.servers[0].model_schema == study.layout.schema
        install(device, study.dataset.catalog, None)
        check_plan(policy, stored_workbench(device.path, study.terms.model_dump_json()).plan)


def test_devices_of_a_comparison_take_their_noise_from_the_seed(few, study_of, tmp_path):
    (first, *_) = make_devices(study_of(few), tmp_path / "devices", KEY, seeded=True)
    assert DeviceFolder(first.path).settings["seed"] == few.seed


def test_an_experiment_without_privacy_has_no_devices(small, study_of, tmp_path):
    study = study_of(experiment_of(small(), 4, tmp_path / "data"))
    with pytest.raises(ConfigError, match="set \\[privacy\\]"):
        make_devices(study, tmp_path / "devices", KEY, seeded=False)
