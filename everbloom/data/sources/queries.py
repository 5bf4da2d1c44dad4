"""Searches of synthetic users: before some of their events they look for what they are about to choose, in words of its title."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

_WORDS = 2
"""Of a title, in its order."""


def with_searches(
    frame: pd.DataFrame, share: float, titles: NDArray[np.object_], draw: np.random.Generator
) -> pd.DataFrame:
    """`frame` (events by user and time, with `text` where there are searches already) with a search right before each event of an item, with
    probability `share`, at the same time and for words of its title (`titles` [items])."""
    of_item = frame["item"].notna().to_numpy()
    first = np.flatnonzero(of_item & (draw.random(len(frame)) < share))
    item = frame["item"].iloc[first].astype(np.int64).to_numpy()
    texts = [_some(str(titles[one]).split(), draw) for one in item]
    row = np.sort(np.concatenate([np.arange(len(frame)), first]))
    added = np.concatenate(([False], row[1:] == row[:-1]))
    search = np.zeros(len(row), dtype=np.bool_)
    search[np.flatnonzero(added) - 1] = True  # the first of the two
    told = frame.iloc[row].reset_index(drop=True)
    names = pd.Index([*frame["behaviour"].cat.categories, "search"]).unique()
    told["behaviour"] = told["behaviour"].cat.set_categories(names)
    told.loc[search, "behaviour"] = "search"
    if "value" in told:
        told.loc[search, "value"] = 1.0
    told["text"] = told.get("text", "")
    told.loc[search, "text"] = texts
    told["item"] = told["item"].astype("Int64").mask(search)
    return told


def _some(words: list[str], draw: np.random.Generator) -> str:
    kept = np.sort(draw.choice(len(words), size=min(_WORDS, len(words)), replace=False))
    return " ".join(words[place] for place in kept)
