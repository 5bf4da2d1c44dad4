"""A catalogue that changes: new items come behind those that are there, and what is gone keeps its number, since events are kept by number."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from everbloom.data.catalog import Catalog
from everbloom.data.strings import StringColumn
from everbloom.errors import DataError

ITEM = "item"


@dataclass(frozen=True)
class Change:
    """What an update did: items that came, were retired and came back, and how many known ones are told otherwise, which stay as they were."""

    added: int
    retired: int
    back: int
    kept: int


def read_items(path: Path) -> pd.DataFrame:
    """A table with the column `item` (the id); the others are fields, as texts. Raises `DataError` on anything else."""
    if not path.is_file():
        raise DataError(f"{path}: no such file; expected a table of items with the column {ITEM!r}")
    separator = "\t" if path.suffix in (".tsv", ".txt") else ","
    try:
        table = pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False, encoding="utf-8")
    except (ValueError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: no table that can be read: {error}") from None
    if ITEM not in table:
        raise DataError(f"{path}: no column {ITEM!r}; found: {', '.join(map(str, table.columns)) or 'nothing'}")
    names = [str(name) for name in table.columns]
    if wrong := [name for name in names if not name.isidentifier()]:
        raise DataError(f"{path}: column {wrong[0]!r} is no name of letters, digits and _; rename it")
    if (table[ITEM] == "").any() or table[ITEM].duplicated().any() or not len(table):
        raise DataError(f"{path}: expected items, each with an id and once; found an empty or a repeated one, or none")
    return table


def founded(table: pd.DataFrame) -> Catalog:
    """The first catalogue: in the table's order, there from the beginning."""
    fields = {str(name): StringColumn.of(table[name]) for name in table.columns if name != ITEM}
    return Catalog(StringColumn.of(table[ITEM]), fields, {}, np.zeros(len(table), dtype=np.int64), len(table))


def grown(catalog: Catalog, table: pd.DataFrame, now: int) -> tuple[Catalog, Change]:
    """`catalog` with the table's new items, first seen at `now`, and without those that the table no longer has. Known items stay as they were: their
    features are what the model has learnt from, and an item that has become another one needs another id.

    Raises `DataError` if the table has other columns.
    """
    fields = {str(name) for name in table.columns} - {ITEM}
    if fields != set(catalog.fields) or catalog.numbers:
        raise DataError(
            f"the table has the fields {', '.join(sorted(fields)) or '(none)'}, the catalogue {', '.join(sorted(catalog.fields)) or '(none)'}; "
            "they must be the same"
        )
    place = {one: number for number, one in enumerate(catalog.item_ids)}
    known = table[ITEM].isin(place)
    new = table[~known]
    there = np.zeros(len(catalog), dtype=np.bool_)
    numbers = np.array([place[one] for one in table[ITEM][known]], dtype=np.int64)
    there[numbers] = True
    before = np.zeros(len(catalog), dtype=np.bool_) if catalog.retired is None else catalog.retired
    retired = np.concatenate([~there, np.zeros(len(new), dtype=np.bool_)])
    made = Catalog(
        StringColumn.of([*catalog.item_ids, *new[ITEM]]),
        {name: StringColumn.of([*column, *new[name]]) for name, column in catalog.fields.items()},
        {},
        np.concatenate([catalog.first_seen, np.full(len(new), now, dtype=np.int64)]),
        len(catalog) if catalog.founding is None else catalog.founding,
        retired if retired.any() else None,
    )
    change = Change(
        len(new),
        int((~there & ~before).sum()),
        int((there & before).sum()),
        _differing(catalog, table[known], numbers),
    )
    return made, change


def _differing(catalog: Catalog, table: pd.DataFrame, numbers: NDArray[np.int64]) -> int:
    differs = np.zeros(len(table), dtype=np.bool_)
    for name, column in catalog.fields.items():
        told = table[name].tolist()
        differs |= np.array(
            [column[number] != text for number, text in zip(numbers.tolist(), told, strict=True)], dtype=np.bool_
        )
    return int(differs.sum())
