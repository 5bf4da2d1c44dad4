"""The public catalogue's ids and texts, looked up one by one on disk: a service at rest keeps no catalogue in memory."""

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from everbloom.errors import DataError

if TYPE_CHECKING:
    from everbloom.data.catalog import Catalog


class CatalogueIndex:
    """id -> number and number -> (id, title); read only."""

    def __init__(self, path: Path) -> None:
        """Raises `DataError` if there is none."""
        if not path.is_file():
            raise DataError(
                f"{path}: this device has no catalogue; make the device with: everbloom-device init --catalog DIR"
            )
        self.path = path
        self._open = self._opened()

    def close(self) -> None:
        """Lets go of the file."""
        self._open[0].close()

    @property
    def _connection(self) -> sqlite3.Connection:
        """To the file that is there now: a new catalogue takes the place of the old one."""
        if self._open[1] != self.path.stat().st_ino:
            self.close()
            self._open = self._opened()
        return self._open[0]

    def _opened(self) -> tuple[sqlite3.Connection, int]:
        inode = self.path.stat().st_ino
        return sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False), inode

    def number(self, item_id: str) -> int | None:
        """The number of an id."""
        row = self._connection.execute("SELECT number FROM items WHERE id = ?", (item_id,)).fetchone()
        return None if row is None else int(row[0])

    def named(self, number: int) -> tuple[str, str]:
        """(id, title); the id stands in for a title that there is not."""
        row = self._connection.execute("SELECT id, title FROM items WHERE number = ?", (number,)).fetchone()
        if row is None:
            raise DataError(f"item {number}: this device's catalogue has no such number")
        return str(row[0]), str(row[1] or row[0])

    @property
    def digest(self) -> str:
        """See `Catalog.digest`."""
        return str(self._connection.execute("SELECT value FROM facts WHERE name = 'digest'").fetchone()[0])

    def __len__(self) -> int:
        return int(self._connection.execute("SELECT COUNT(*) FROM items").fetchone()[0])


def write_index(catalog: "Catalog", path: Path) -> None:
    """Writes the index of a catalogue, whole or not at all."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    titles: Iterable[str] = catalog.fields["title"] if "title" in catalog.fields else ("" for _ in catalog.item_ids)
    connection = sqlite3.connect(fresh)
    with connection:
        connection.execute(
            "CREATE TABLE items (number INTEGER PRIMARY KEY, id TEXT UNIQUE NOT NULL, title TEXT NOT NULL)"
        )
        connection.execute("CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
        rows = ((number, *row) for number, row in enumerate(zip(catalog.item_ids, titles, strict=True)))
        connection.executemany("INSERT INTO items VALUES (?, ?, ?)", rows)
        connection.execute("INSERT INTO facts VALUES ('digest', ?)", (catalog.digest(),))
    connection.close()
    fresh.replace(path)
