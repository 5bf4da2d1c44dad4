"""From a source to a prepared data set: read in chunks, cleaned, indexed, saved once under its fingerprint, and
memory-mapped from then on.
"""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from everbloom.config import DataConfig
from everbloom.data.catalog import Catalog
from everbloom.data.cleaning import CleaningReport, Removed, Standardisation, clean
from everbloom.data.collecting import Collected, Columns, collect
from everbloom.data.events import BEHAVIOURS, NO_ITEM, EventLog
from everbloom.data.fingerprint import data_fingerprint
from everbloom.data.home import dataset_name, prepared_folder, raw_folder
from everbloom.data.strings import StringColumn
from everbloom.methods import Progress

VERSION = 1
"""Raised whenever the same input would be prepared differently."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """A prepared data set; `folder` holds it, `fingerprint` identifies its content."""

    events: EventLog
    catalog: Catalog
    report: CleaningReport
    folder: Path
    fingerprint: str

    @classmethod
    def open(cls, folder: Path) -> "Dataset":
        """Memory-maps a prepared data set. Raises `DataError` if it is none."""
        return cls(
            events=EventLog.open(folder / "events"),
            catalog=Catalog.open(folder / "catalog"),
            report=CleaningReport.open(folder / "report.json"),
            folder=folder,
            fingerprint=folder.name,
        )


def prepare(data: DataConfig, progress: Progress | None = None) -> Dataset:
    """The prepared data set of a configuration; the first call reads the source, later ones only open what it saved.

    Depends on the source, the cleaning and the tie order alone: text template and positives are applied later.
    `progress` gets (rows read, 0). Raises `DataError` if files are missing or wrong, or if cleaning leaves nothing.
    """
    if (alone := data.source.alone()) is not None:
        return _without_events(*alone)
    files = data.source.locate(raw_folder(dataset_name(data.source)))
    fingerprint = data_fingerprint(data, files, VERSION)
    folder = prepared_folder(fingerprint)
    if not folder.is_dir():
        with _appearing_whole(folder) as draft:
            _write(data, files, draft, progress)
    return Dataset.open(folder)


def _without_events(catalog: Catalog, people: int) -> Dataset:
    """Of so many people of whom nothing is known here."""
    nobody = EventLog.build(
        user=np.zeros(0, dtype=np.int32),
        item=np.zeros(0, dtype=np.int32),
        time=np.zeros(0, dtype=np.int64),
        behaviour=np.zeros(0, dtype=np.uint8),
        value=np.zeros(0, dtype=np.float32),
        user_ids=StringColumn.of(map(str, range(people))),
    )
    fingerprint = catalog.digest()[:16]
    return Dataset(
        nobody, catalog, CleaningReport.of_catalogue(people, len(catalog)), prepared_folder(fingerprint), fingerprint
    )


def _write(data: DataConfig, files: list[Path], folder: Path, progress: Progress | None) -> None:
    table = data.source.items(files)
    item_rows = 0 if table is None else len(table)
    if table is not None:
        table = table[table["item"].notna()].drop_duplicates("item").reset_index(drop=True)
    default_behaviour = str(getattr(data.source, "default_behaviour", BEHAVIOURS[0]))
    collected = collect(
        data.source.events(files), None if table is None else table["item"], default_behaviour, progress
    )
    columns, removed = clean(collected.columns, data.cleaning)
    columns, users, items = _densify(columns)
    log = EventLog.build(
        user=columns.user,
        item=columns.item,
        time=columns.time,
        behaviour=columns.behaviour,
        value=columns.value,
        user_ids=StringColumn.of(collected.user_ids[users]),
        text=None if columns.text is None else columns.text.tolist(),
        ties=data.tie_order,
    )
    catalog, numbers = build_catalog(table, collected.item_ids, items, log)
    log.save(folder / "events")
    catalog.save(folder / "catalog")
    described = 0 if table is None else len(table)
    _report(collected, removed, log, catalog, item_rows, described, int((items < described).sum()), numbers).save(
        folder / "report.json"
    )
    (folder / "data.json").write_text(
        json.dumps(data.model_dump(mode="json", include={"source", "cleaning", "tie_order"}), indent=1)
    )


def _densify(columns: Columns) -> tuple[Columns, NDArray[np.int64], NDArray[np.int64]]:
    """Renumbers the users and items that survive, in the order they had; (columns, kept users, kept items)."""
    users, new_user = _numbered(columns.user)
    items, new_item = _numbered(columns.item)
    dense = Columns(new_user, new_item, columns.behaviour, columns.value, columns.time, columns.text)
    return dense, users, items


def _numbered(codes: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """(which codes there are, ascending; each code's place among them, `NO_ITEM` for itself)."""
    there = np.zeros(int(codes.max(initial=NO_ITEM)) + 2, dtype=np.bool_)
    there[codes] = True
    there[NO_ITEM] = False  # the last entry
    place = np.cumsum(there, dtype=np.int32) - np.int32(1)
    place[NO_ITEM] = NO_ITEM
    return np.flatnonzero(there), place[codes]


def build_catalog(
    table: pd.DataFrame | None, item_ids: NDArray[np.object_], kept: NDArray[np.int64], log: EventLog
) -> tuple[Catalog, dict[str, Standardisation]]:
    """The catalogue of the `kept` items (positions in `item_ids`, of which the rows of `table` come first).

    A numeric field is standardised in `numbers`, and also a text field as it was, so that a template can name it.
    """
    fields: dict[str, StringColumn] = {}
    numbers: dict[str, NDArray[np.float32]] = {}
    standard: dict[str, Standardisation] = {}
    described = pd.DataFrame({"item": []}) if table is None else table
    rows = described.reindex(kept)
    for name in (str(column) for column in described.columns if column != "item"):
        column = rows[name]
        if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype):
            raw = column.to_numpy(dtype=np.float64, na_value=np.nan)
            numbers[name], standard[name] = _standardise(raw)
            fields[name] = StringColumn.of("" if np.isnan(x) else f"{x:.12g}" for x in raw.tolist())
        else:
            fields[name] = StringColumn.of(str(text) for text in column.astype(object).where(column.notna(), ""))
    first_seen = np.empty(len(kept), dtype=np.int64)
    newest_first = log.by_time[::-1]
    newest_first = newest_first[log.item[newest_first] >= 0]
    first_seen[log.item[newest_first]] = log.time[newest_first]  # of repeated indices the last, the oldest event, stays
    return Catalog(StringColumn.of(item_ids[kept]), fields, numbers, first_seen), standard


