"""The owner's events as a log of one user, read from the private store by the processes that train and recommend."""

import sqlite3
from pathlib import Path

import numpy as np

from everbloom.data.events import NO_ITEM, EventLog
from everbloom.data.strings import StringColumn


class OwnEvents:
    """Reads and never writes; what the service has written counts at the next look."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
        self._version: int | None = None
        self._log: EventLog | None = None
        self._judged: frozenset[int] = frozenset()

    def close(self) -> None:
        """Lets go of the file; a log that was read stays."""
        self._connection.close()

    def log(self) -> EventLog:
        """All events, oldest first, those of one moment in the order of their arrival."""
        self._look()
        assert self._log is not None
        return self._log

    def judged(self) -> frozenset[int]:
        """Items that the owner gave a verdict on."""
        self._look()
        return self._judged

    def _look(self) -> None:
        (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        if version != self._version:
            rows = self._connection.execute(
                "SELECT COALESCE(item, ?), time, behaviour, value, COALESCE(text, '') FROM events ORDER BY time, id",
                (NO_ITEM,),
            ).fetchall()
            self._log = _log_of(rows)
            self._judged = frozenset(item for (item,) in self._connection.execute("SELECT item FROM feedback"))
            self._version = version


def _log_of(rows: list[tuple[int, int, int, float, str]]) -> EventLog:
    columns = list(zip(*rows, strict=True)) if rows else [()] * 5
    return EventLog.build(
        user=np.zeros(len(rows), dtype=np.int32),
        item=np.array(columns[0], dtype=np.int32),
        time=np.array(columns[1], dtype=np.int64),
        behaviour=np.array(columns[2], dtype=np.uint8),
        value=np.array(columns[3], dtype=np.float32),
        user_ids=StringColumn.of(["owner"]),
        text=list(columns[4]),
    )
