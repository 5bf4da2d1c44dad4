"""Reading text files in chunks, with every failure told as one line: which file, which row, what was expected."""

import codecs
import gzip
import json
import re
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from everbloom.errors import DataError

CHUNK = 500_000
"""Rows held at a time."""


@contextmanager
def telling(path: Path, encoding: str = "utf-8") -> Iterator[None]:
    """Turns what pandas and the file system raise about `path` into a `DataError`."""
    try:
        yield
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error) or "it ends too early"
        raise DataError(f"{path}: cannot be read: {reason}") from None
    except UnicodeDecodeError:
        raise DataError(f"{path}: not {encoding} text; give the right encoding, for example latin-1") from None
    except pd.errors.EmptyDataError:
        raise DataError(f"{path}: empty; expected a header line or rows") from None
    except pd.errors.ParserError as error:
        told = str(error).strip().splitlines()[-1].removeprefix("Error tokenizing data. C error: ")
        raise DataError(f"{path}: {told}; are separator and quoting right?") from None


def first_line(path: Path, encoding: str = "utf-8") -> str:
    """The first line of a text file (gzip if it ends so), without its line break."""
    with telling(path, encoding):
        if path.suffix == ".gz":
            with gzip.open(path, "rt", encoding=encoding) as file:
                return file.readline().rstrip("\r\n")
        with path.open(encoding=encoding) as file:
            return file.readline().rstrip("\r\n")


def delimited(
    path: Path,
    separator: str,
    *,
    columns: Sequence[str | int] | None = None,
    header: bool = True,
    encoding: str = "utf-8",
    quoted: bool = True,
    chunk: int = CHUNK,
) -> Iterator[pd.DataFrame]:
    """Chunks of a delimited file, every value a string (nan where empty), with only the `columns` asked for (None:
    all).

    Without a header the columns are 0, 1, ... A separator of several characters is taken literally, without quoting.
    Raises `DataError` naming the columns there are if one is missing.
    """
    names = column_names(path, separator, header=header, encoding=encoding)
    wanted: list[str | int] = [*names] if columns is None else list(dict.fromkeys(columns))
    require_columns(path, wanted, names)
    frames = _split_lines if len(separator) > 1 else _read_csv
    with telling(path, encoding):
        for frame in frames(path, separator, names, header, encoding, quoted, chunk):
            yield frame[wanted]


def column_names(path: Path, separator: str, *, header: bool = True, encoding: str = "utf-8") -> list[str] | list[int]:
    """The columns of a delimited file."""
    line = first_line(path, encoding).removeprefix("\ufeff")
    if not line:
        raise DataError(f"{path}: empty; expected a header line or rows")
    if len(separator) > 1:
        cells = line.split(separator)
    else:
        with telling(path, encoding):
            read = pd.read_csv(path, sep=separator, header=None, nrows=1, dtype=str, encoding=encoding, na_filter=False)
        cells = [str(cell).removeprefix("\ufeff") for cell in read.iloc[0]]
    return cells if header else list(range(len(cells)))


def require_columns(path: Path, wanted: Sequence[str | int], names: Sequence[str | int]) -> None:
    """Raises `DataError` about the first wanted column that is missing."""
    for column in wanted:
        if column not in names:
            there = ", ".join(map(str, names))
            hint = "" if isinstance(column, str) else " (positions count from 0; with a header, columns have names)"
            raise DataError(f"{path}: no column {column!r}; the columns are: {there}{hint}")


def _read_csv(
    path: Path, separator: str, names: list[Any], header: bool, encoding: str, quoted: bool, chunk: int
) -> Iterator[pd.DataFrame]:
    with pd.read_csv(
        path,
        sep=separator,
        names=names,
        header=0 if header else None,
        dtype=str,
        encoding=encoding,
        keep_default_na=False,
        na_values=[""],
        quoting=0 if quoted else 3,
        index_col=False,
        chunksize=chunk,
    ) as reader:
        while True:
            with warnings.catch_warnings():
                # pandas cuts rows that are too long, with a warning; that would shift or lose values
                warnings.simplefilter("error", pd.errors.ParserWarning)
                try:
                    frame = next(reader)
                except StopIteration:
                    return
                except pd.errors.ParserWarning:
                    raise DataError(
                        f"{path}: rows have more values than the {len(names)} of the first line; "
                        "are separator, header and quoting right?"
                    ) from None
            yield frame


def _split_lines(
    path: Path, separator: str, names: list[Any], header: bool, encoding: str, quoted: bool, chunk: int
) -> Iterator[pd.DataFrame]:
    start = 1 if header else 0
    for lines in text_lines(path, encoding, chunk, skip=start):
        cells = pd.Series(lines, dtype=object).str.split(re.escape(separator), expand=True, regex=True)
        if cells.shape[1] != len(names):
            raise DataError(
                f"{path}: a row has {cells.shape[1]} values, the first line {len(names)}; "
                f"is the separator {separator!r}?"
            )
        cells.columns = pd.Index(names)
        yield cells.astype("str").replace("", None)


def encoding_of(path: Path) -> str:
    """`utf-8` if the whole file is, else `latin-1`, which anything is."""
    decode = codecs.getincrementaldecoder("utf-8")().decode
    with telling(path), gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        try:
            while block := file.read(1 << 20):
                decode(block)
        except UnicodeDecodeError:
            return "latin-1"
    return "utf-8"


def text_lines(path: Path, encoding: str = "utf-8", chunk: int = CHUNK, skip: int = 0) -> Iterator[list[str]]:
    """Lists of at most `chunk` lines, without line breaks and empty lines."""
    with telling(path, encoding), _open(path, encoding) as file:
        lines: list[str] = []
        for number, line in enumerate(file):
            if number >= skip and (stripped := line.rstrip("\r\n")):
                lines.append(stripped)
            if len(lines) == chunk:
                yield lines
                lines = []
        if lines:
            yield lines


def json_lines(path: Path, keys: Sequence[str], chunk: int = CHUNK) -> Iterator[pd.DataFrame]:
    """Chunks of a file with one JSON object a line; only `keys`, None where an object lacks one; the index is the line
    number from 1.
    """
    read = 0
    for lines in text_lines(path, "utf-8", chunk):
        rows = [json_object(path, read + number, line) for number, line in enumerate(lines, 1)]
        index = range(read + 1, read + len(lines) + 1)
        read += len(lines)
        yield pd.DataFrame({key: pd.Series([row.get(key) for row in rows], dtype=object, index=index) for key in keys})


def json_object(path: Path, number: int, line: str) -> dict[str, Any]:
    """The object on line `number` of a file. Raises `DataError` if the line is none."""
    try:
        row = json.loads(line)
    except ValueError as error:
        raise DataError(f"{path}: row {number} is no JSON object: {error}") from None
    if not isinstance(row, dict):
        raise DataError(f"{path}: row {number} is no JSON object but {line[:40]!r}")
    return row


def _open(path: Path, encoding: str) -> Any:
    return gzip.open(path, "rt", encoding=encoding) if path.suffix == ".gz" else path.open(encoding=encoding)


def find(folder: Path, *patterns: str) -> Path | None:
    """The first file in `folder` that fits the first possible pattern; each is tried with `.gz` as well."""
    for pattern in patterns:
        found = sorted(path for ending in ("", ".gz") for path in folder.glob(pattern + ending) if path.is_file())
        if found:
            return found[0]
    return None
