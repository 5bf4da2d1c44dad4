"""The catalogue: items with their texts and numbers. Public content; nothing here is about a user."""

import hashlib
import json
import re
import string
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from everbloom.data.strings import StringColumn, open_array
from everbloom.errors import DataError


@dataclass(frozen=True, eq=False)
class Catalog:
    """Items by dense index: `item_ids` [items], text `fields`, numeric fields in `numbers` (standardised, nan where
    unknown), `first_seen` [items].

    `first_seen` is the time of an item's first event in the log it came with. Of a catalogue that has grown, features are laid out by the first
    `founding` items (None: by all), so that those of the old ones stay what they were; `retired` [items] says which are gone (None: none is).
    """

    item_ids: StringColumn
    fields: dict[str, StringColumn]
    numbers: dict[str, NDArray[np.float32]]
    first_seen: NDArray[np.int64]
    founding: int | None = None
    retired: NDArray[np.bool_] | None = None

    @property
    def there_from(self) -> NDArray[np.int64]:
        """[items] from when on each can be wanted; the end of time for one that is retired."""
        if self.retired is None:
            return self.first_seen
        return np.where(self.retired, np.iinfo(np.int64).max, self.first_seen)

    def __len__(self) -> int:
        return len(self.item_ids)

    def texts(self, template: str, where: str = "data.text") -> list[str]:
        """[items] texts by a template such as `"{title}. {genres}, {price:.2f}"`; a number, as it was, may have a format.

        Where a field is empty, the punctuation and space that would have joined it go too. Raises `DataError` on an
        unknown field, or a format that is none or that a text field cannot have; `where` is the template's own place.
        """
        self._named(template, where)
        pieces = list(string.Formatter().parse(template))
        shown = f"{where}: {template!r}"
        columns = [self._formatted(name, form or "", shown) for _, name, form, _ in pieces if name is not None]
        ends = [before if name is None else before + _HOLE for before, name, _, _ in pieces]
        pattern = "".join(ends)
        if not columns:
            return [_tidy(pattern)] * len(self)
        return [_tidy(_filled(pattern, row)) for row in zip(*columns, strict=True)]

    def column(self, name: str, where: str = "data.text") -> StringColumn:
        """A field as it was, or the ids. Raises `DataError` if there is none; `where` is the key that names it."""
        if name != "id" and name not in self.fields:
            known = ", ".join(["id", *self.fields])
            raise DataError(f"{where}: there is no field {name!r}; this catalogue has: {known}")
        return self.item_ids if name == "id" else self.fields[name]

    def _formatted(self, name: str, form: str, where: str) -> list[str]:
        """One field of all items, formatted; what is unknown is empty."""
        texts = list(self.column(name))
        if not form:
            return texts
        if name not in self.numbers:
            raise DataError(f"{where} gives {name!r} the format {form!r}, but it is no number; leave it out")
        try:
            return [text and format(float(text), form) for text in texts]
        except ValueError as error:
            raise DataError(f"{where}: {form!r} is no format of a number ({error})") from None

    def digest(self) -> str:
        """SHA-256 over ids and text fields in the catalogue's order, in hexadecimal: equal where the same numbers mean the same items and texts."""
        names = sorted(self.fields)
        digest = hashlib.sha256(json.dumps(["id", *names]).encode())
        if self.founding is not None:
            digest.update(f"\nfounding {self.founding}".encode())
        if self.retired is not None:
            digest.update(b"\nretired " + np.packbits(self.retired).tobytes())
        for row in zip(self.item_ids, *(self.fields[name] for name in names), strict=True):
            digest.update(b"\n" + json.dumps(row, ensure_ascii=False).encode())
        return digest.hexdigest()

    def check(self, template: str) -> None:
        """Raises `DataError` if the template names a field that there is not."""
        self._named(template, "data.text")

    def _named(self, template: str, where: str) -> list[str]:
        try:
            names = [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]
        except ValueError as error:
            raise DataError(f"{where}: {template!r} is no template ({error}); a brace that stays is doubled") from None
        known = ["id", *self.fields]
        for name in names:
            if name not in known:
                raise DataError(
                    f"{where}: {template!r} names the field {name!r}; this catalogue has: {', '.join(known)}"
                )
        return names

    def save(self, folder: Path) -> None:
        """Writes the catalogue into `folder`, for `open`."""
        folder.mkdir(parents=True, exist_ok=True)
        self.item_ids.save(folder, "item_ids")
        for name, column in self.fields.items():
            column.save(folder, f"field.{name}")
        for name, values in self.numbers.items():
            np.save(folder / f"number.{name}.npy", values)
        np.save(folder / "first_seen.npy", self.first_seen)
        header = {"format": 1, "fields": list(self.fields), "numbers": list(self.numbers)}
        if self.founding is not None:
            header["founding"] = self.founding
        if self.retired is not None:
            header["retired"] = np.flatnonzero(self.retired).tolist()
        (folder / "catalog.json").write_text(json.dumps(header))

    @classmethod
    def open(cls, folder: Path) -> "Catalog":
        """Memory-maps a saved catalogue. Raises `DataError` if it is not one."""
        header_path = folder / "catalog.json"
        if not header_path.is_file():
            raise DataError(f"{folder}: no catalogue here (catalog.json is missing)")
        header = json.loads(header_path.read_text())
        item_ids = StringColumn.open(folder, "item_ids")
        retired = None
        if "retired" in header:
            retired = np.zeros(len(item_ids), dtype=np.bool_)
            retired[header["retired"]] = True
        return cls(
            item_ids=item_ids,
            fields={name: StringColumn.open(folder, f"field.{name}") for name in header["fields"]},
            numbers={name: open_array(folder / f"number.{name}.npy") for name in header["numbers"]},
            first_seen=open_array(folder / "first_seen.npy"),
            founding=header.get("founding"),
            retired=retired,
        )


_HOLE = "\0"
"""Where a field's text goes in a template."""
_UNITS = "$¢£¤¥₩₹€₽₺฿%"


def _filled(pattern: str, texts: tuple[str, ...]) -> str:
    """The template with its fields; a sign of a unit that touches an empty one goes with it."""
    first, *others = pattern.split(_HOLE)
    told = first
    for text, after in zip(texts, others, strict=True):
        told = told + text + after if text else told.rstrip(_UNITS) + after.lstrip(_UNITS)
    return told


def _tidy(text: str) -> str:
    """Collapses white space and the separators that empty fields leave behind."""
    text = re.sub(r"\s+", " ", text)
    text = re.sub(r"([.,;:|/-])(\s*[.,;:|/-])+(?=\s|$)", r"\1", text)
    return text.strip(" ,;:|/-").removeprefix(".").strip()
