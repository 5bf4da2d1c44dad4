"""A ledger's file: SQLite, one writer, rows that are only ever added, on disk before a call returns.

Journal mode DELETE with synchronous EXTRA: FULL, and the directory is flushed too once the journal is gone, without which a power cut could bring the
journal back and with it the state before the last reservation.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from client.ledger_chain import Account, Entry
from everbloom.errors import PrivacyError

_WAIT = 30.0
"""Seconds to wait for another process's round to let go of the file."""

_VERSION = 1

_SCHEMA = (
    "CREATE TABLE entries (sequence INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT NOT NULL, hash TEXT NOT NULL)",
    "CREATE TRIGGER no_update BEFORE UPDATE ON entries BEGIN SELECT RAISE(ABORT, 'a ledger is only added to'); END",
    "CREATE TRIGGER no_delete BEFORE DELETE ON entries BEGIN SELECT RAISE(ABORT, 'a ledger is only added to'); END",
    # REPLACE deletes without asking the trigger above.
    "CREATE TRIGGER in_order BEFORE INSERT ON entries WHEN NEW.sequence IS NOT (SELECT COALESCE(MAX(sequence), 0) + 1 FROM entries)"
    " BEGIN SELECT RAISE(ABORT, 'a ledger is only added to'); END",
)


def create_file(path: Path, first: list[Entry]) -> None:
    """A new ledger, readable by its owner alone, with its first entries. Raises `PrivacyError` if there is a file: none is ever replaced."""
    # Under another name until it is whole: a file that is there is a ledger, also after a power cut.
    fresh = path.with_name(f"{path.name}.new")
    for left in (fresh, fresh.with_name(f"{fresh.name}-journal")):
        left.unlink(missing_ok=True)
    os.close(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    with closing(_connect(fresh)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        for statement in (*_SCHEMA, f"PRAGMA user_version = {_VERSION}"):
            connection.execute(statement)
        for entry in first:
            append(connection, entry)
        connection.execute("COMMIT")
    try:
        os.link(fresh, path)
    except FileExistsError:
        raise PrivacyError(f"{path}: there is a ledger already; it is never replaced") from None
    finally:
        fresh.unlink()
    _flush_directory(path.parent)


@contextmanager
def transaction(path: Path, write: bool) -> Iterator[tuple[sqlite3.Connection, Account]]:
    """The file's state, verified; with `write`, nobody else writes until the block ends, and what it appended is then on disk or not there at all.

    Raises `PrivacyError` if the file is missing, damaged, or held by another process for too long.
    """
    if not path.is_file():
        raise PrivacyError(
            f"{path}: the ledger is missing; refused, a ledger that was reset does not say what this device spent"
        )
    try:
        with closing(_connect(path)) as connection:
            connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")
            yield connection, _verified(connection)
            connection.execute("COMMIT")
    except sqlite3.OperationalError as error:
        busy = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY
        told = "another round holds the ledger" if busy else f"the ledger cannot be used ({error})"
        raise PrivacyError(f"{path}: {told}; refused") from error
    except sqlite3.DatabaseError as error:
        raise PrivacyError(_damaged(path, str(error))) from error
    except _Broken as error:
        raise PrivacyError(_damaged(path, str(error))) from None


def append(connection: sqlite3.Connection, entry: Entry) -> None:
    """Adds a row inside a transaction."""
    connection.execute("INSERT INTO entries VALUES (?, ?, ?)", (entry.sequence, entry.body, entry.hash))


class _Broken(Exception):
    """What does not hold."""


def _connect(path: Path) -> sqlite3.Connection:
    # mode=rw: a missing file is an error, never a new, empty ledger.
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=_WAIT, isolation_level=None)
    for setting in ("journal_mode = DELETE", "synchronous = EXTRA", "fullfsync = ON", "trusted_schema = OFF"):
        connection.execute(f"PRAGMA {setting}").fetchall()
    return connection


def _verified(connection: sqlite3.Connection) -> Account:
    """Raises `_Broken` where the file, its rules or its chain do not hold."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version != _VERSION:
        raise _Broken(f"its format is {version}, this version of everbloom reads {_VERSION}")
    (sound,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if sound != "ok":
        raise _Broken(str(sound).replace("\n", " "))
    rules = connection.execute("SELECT sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY rowid")
    if tuple(sql for (sql,) in rules) != _SCHEMA:
        raise _Broken("the rules that keep it from being changed are not as they were made")
    entries = [Entry(*row) for row in connection.execute("SELECT sequence, body, hash FROM entries ORDER BY sequence")]
    try:
        account = Account.read(entries)
    except PrivacyError as error:
        raise _Broken(str(error)) from None
    # SQLite remembers the largest number it ever gave out, so a chain that was cut short at its end shows.
    (largest,) = connection.execute("SELECT MAX(seq) FROM sqlite_sequence WHERE name = 'entries'").fetchone()
    if largest != len(entries):
        raise _Broken(f"entry {len(entries) + 1} is missing")
    return account


def _damaged(path: Path, what: str) -> str:
    return f"{path}: the ledger is damaged ({what}); refused, because what was spent is unknown"


def _flush_directory(folder: Path) -> None:
    """A new name in a directory is on disk once the directory is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
