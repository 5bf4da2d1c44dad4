"""MovieLens-1M: 1,000,209 ratings of 3,706 films by 6,040 users, 2000-04 to 2003-02.

Read from the official files (`ratings.dat`, `movies.dat`), or from a layout that holds the order only: `sequences.tsv`
(user, whether the validation item is known, films oldest first) and `items.tsv` (title, genres, director, actors,
plot). Without ratings every event has value 1.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pandas as pd

from everbloom.data.downloads import not_there
from everbloom.data.reading import CHUNK, delimited, find
from everbloom.data.sources.films import genre_text, split_year
from everbloom.data.sources.sequences import unroll
from everbloom.data.times import numbers, unix_seconds
from everbloom.methods import Source


class MovieLens1M(Source):
    """Items have title, genres and year; in the layout without timestamps also director, actors and plot."""

    name: Literal["ml-1m"] = "ml-1m"

    def locate(self, home: Path) -> list[Path]:
        """[ratings, films]; the official files come first where both layouts are there."""
        for ratings, films in (("ratings.dat", "movies.dat"), ("sequences.tsv", "items.tsv")):
            found = [path for path in (find(home, ratings), find(home, films)) if path is not None]
            if len(found) == 2:
                return found
        raise not_there(self.name, home, "ratings.dat and movies.dat")

    def events(self, files: list[Path]) -> Iterator[pd.DataFrame]:
        """Ratings from 1 to 5 in file order, or each user's films in order."""
        path = files[0]
        if path.name.startswith("sequences"):
            for chunk in delimited(path, "\t", columns=["user_id", "movie_ids_chronological"], chunk=CHUNK // 10):
                yield unroll(chunk["user_id"], chunk["movie_ids_chronological"].fillna("")).assign(behaviour="rate")
            return
        rows = 0
        for chunk in delimited(path, "::", columns=[0, 1, 2, 3], header=False, encoding="latin-1"):
            yield pd.DataFrame(
                {
                    "user": chunk[0],
                    "item": chunk[1],
                    "time": unix_seconds(chunk[3], "s", path, rows),
                    "behaviour": "rate",
                    "value": numbers(chunk[2], "rating", path, rows),
                }
            )
            rows += len(chunk)

    def items(self, files: list[Path]) -> pd.DataFrame:
        """The films, in file order."""
        path = files[1]
        if path.name.startswith("items"):
            table = pd.concat(delimited(path, "\t"), ignore_index=True)
            table = table.rename(columns={"movie_id": "item"}).drop(columns="sas_id", errors="ignore")
        else:
            table = pd.concat(delimited(path, "::", header=False, encoding="latin-1"), ignore_index=True)
            table = table.set_axis(["item", "title", "genres"], axis=1)
        texts = table.drop(columns="item").fillna("").astype("str")
        title, year = split_year(texts["title"])
        texts = texts.assign(title=title, genres=genre_text(texts["genres"], "|"), year=year)
        return pd.concat([table[["item"]], texts], axis=1)
