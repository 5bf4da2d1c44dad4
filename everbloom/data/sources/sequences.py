"""Users' sequences: one user a line, items oldest first. There are no timestamps; the order stands for time.

Two layouts are read. RecBole's: a header with typed columns, of which the `token_seq` column is the history and an
`item_id` column the item after it. Plain: a user and then the items, separated by white space or commas.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import model_validator

from everbloom.config import BehaviourName
from everbloom.data.downloads import not_there
from everbloom.data.reading import CHUNK, delimited, find, first_line, text_lines
from everbloom.errors import DataError
from everbloom.methods import Source

_LINES = CHUNK // 10
"""Lines held at a time; each is a user's whole history."""


class Sequences(Source):
    """A fetched `dataset`, or one's own files."""

    name: Literal["sequences"] = "sequences"
    dataset: str | None = None
    """A data set in this layout that `everbloom data fetch` knows, for example `amazon-games`."""
    path: str | None = None
    """Instead: one's own file, relative to the working directory; gzip is fine."""
    items_path: str | None = None
    """Its items, a tab-separated table with a header whose first column is the id; RecBole's `.item` files are such."""
    default_behaviour: BehaviourName = "view"
    encoding: str = "utf-8"

    @model_validator(mode="after")
    def _one_origin(self) -> "Sequences":
        if (self.dataset is None) == (self.path is None):
            raise ValueError("give exactly one of dataset (fetched) and path (a file)")
        if self.dataset is not None and self.items_path is not None:
            raise ValueError("items_path goes with path; a fetched dataset brings its items")
        return self

    def locate(self, home: Path) -> list[Path]:
        """[sequences] or [sequences, items]."""
        if self.path is None:
            # RecBole's split files repeat a user's history; the test file has the longest.
            events = find(home, "*.test.inter", "*.inter", "sequences.t*")
            items = find(home, "*.item", "items.tsv")
            if events is None:
                raise not_there(str(self.dataset), home, "a file of sequences (.inter)")
            return [events] if items is None else [events, items]
        files = [Path(given).expanduser() for given in (self.path, self.items_path) if given is not None]
        for path in files:
            if not path.is_file():
                raise DataError(f"{path}: no such file (looked in {Path.cwd()}); check data.source.path and items_path")
        return files

    def events(self, files: list[Path]) -> Iterator[pd.DataFrame]:
        """Each user's items in order."""
        path = files[0]
        if ":token_seq" in first_line(path, self.encoding):
            yield from self._typed(path)
            return
        for lines in text_lines(path, self.encoding, _LINES):
            cells = pd.Series(lines, dtype="str").str.strip().str.split(r"[\s,]+", n=1, expand=True, regex=True)
            if cells.shape[1] < 2:
                raise DataError(f"{path}: no line has items; expected a user and then items, oldest first, a line")
            yield unroll(cells[0], cells[1].fillna(""))

    def _typed(self, path: Path) -> Iterator[pd.DataFrame]:
        columns = first_line(path, self.encoding).split("\t")
        user = next((name for name in columns if name.startswith("user_id:")), columns[0])
        history = next(name for name in columns if name.endswith(":token_seq"))
        last = next((name for name in columns if name.startswith("item_id:")), None)
        wanted = [user, history] if last is None else [user, history, last]
        for chunk in delimited(path, "\t", columns=wanted, encoding=self.encoding, quoted=False, chunk=_LINES):
            items = chunk[history].fillna("")
            yield unroll(chunk[user], items if last is None else items + " " + chunk[last].fillna(""))

    def items(self, files: list[Path]) -> pd.DataFrame | None:
        """The item table, if there is one: every column but the id is text, `float` columns are numbers."""
        if len(files) == 1:
            return None
        table = pd.concat(delimited(files[1], "\t", encoding=self.encoding, quoted=False), ignore_index=True)
        frame = pd.DataFrame({"item": table.iloc[:, 0]})
        for column in table.columns[1:]:
            field, _, kind = str(column).partition(":")
            frame[field] = pd.to_numeric(table[column]) if kind == "float" else table[column].fillna("")
        return frame


def unroll(users: "pd.Series[str]", sequences: "pd.Series[str]") -> pd.DataFrame:
    """[events] rows of `user` and `item` from lines of items separated by white space or commas."""
    tidy = sequences.str.replace(",", " ", regex=False).str.strip().str.replace(r"\s+", " ", regex=True)
    counts = np.where(tidy.str.len() == 0, 0, tidy.str.count(" ") + 1)
    items = re.split(" ", " ".join(tidy[counts > 0]))
    return pd.DataFrame(
        {
            "user": pd.Series(np.repeat(users.to_numpy(dtype=object), counts), dtype="str"),
            "item": pd.Series(items if counts.any() else [], dtype="str"),
        }
    )
