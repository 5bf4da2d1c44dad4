"""Timestamps and numbers as they stand in files, to Unix seconds and floats; the first one that cannot be read is
named.
"""

from pathlib import Path

import pandas as pd

from everbloom.errors import DataError

_LATEST_SECOND = 1 << 36
"""Year 4147; a larger "second" is a millisecond or a mistake."""


def unix_seconds(texts: pd.Series, time_format: str, path: Path, rows_before: int) -> "pd.Series[int]":
    """[rows] Unix seconds (Int64, missing where empty), times without a zone taken as UTC.

    `time_format` is `s`, `ms`, `iso` or a strptime format. Raises `DataError` naming file, row (data rows count from
    1), value and what was expected.
    """
    if pd.api.types.is_datetime64_any_dtype(texts.dtype):
        return _seconds_of(texts)
    if time_format in ("s", "ms"):
        numbers = pd.to_numeric(texts, errors="coerce").astype("Float64")
        seconds = numbers if time_format == "s" else numbers / 1000
        broken = texts.notna() & (seconds.isna() | (seconds.abs() > _LATEST_SECOND))
        read = (seconds.mask(broken) // 1).astype("Int64")
    else:
        chosen = "ISO8601" if time_format == "iso" else time_format
        moments = pd.to_datetime(texts, format=chosen, errors="coerce", utc=True)
        broken = texts.notna() & moments.isna()
        read = _seconds_of(moments)
    if broken.any():
        place = int(broken.to_numpy().argmax())
        raise DataError(
            f"{path}: row {rows_before + place + 1}: time {texts.iloc[place]!r} is not {_expected(time_format)}; "
            "set time_format to what the file has"
        )
    return read


def numbers(texts: pd.Series, column: str | int, path: Path, rows_before: int) -> "pd.Series[float]":
    """[rows] floats, nan where empty. Raises `DataError` naming file, row and value."""
    values = pd.to_numeric(texts, errors="coerce").astype("float64")
    broken = texts.notna() & values.isna()
    if broken.any():
        place = int(broken.to_numpy().argmax())
        raise DataError(f"{path}: row {rows_before + place + 1}: {column} {texts.iloc[place]!r} is not a number")
    return values


def _seconds_of(moments: pd.Series) -> "pd.Series[int]":
    zoned = moments if getattr(moments.dt, "tz", None) is not None else moments.dt.tz_localize("UTC")
    whole = zoned.dt.tz_convert("UTC").dt.tz_localize(None).astype("datetime64[s]")
    seconds: pd.Series[int] = whole.astype("int64").astype("Int64").mask(moments.isna())
    return seconds


def _expected(time_format: str) -> str:
    known = {
        "s": 'a Unix time in seconds (time_format = "s")',
        "ms": 'a Unix time in milliseconds (time_format = "ms")',
        "iso": 'an ISO 8601 time like 2024-05-31T12:00:00 (time_format = "iso")',
    }
    return known.get(time_format, f"of the form {time_format!r}")
