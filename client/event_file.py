"""Events in a CSV file, as the device's API takes them."""

import csv
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from everbloom.errors import DataError


def rows_of(file: Path) -> Iterator[dict[str, Any]]:
    """Raises `DataError` at the first line that is none."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            if "item" not in (reader.fieldnames or ()):
                raise DataError(
                    f"{file}: the header names no column `item`; expected item, and any of time, behaviour, value, text, key"
                )
            for row in reader:
                yield _row(row, f"{file}:{reader.line_num}")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{file}: cannot be read as a CSV file ({error})") from None


def _row(row: dict[str, str], where: str) -> dict[str, Any]:
    given: dict[str, Any] = {name: row[name] for name in ("item", "behaviour", "text", "key") if row.get(name)}
    try:
        if row.get("value"):
            given["value"] = float(row["value"])
        if row.get("time"):
            given["time"] = _seconds(row["time"])
    except ValueError:
        raise DataError(
            f"{where}: time {row.get('time')!r}, value {row.get('value')!r}; expected seconds or an ISO date, and a number"
        ) from None
    return given


def _seconds(text: str) -> int:
    try:
        return int(float(text))
    except ValueError:
        when = datetime.fromisoformat(text)
        return int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp())
