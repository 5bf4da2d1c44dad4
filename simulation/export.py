"""One user of a data set as a device of its own: a folder that a SuperNode can be pointed at."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from client.store import DeviceStore
from everbloom.data.events import EventLog
from everbloom.data.strings import StringColumn
from everbloom.study import Study


def export_device(study: Study, user: int, folder: Path) -> DeviceStore:
    """Writes `user` (0 to users - 1) as device number `user`: its events, the whole catalogue, an empty ledger.

    The device's noise comes from the experiment's seed, as it does in process: such a device is for simulation alone.
    Raises `DataError` if there is a device in `folder` already.
    """
    events = one_user(study.dataset.events, user)
    return DeviceStore.create(folder, user, events, study.dataset.catalog, seed=study.experiment.seed)


def introduce(devices: Iterable[DeviceStore]) -> None:
    """Lets devices know each other's identities, as an operator does before a deployment: secure aggregation rests on it."""
    devices = list(devices)
    directory = {device.open().client: device.identity for device in devices}
    for device in devices:
        device.pin(directory)


def one_user(log: EventLog, user: int) -> EventLog:
    """The log of `user` alone, who becomes user 0; items keep their numbers."""
    rows = log.rows(user)
    events = log.of(user)
    return EventLog.build(
        user=np.zeros(len(events), dtype=np.int32),
        item=events.item,
        time=events.time if log.has_time else None,
        behaviour=events.behaviour,
        value=events.value,
        user_ids=StringColumn.of([log.user_ids[user]]),
        text=None if log.text is None else [log.text[row] for row in range(rows.start, rows.stop)],
    )
