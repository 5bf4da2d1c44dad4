"""MovieLens-100K: 100,000 ratings of 1,682 films by 943 users, 1997-09 to 1998-04.

Read from the official files (`u.data`, `u.item`), from RecBole's atomic files (`ml-100k.inter`, `ml-100k.item`), or
from the file that the published federated experiments use (`pfedrec_ratings.dat`), whose row order decides between
ratings of one second; it comes first where it is there.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pandas as pd

from everbloom.data.downloads import not_there
from everbloom.data.reading import delimited, find
from everbloom.data.sources.films import genre_text, split_year
from everbloom.data.times import numbers, unix_seconds
from everbloom.methods import Source

_GENRES = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama",
    "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
_FIRST_GENRE = 5
"""Column of u.item where the 0/1 columns of the genres begin."""


class MovieLens100K(Source):
    """Items have title, genres and year."""

    name: Literal["ml-100k"] = "ml-100k"

    def locate(self, home: Path) -> list[Path]:
        """[ratings, films]."""
        ratings = find(home, "pfedrec_ratings.dat", "u.data", "ml-100k.inter")
        films = find(home, "u.item", "ml-100k.item")
        if ratings is None or films is None:
            raise not_there(self.name, home, "u.data and u.item (or ml-100k.inter and ml-100k.item)")
        return [ratings, films]

    def events(self, files: list[Path]) -> Iterator[pd.DataFrame]:
        """Ratings from 1 to 5, in file order."""
        path = files[0]
        if ".inter" in path.name:
            columns: list[str | int] = ["user_id:token", "item_id:token", "rating:float", "timestamp:float"]
            chunks = delimited(path, "\t", columns=columns)
        else:
            columns = [0, 1, 2, 3]
            chunks = delimited(path, "," if path.name.startswith("pfedrec") else "\t", columns=columns, header=False)
        rows = 0
        for chunk in chunks:
            user, item, value, time = (chunk[column] for column in columns)
            yield pd.DataFrame(
                {
                    "user": user,
                    "item": item,
                    "time": unix_seconds(time, "s", path, rows),
                    "behaviour": "rate",
                    "value": numbers(value, "rating", path, rows),
                }
            )
            rows += len(chunk)

    def items(self, files: list[Path]) -> pd.DataFrame:
        """The films, in file order."""
        path = files[1]
        return _atomic_films(path) if ".item" in path.name and path.name.startswith("ml-") else _official_films(path)


def _atomic_films(path: Path) -> pd.DataFrame:
    table = pd.concat(delimited(path, "\t", quoted=False))
    return pd.DataFrame(
        {
            "item": table["item_id:token"],
            "title": table["movie_title:token_seq"].fillna(""),
            "genres": genre_text(table["class:token_seq"], " "),
            "year": pd.to_numeric(table["release_year:token"], errors="coerce"),
        }
    )


def _official_films(path: Path) -> pd.DataFrame:
    table = pd.concat(delimited(path, "|", header=False, encoding="latin-1", quoted=False))
    title, year = split_year(table[1].fillna(""))
    genres = pd.Series("", index=table.index, dtype="str")
    for place, genre in enumerate(_GENRES):
        belongs = (table[_FIRST_GENRE + place] == "1") & (genre != "unknown")
        genres = genres.mask(belongs, genres + f", {genre}")
    return pd.DataFrame({"item": table[0], "title": title, "genres": genres.str.removeprefix(", "), "year": year})
