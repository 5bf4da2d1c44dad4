"""A user's device folder: the same events, and nobody else's."""

import numpy as np

from client.randomness import SeededRandomness
from everbloom.data.events import EventLog
from everbloom.data.strings import StringColumn
from simulation.export import export_device, one_user

COLUMNS = ("item", "time", "behaviour", "value")


def test_a_device_holds_its_users_events_alone(study, tmp_path):
    for user in range(study.clients):
        device = export_device(study, user, tmp_path / str(user)).open()
        assert device.client == user
        for column in COLUMNS:
            np.testing.assert_array_equal(
                getattr(device.events, column), getattr(study.dataset.events.of(user), column)
            )
        assert device.randomness == SeededRandomness(study.experiment.seed, user)
    log = EventLog.open(tmp_path / "1" / "events")
    assert list(log.user_ids) == [study.dataset.events.user_ids[1]]


def test_equal_times_keep_their_order_and_searches_their_texts():
    log = EventLog.build(
        user=np.array([0, 1, 1, 1], dtype=np.int32),
        item=np.array([5, 3, -1, 2], dtype=np.int32),
        time=np.array([9, 7, 7, 7], dtype=np.int64),
        behaviour=np.array([0, 0, 6, 0], dtype=np.uint8),
        value=np.ones(4, dtype=np.float32),
        user_ids=StringColumn.of(["a", "b"]),
        text=["", "", "lamp", ""],
        ties="reverse-file",
    )
    alone = one_user(log, 1)
    assert alone.users == 1
    assert list(alone.user_ids) == ["b"]
    assert alone.item.tolist() == [2, -1, 3]
    assert alone.text is not None
    assert list(alone.text) == ["", "lamp", ""]


def test_a_log_without_times_keeps_positions():
    log = EventLog.build(
        user=np.array([0, 1, 1], dtype=np.int32),
        item=np.array([4, 6, 5], dtype=np.int32),
        time=None,
        behaviour=np.zeros(3, dtype=np.uint8),
        value=np.ones(3, dtype=np.float32),
        user_ids=StringColumn.of(["a", "b"]),
    )
    alone = one_user(log, 1)
    assert not alone.has_time
    assert alone.item.tolist() == [6, 5]
    assert alone.time.tolist() == [0, 1]
