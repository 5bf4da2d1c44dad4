"""What a device knows of its owner: events, feedback, messages answered, settings. SQLite, one writer, gone without a trace when deleted.

WAL with synchronous FULL: what a call wrote is on disk when it returns. `secure_delete` overwrites what is deleted; `forget` empties the file and its
log as well.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from everbloom.errors import DataError, InputError

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        # Events in the columns of everbloom's event log; `item` is the catalogue's number, NULL for a search.
        "CREATE TABLE events (id INTEGER PRIMARY KEY, item INTEGER, time INTEGER NOT NULL, behaviour INTEGER NOT NULL,"
        " value REAL NOT NULL, text TEXT, key TEXT UNIQUE) STRICT",
        "CREATE INDEX events_in_order ON events (time, id)",
        "CREATE TABLE feedback (item INTEGER PRIMARY KEY, verdict TEXT NOT NULL, event INTEGER, time INTEGER NOT NULL) STRICT",
        "CREATE TABLE messages (message TEXT PRIMARY KEY, digest BLOB NOT NULL, reply BLOB, state TEXT NOT NULL) STRICT",
        "CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT",
    ),
)
"""What takes a store from each version to the next; its version is how many of these it has been through."""

Verdict = Literal["like", "not-for-me", "seen"]
DAY = 86400
KEPT_REPLIES = 20
ALL = -1
"""SQLite's LIMIT for all."""


class DiskFull(InputError):
    """There is no room for what was to be written; nothing of it was."""


@dataclass(frozen=True)
class Event:
    """One row. `id` is the store's; `item` the catalogue's number or None; `time` seconds since 1970; `key` the application's own id, if any."""

    item: int | None
    time: int | None
    behaviour: int
    value: float = 1.0
    text: str | None = None
    key: str | None = None
    id: int = 0


@dataclass(frozen=True)
class AnsweredMessage:
    """`reply` None: it was forgotten with the data it came from. `released`: the ledger says that it was about to be sent."""

    digest: bytes
    reply: bytes | None
    released: bool


