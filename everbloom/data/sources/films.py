"""What the MovieLens sources share: titles that end in a year, and lists of genres."""

import pandas as pd

_YEAR = r"\s*\((\d{4})\)\s*$"


def split_year(titles: "pd.Series[str]") -> "tuple[pd.Series[str], pd.Series[float]]":
    """`Toy Story (1995)` -> (`Toy Story`, 1995.0); nan where a title names no year."""
    year = titles.str.extract(_YEAR, expand=False).astype("float64")
    return titles.str.replace(_YEAR, "", regex=True).str.strip(), year


def genre_text(genres: "pd.Series[str]", separator: str) -> "pd.Series[str]":
    """`Action|Drama` -> `Action, Drama`; empty where there are none."""
    named = genres.fillna("").replace("(no genres listed)", "")
    return named.str.replace(separator, ", ", regex=False)
