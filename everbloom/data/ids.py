"""Numbering a source's ids by first appearance, chunk by chunk and without a loop over ids."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

MISSING = -1


class IdEncoder:
    """Each chunk is numbered on its own; `finish` merges the chunks' distinct ids into one dense numbering in order of
    first appearance.
    """

    def __init__(self) -> None:
        self._pieces: list[pd.Index] = []
        self._count = 0

    def add(self, ids: "pd.Series[int] | pd.Series[str]") -> NDArray[np.int32]:
        """[rows] provisional codes of one chunk's ids (`MISSING` where there is none), to be looked up in the table
        that `finish` gives.
        """
        codes, distinct = pd.factorize(_plain(ids))
        self._pieces.append(pd.Index(distinct))
        placed = np.where(codes < 0, MISSING, codes + self._count).astype(np.int32)
        self._count += len(distinct)
        return placed

    def finish(self) -> tuple[NDArray[np.int32], NDArray[np.object_]]:
        """(table [provisional codes] -> dense index, ids [distinct] as strings by dense index)."""
        pieces = [piece for piece in self._pieces if len(piece)]
        if not pieces:
            return np.empty(0, dtype=np.int32), np.empty(0, dtype=object)
        if not all(pd.api.types.is_integer_dtype(piece.dtype) for piece in pieces):
            pieces = [piece.astype(str) for piece in pieces]
        merged = pieces[0].append(pieces[1:]) if len(pieces) > 1 else pieces[0]
        codes, distinct = pd.factorize(merged)
        return codes.astype(np.int32), np.asarray(pd.Index(distinct).astype(str), dtype=object)


def _plain(ids: "pd.Series[int] | pd.Series[str]") -> pd.Series:
    """Integer ids stay integers (1.0 is 1), anything else is a string; an empty string is no id."""
    if pd.api.types.is_float_dtype(ids.dtype):
        return ids.astype("Int64")
    if pd.api.types.is_integer_dtype(ids.dtype):
        return ids
    text = ids.astype("str")
    return text.where(text.str.len() > 0)