class PrivateStore:
    """Open until `close`; the process that has it open is the only one that writes."""

    def __init__(self, path: Path, migrations: tuple[tuple[str, ...], ...] = MIGRATIONS) -> None:
        """Opens the store, makes it if there is none, and takes an older one to this version: all of a step or nothing.

        Raises `DataError` if the file is damaged or of a later version.
        """
        self.path = path
        if not path.exists():
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            # The pragmas that a file keeps come before its first table.
            for setting in (
                "journal_mode = WAL",
                "synchronous = FULL",
                "fullfsync = ON",
                "secure_delete = ON",
                "trusted_schema = OFF",
                "temp_store = MEMORY",
            ):
                self._connection.execute(f"PRAGMA {setting}").fetchall()
            self._migrate(migrations)
        except sqlite3.DatabaseError as error:
            self._connection.close()
            raise _told(path, error) from error
        except DataError:
            self._connection.close()
            raise

    def close(self) -> None:
        """Nothing is lost if this is never called."""
        self._connection.close()

    def add(self, events: Iterable[Event], now: int) -> int:
        """Adds events, all or none, and returns how many are new: one with a `key` that is there already is not.

        An event without a time gets `now`, or that of the last event if the clock was put back since. Events that the clock once put more than a day
        into what is now the future are set to now.
        """
        with self._writing() as connection:
            connection.execute("UPDATE events SET time = ? WHERE time > ?", (now, now + DAY))
            (last,) = connection.execute("SELECT COALESCE(MAX(time), 0) FROM events").fetchone()
            rows = [
                (
                    one.item,
                    max(now, last) if one.time is None else one.time,
                    one.behaviour,
                    one.value,
                    one.text,
                    one.key,
                )
                for one in events
            ]
            before = connection.total_changes
            connection.executemany(
                "INSERT OR IGNORE INTO events (item, time, behaviour, value, text, key) VALUES (?, ?, ?, ?, ?, ?)", rows
            )
            return connection.total_changes - before

    def events(self, most: int | None = None) -> list[Event]:
        """The last `most` events (None: all), oldest first."""
        return list(reversed(self.page(ALL if most is None else most)))

    def page(self, most: int, before: tuple[int, int] | None = None) -> list[Event]:
        """The latest events before one at (time, id), latest first."""
        time, number = before or (1 << 62, 1 << 62)
        rows = self._read(
            "SELECT item, time, behaviour, value, text, key, id FROM events WHERE (time, id) < (?, ?) ORDER BY time DESC, id DESC LIMIT ?",
            (time, number, most),
        )
        return [Event(*row) for row in rows]

    def count(self) -> int:
        """Number of events."""
        return int(self._read("SELECT COUNT(*) FROM events")[0][0])

    def remove_event(self, number: int) -> bool:
        """Deletes one event and the feedback that it came from; whether it was there."""
        with self._writing() as connection:
            connection.execute("DELETE FROM feedback WHERE event = ?", (number,))
            found = connection.execute("DELETE FROM events WHERE id = ?", (number,)).rowcount > 0
        self._scrub_log()
        return found

    def judge(self, item: int, verdict: Verdict, event: Event | None, now: int) -> None:
        """Keeps the owner's latest verdict on an item and the event that it stands for, in place of an earlier one and its event."""
        with self._writing() as connection:
            for (earlier,) in connection.execute("SELECT event FROM feedback WHERE item = ?", (item,)).fetchall():
                connection.execute("DELETE FROM events WHERE id = ?", (earlier,))
            number = None
            if event is not None:
                (last,) = connection.execute("SELECT COALESCE(MAX(time), 0) FROM events").fetchone()
                number = connection.execute(
                    "INSERT INTO events (item, time, behaviour, value) VALUES (?, ?, ?, ?)",
                    (event.item, max(now, min(last, now + DAY)), event.behaviour, event.value),
                ).lastrowid
            connection.execute("REPLACE INTO feedback VALUES (?, ?, ?, ?)", (item, verdict, number, now))

    def unjudge(self, item: int) -> bool:
        """Takes the verdict on an item back, and the event that it stands for; whether there was one."""
        with self._writing() as connection:
            rows = connection.execute("SELECT event FROM feedback WHERE item = ?", (item,)).fetchall()
            connection.executemany("DELETE FROM events WHERE id = ?", rows)
            connection.execute("DELETE FROM feedback WHERE item = ?", (item,))
        self._scrub_log()
        return bool(rows)

    def verdicts(self) -> list[tuple[int, str, int]]:
        """(item, verdict, time) of all feedback, oldest first."""
        return [tuple(row) for row in self._read("SELECT item, verdict, time FROM feedback ORDER BY time, item")]

    def answered(self, message: str) -> AnsweredMessage | None:
        """What this message was answered, if it was."""
        rows = self._read("SELECT digest, reply, state FROM messages WHERE message = ?", (message,))
        return AnsweredMessage(rows[0][0], rows[0][1], rows[0][2] == "released") if rows else None

    def keep_answer(self, message: str, digest: bytes, reply: bytes, kept: int = KEPT_REPLIES) -> None:
        """On disk before it is sent. The replies of all but the last `kept` messages are let go; that they were answered is remembered."""
        with self._writing() as connection:
            connection.execute("INSERT INTO messages VALUES (?, ?, ?, 'kept')", (message, digest, reply))
            connection.execute(
                "UPDATE messages SET reply = NULL WHERE reply IS NOT NULL AND state = 'released' AND rowid <="
                " (SELECT MAX(rowid) FROM messages) - ?",
                (kept,),
            )

    def release_answer(self, message: str) -> None:
        """The ledger has it: it may be sent."""
        with self._writing() as connection:
            connection.execute("UPDATE messages SET state = 'released' WHERE message = ?", (message,))

    def setting(self, name: str) -> str | None:
        """A setting's value."""
        rows = self._read("SELECT value FROM settings WHERE name = ?", (name,))
        return str(rows[0][0]) if rows else None

    def set(self, values: Mapping[str, str]) -> None:
        """Keeps settings."""
        with self._writing() as connection:
            connection.executemany("REPLACE INTO settings VALUES (?, ?)", list(values.items()))

    def forget(self) -> int:
        """Deletes every event, verdict and reply, and every trace of them in the store's files; returns how many events there were.

        What remains: settings, and which messages were answered, without the answers, so that none is answered (and charged to nobody) again.
        """
        events = self.count()
        with self._writing() as connection:
            connection.execute("DELETE FROM events")
            connection.execute("DELETE FROM feedback")
            connection.execute("UPDATE messages SET reply = NULL")
        self._scrub_log()
        with self._told():
            self._connection.execute("VACUUM")
        self._scrub_log()
        return events

    def _scrub_log(self) -> None:
        """Moves the write-ahead log into the file and cuts it to nothing: deleted rows may still stand in it."""
        with self._told():
            busy, _, _ = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise DataError(
                f"{self.path}: another process reads this store, so what was deleted may still be in its log; close it and repeat"
            )

    def _migrate(self, migrations: tuple[tuple[str, ...], ...]) -> None:
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version > len(migrations):
            raise DataError(
                f"{self.path}: its format is {version}, this version of everbloom reads up to {len(migrations)}; install the later one"
            )
        for number in range(version, len(migrations)):
            with self._writing() as connection:
                for statement in migrations[number]:
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {number + 1}")

    def _read(self, statement: str, values: tuple[Any, ...] = ()) -> list[Any]:
        with self._told():
            return self._connection.execute(statement, values).fetchall()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all of it is on disk when the block ends, or nothing."""
        with self._told():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise _told(self.path, error) from error


def _told(path: Path, error: sqlite3.DatabaseError) -> InputError:
    """SQLite's complaint as one line that says what to do."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
        return DiskFull(f"{path}: nothing can be written ({error}); nothing was changed, make room and repeat")
    if code == sqlite3.SQLITE_BUSY:
        return DataError(f"{path}: another process is writing this store; end it first")
    return DataError(
        f"{path}: the store is damaged ({error}); restore it from a backup, or `everbloom-device forget` and begin anew"
    )
