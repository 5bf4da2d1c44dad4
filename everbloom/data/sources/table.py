"""Anyone's event table: csv, tsv, any separator such as `::`, parquet or JSON lines, gzip included; the experiment file
names the columns.

Without a header a column is its position, from 0. Paths are relative to the working directory.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import pandas as pd
from pydantic import Field

from everbloom.config import BehaviourName
from everbloom.data.events import BEHAVIOURS
from everbloom.data.reading import CHUNK, delimited, json_lines, json_object, require_columns, text_lines
from everbloom.data.times import numbers, unix_seconds
from everbloom.errors import DataError
from everbloom.methods import Source

Column = Annotated[int, Field(ge=0)] | str
FileFormat = Literal["csv", "parquet", "jsonl"]
_BY_ENDING: dict[str, tuple[FileFormat, str]] = {
    ".csv": ("csv", ","),
    ".tsv": ("csv", "\t"),
    ".txt": ("csv", "\t"),
    ".dat": ("csv", "::"),
    ".parquet": ("parquet", ""),
    ".jsonl": ("jsonl", ""),
    ".json": ("jsonl", ""),
}


class TableFiles(Source):
    """One file of events and, optionally, one of items."""

    name: Literal["table"] = "table"
    path: str
    user: Column
    item: Column
    time: Column | None = None
    """Without it, the rows of a user are taken to be in order."""
    behaviour: Column | None = None
    value: Column | None = None
    text: Column | None = None
    """The words of a search."""
    time_format: str = "s"
    """`s` or `ms` since 1970, `iso`, or a strptime format such as `%d/%m/%Y %H:%M`; times without a zone are UTC."""
    default_behaviour: BehaviourName = "view"
    """Of rows that name none."""
    behaviours: dict[str, BehaviourName] = Field({})
    """Translates the file's words, for example `{ buy = "purchase" }`."""
    separator: str | None = None
    """Default by the file's ending: `,` for csv, tab for tsv and txt, `::` for dat."""
    header: bool = True
    encoding: str = "utf-8"
    items_path: str | None = None
    items_separator: str | None = None
    items_header: bool = True
    item_id: Column | None = None
    """The item table's column of ids; default: the same as `item`."""
    item_fields: tuple[str, ...] | dict[str, Column] | None = None
    """Text fields of items: columns, or field = column; default: every column that is not named elsewhere."""
    item_numbers: tuple[str, ...] | dict[str, Column] = ()
    """Numeric fields of items, likewise."""

    def locate(self, home: Path) -> list[Path]:
        """[events] or [events, items]."""
        files = [Path(given).expanduser() for given in (self.path, self.items_path) if given is not None]
        for path in files:
            if not path.is_file():
                raise DataError(f"{path}: no such file (looked in {Path.cwd()}); check data.source.path and items_path")
        return files

    def events(self, files: list[Path]) -> Iterator[pd.DataFrame]:
        """Rows in file order."""
        path = files[0]
        columns = {
            "user": self.user,
            "item": self.item,
            "time": self.time,
            "behaviour": self.behaviour,
            "value": self.value,
            "text": self.text,
        }
        wanted = {name: column for name, column in columns.items() if column is not None}
        rows = 0
        for chunk in _chunks(path, self.separator, self.header, self.encoding, list(wanted.values())):
            yield self._events(pd.DataFrame({name: chunk[column] for name, column in wanted.items()}), path, rows)
            rows += len(chunk)

    def _events(self, frame: pd.DataFrame, path: Path, rows: int) -> pd.DataFrame:
        if self.time is not None:
            frame["time"] = unix_seconds(frame["time"], self.time_format, path, rows)
        if self.value is not None:
            frame["value"] = numbers(frame["value"], self.value, path, rows)
        if self.behaviour is not None:
            frame["behaviour"] = self._translate(frame["behaviour"], path, rows)
        return frame

    def _translate(self, words: "pd.Series[str]", path: Path, rows: int) -> "pd.Series[str]":
        translation = {name: name for name in BEHAVIOURS} | self.behaviours
        codes, distinct = pd.factorize(words)
        known = [translation.get(str(word)) for word in distinct]
        if None in known:
            place = known.index(None)
            row = rows + int((codes == place).argmax()) + 1
            raise DataError(
                f"{path}: row {row}: behaviour {str(distinct[place])!r} is none of {', '.join(BEHAVIOURS)}; "
                f'translate it: data.source.behaviours = {{ "{distinct[place]}" = "..." }}'
            )
        return pd.Series([*known, None], dtype="str").iloc[codes].set_axis(words.index)

    def items(self, files: list[Path]) -> pd.DataFrame | None:
        """The item table, if there is one."""
        if self.items_path is None:
            return None
        path = files[1]
        key = self.item if self.item_id is None else self.item_id
        named_numbers = _named(self.item_numbers)
        named_fields = None if self.item_fields is None else _named(self.item_fields)
        named = None if named_fields is None else [key, *named_fields.values(), *named_numbers.values()]
        table = pd.concat(
            _chunks(path, self.items_separator, self.items_header, self.encoding, named), ignore_index=True
        )
        require_columns(path, [key, *named_numbers.values()], list(table.columns))
        if named_fields is None:
            others = [column for column in table.columns if column != key and column not in named_numbers.values()]
            named_fields = {str(column): column for column in others}
        frame = pd.DataFrame({"item": table[key]})
        for field, column in named_fields.items():
            frame[field] = table[column].map(_as_text, na_action="ignore").fillna("").astype("str")
        for field, column in named_numbers.items():
            frame[field] = numbers(table[column], column, path, 0)
        return frame