def _standardise(raw: NDArray[np.float64]) -> tuple[NDArray[np.float32], Standardisation]:
    known = raw[np.isfinite(raw)]
    mean = float(known.mean()) if len(known) else 0.0
    deviation = float(known.std()) if len(known) else 0.0
    scaled = (raw - mean) / (deviation or 1.0)  # a constant field becomes 0
    return np.where(np.isfinite(raw), scaled, np.nan).astype(np.float32), Standardisation(
        mean=mean, deviation=deviation
    )


def _report(
    collected: Collected,
    removed: Removed,
    log: EventLog,
    catalog: Catalog,
    item_rows: int,
    described: int,
    kept_described: int,
    numbers: dict[str, Standardisation],
) -> CleaningReport:
    counts = np.bincount(log.behaviour, minlength=len(BEHAVIOURS)).tolist()
    return CleaningReport(
        rows=collected.rows,
        left_out=collected.left_out,
        duplicates=removed.duplicates,
        overactive_users=removed.overactive_users,
        overactive_events=removed.overactive_events,
        rare_users=removed.rare_users,
        rare_items=removed.rare_items,
        rare_events=removed.rare_events,
        passes=removed.passes,
        item_rows=item_rows,
        duplicate_item_rows=item_rows - described,
        unused_items=described - kept_described,
        undescribed_items=len(catalog) - kept_described if item_rows else 0,
        users=log.users,
        items=len(catalog),
        events=len(log),
        behaviours={name: count for name, count in zip(BEHAVIOURS, counts, strict=True) if count},
        numbers=numbers,
    )


@contextmanager
def _appearing_whole(folder: Path) -> Iterator[Path]:
    """A draft folder that becomes `folder` in one step if the block succeeds, and vanishes if it does not."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield draft
        try:
            draft.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process was faster with the same content
                raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
