"""What a comparison writes for other tools: NAME.csv, a row for each measurement, and NAME.json, what they come to."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from server.run_directory import RunDirectory


def write_comparison(
    folder: Path, name: str, columns: Sequence[str], rows: Iterable[Mapping[str, Any]], told: Mapping[str, Any]
) -> None:
    """Creates or replaces both files in `folder`, each whole or not at all; of the rows, these columns. Raises `ValueError` if `told` has a number
    that JSON has not."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    directory = RunDirectory(folder)
    directory.write(f"{name}.csv", stream.getvalue())
    directory.write(f"{name}.json", json.dumps(told, indent=2, allow_nan=False) + "\n")