def _named(columns: tuple[str, ...] | dict[str, Column]) -> dict[str, Column]:
    return dict(columns) if isinstance(columns, dict) else {name: name for name in columns}


def _as_text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def file_format(path: Path, separator: str | None) -> tuple[FileFormat, str]:
    """(format, separator) by the file's ending; a `separator` that was given makes it delimited text. Raises
    `DataError` on an unknown ending.
    """
    if separator:
        return "csv", separator
    ending = Path(path.name.removesuffix(".gz")).suffix.lower()
    if ending not in _BY_ENDING:
        raise DataError(
            f"{path}: unknown ending {ending!r}; expected one of {', '.join(_BY_ENDING)} (or .gz of it), "
            "or give data.source.separator"
        )
    return _BY_ENDING[ending]


def head(path: Path, separator: str | None = None, header: bool = True, encoding: str = "utf-8") -> pd.DataFrame:
    """The first rows of a file, every column. Raises `DataError` if it cannot be read or is empty."""
    first = next(_chunks(path, separator, header, encoding, None), None)
    if first is None or first.empty:
        raise DataError(f"{path}: no rows")
    return first


def _chunks(
    path: Path, separator: str | None, header: bool, encoding: str, columns: "list[Column] | None"
) -> Iterator[pd.DataFrame]:
    kind, chosen = file_format(path, separator)
    if kind == "csv":
        yield from delimited(path, chosen, columns=columns, header=header, encoding=encoding)
    elif kind == "parquet":
        yield from _parquet(path, columns)
    else:
        yield from _json(path, columns)


def _json(path: Path, columns: "list[Column] | None") -> Iterator[pd.DataFrame]:
    there = _json_keys(path)
    wanted = there if columns is None else [str(column) for column in columns]
    require_columns(path, wanted, there)
    yield from json_lines(path, wanted)


def _json_keys(path: Path) -> list[str]:
    """The keys of the first lines, in order of appearance."""
    keys: dict[str, None] = {}
    for number, line in enumerate(next(iter(text_lines(path, chunk=100)), []), 1):
        keys.update(dict.fromkeys(json_object(path, number, line)))
    return list(keys)


def _parquet(path: Path, columns: "list[Column] | None") -> Iterator[pd.DataFrame]:
    try:
        import pyarrow.parquet as parquet
        from pyarrow import ArrowException
    except ImportError:
        raise DataError(f"{path}: reading parquet needs pyarrow; run: pip install 'everbloom[parquet]'") from None
    try:
        with parquet.ParquetFile(path) as file:
            there = list(file.schema_arrow.names)
            wanted = there if columns is None else [str(column) for column in columns]
            require_columns(path, wanted, there)
            for batch in file.iter_batches(batch_size=CHUNK, columns=list(dict.fromkeys(wanted))):
                yield batch.to_pandas()
    except (ArrowException, OSError) as error:
        raise DataError(f"{path}: not a readable parquet file: {str(error).splitlines()[0]}") from None
