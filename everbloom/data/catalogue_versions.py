"""The versions of a catalogue in a folder: each is kept, since a run goes on with the one that it began with."""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from everbloom.data.catalog import Catalog
from everbloom.data.growing import Change, founded, grown, read_items
from everbloom.errors import DataError

_CURRENT = "current.json"


@dataclass(frozen=True)
class CatalogueVersions:
    """`FOLDER/0001/`, `0002/`, ...: saved catalogues; `current.json` names the one that holds."""

    folder: Path

    @property
    def current(self) -> Path:
        """The folder of the version that holds. Raises `DataError` if there is none."""
        try:
            told = json.loads((self.folder / _CURRENT).read_text(encoding="utf-8"))
            return self.folder / f"{int(told['version']):04d}"
        except FileNotFoundError:
            raise DataError(
                f"{self.folder}: no catalogue here; make one with: everbloom deploy catalog DEPLOYMENT update ITEMS.csv"
            ) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{self.folder / _CURRENT}: damaged ({error!r}); restore it from a backup") from None

    def update(self, items: Path, now: int) -> tuple[int, Catalog, Change]:
        """(number of the new version, its catalogue, what changed) after a table of items; the first table founds the catalogue. A table that
        changes nothing makes no version. A kill at any moment leaves the old version or the new one.
        """
        table = read_items(items)
        if not (self.folder / _CURRENT).exists():
            made, number, change = founded(table), 1, Change(len(table), 0, 0, 0)
        else:
            held = self.current
            known = Catalog.open(held)
            made, change = grown(known, table, now)
            number = int(held.name) + 1
            if made.digest() == known.digest():
                return number - 1, known, change
        self._save(made, number)
        return number, made, change

    def _save(self, catalog: Catalog, number: int) -> None:
        place, draft = self.folder / f"{number:04d}", self.folder / f".{number:04d}.draft"
        for left in (place, draft):  # what a kill left of it: nothing names it yet
            shutil.rmtree(left, ignore_errors=True)
        catalog.save(draft)
        draft.replace(place)
        told = {"version": number, "digest": catalog.digest(), "items": len(catalog)}
        fresh = self.folder / f".{_CURRENT}.new"
        with fresh.open("w", encoding="utf-8") as stream:
            json.dump(told, stream, indent=1)
            stream.flush()
            os.fsync(stream.fileno())
        fresh.replace(self.folder / _CURRENT)
