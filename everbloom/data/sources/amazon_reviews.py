"""Amazon reviews as JSON lines, of the 2018 edition (Ni, Li and McAuley, 2019) or the 2023 one (Hou et al., 2024), with
the metadata of the products.

The edition shows in the keys: `reviewerID`, `asin`, `overall`, `unixReviewTime`, or `user_id`, `parent_asin`, `rating`,
`timestamp` in milliseconds.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import pandas as pd
from pydantic import Field, model_validator

from everbloom.data.downloads import AMAZON, not_there
from everbloom.data.reading import find, json_lines, text_lines
from everbloom.data.times import numbers, unix_seconds
from everbloom.errors import DataError
from everbloom.methods import Source

_CHUNK = 100_000
"""Objects held at a time; a review can be long."""


@dataclass(frozen=True)
class _Edition:
    user: str
    item: str
    rating: str
    time: str
    time_format: str
    brand: str
    categories: str

    @property
    def event_keys(self) -> list[str]:
        return [self.user, self.item, self.time, self.rating]


_EDITIONS = (
    _Edition("user_id", "parent_asin", "rating", "timestamp", "ms", "store", "categories"),
    _Edition("reviewerID", "asin", "overall", "unixReviewTime", "s", "brand", "category"),
)


class AmazonReviews(Source):
    """One category. Items have title, brand, category and price."""

    name: Literal["amazon-reviews"] = "amazon-reviews"
    category: Annotated[str, Field(pattern=r"^\w+$")] | None = None
    """A category as `everbloom data fetch amazon-reviews/CATEGORY` fetched it, for example `Video_Games`."""
    path: str | None = None
    """Instead: one's own file of reviews, relative to the working directory."""
    items_path: str | None = None
    """Its metadata file."""

    @model_validator(mode="after")
    def _one_origin(self) -> "AmazonReviews":
        if (self.category is None) == (self.path is None):
            raise ValueError("give exactly one of category (fetched) and path (a file)")
        if self.category is not None and self.items_path is not None:
            raise ValueError("items_path goes with path; a fetched category brings its metadata")
        return self

    @property
    def dataset(self) -> str:
        """The name it is fetched under."""
        return f"{AMAZON}/{self.category}" if self.category else self.name

    def locate(self, home: Path) -> list[Path]:
        """[reviews] or [reviews, metadata]."""
        if self.path is None:
            reviews = find(home, "[!m]*.json*", "m[!e]*.json*")
            metadata = find(home, "meta_*.json*")
            if reviews is None:
                raise not_there(self.dataset, home, "a .jsonl or .json file of reviews")
            return [reviews] if metadata is None else [reviews, metadata]
        files = [Path(given).expanduser() for given in (self.path, self.items_path) if given is not None]
        for path in files:
            if not path.is_file():
                raise DataError(f"{path}: no such file (looked in {Path.cwd()}); check data.source.path and items_path")
        return files

    def events(self, files: list[Path]) -> Iterator[pd.DataFrame]:
        """Reviews in file order; the value is the stars, 1 to 5."""
        path = files[0]
        edition = _edition(path, *(edition.event_keys for edition in _EDITIONS))
        rows = 0
        for chunk in json_lines(path, edition.event_keys, _CHUNK):
            yield pd.DataFrame(
                {
                    "user": chunk[edition.user].astype("str"),
                    "item": chunk[edition.item].astype("str"),
                    "time": unix_seconds(chunk[edition.time], edition.time_format, path, rows),
                    "behaviour": "rate",
                    "value": numbers(chunk[edition.rating], edition.rating, path, rows),
                }
            )
            rows += len(chunk)

    def items(self, files: list[Path]) -> pd.DataFrame | None:
        """Products in file order, if there is metadata."""
        if len(files) == 1:
            return None
        path = files[1]
        edition = _edition(path, *([edition.item] for edition in _EDITIONS))
        keys = [edition.item, "title", edition.brand, edition.categories, "main_category", "price"]
        frames = [_describe(chunk, edition) for chunk in json_lines(path, keys, _CHUNK)]
        return pd.concat(frames, ignore_index=True)


def _edition(path: Path, newer: list[str], older: list[str]) -> _Edition:
    """The edition whose keys the first object of a file has."""
    line = next(iter(text_lines(path, chunk=1)), [""])[0]
    for edition, keys in zip(_EDITIONS, (newer, older), strict=True):
        if all(f'"{key}"' in line for key in keys):
            return edition
    raise DataError(
        f"{path}: row 1 has neither the keys of the 2023 edition ({', '.join(newer)}) nor of 2018 ({', '.join(older)})"
    )


def _describe(chunk: pd.DataFrame, edition: _Edition) -> pd.DataFrame:
    categories = chunk[edition.categories].map(_joined).astype("str")
    return pd.DataFrame(
        {
            "item": chunk[edition.item].astype("str"),
            "title": chunk["title"].fillna("").astype("str"),
            "brand": chunk[edition.brand].fillna("").astype("str"),
            "category": categories.where(categories != "", chunk["main_category"].fillna("").astype("str")),
            "price": pd.to_numeric(
                chunk["price"].astype("str").str.extract(r"^\$?([\d,]*\.?\d+)$", expand=False).str.replace(",", ""),
                errors="coerce",
            ),
        }
    )


def _joined(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(str(part) for part in value)
    return value if isinstance(value, str) else ""
