"""Which search was the last before an event: what a person was looking for when they chose something."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Searches:
    """`code` [events] int32: 0 where an event is no search, else the place of its text in `texts`, counted from 1."""

    code: NDArray[np.int32]
    texts: tuple[str, ...]


def coded(rows: NDArray[np.int64], texts: list[str], events: int) -> Searches:
    """Of a log of so many events: `rows` [searches] are searches, for these `texts` [searches]."""
    known = sorted(set(texts))
    place = {text: number for number, text in enumerate(known, start=1)}
    code = np.zeros(events, dtype=np.int32)
    code[rows] = [place[text] for text in texts]
    return Searches(code, tuple(known))


def searches_before(
    code: NDArray[np.int32], rows: NDArray[np.int64], offsets: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """([rows], [users]) codes of the last search between each of the events `rows` and the one of these before it, and of the last one after all of
    a user's; 0 where there is none.

    `code` [events] as in `Searches`, user u's in `offsets[u]:offsets[u + 1]`; `rows` ascending. A search is told of one event alone, the next one.
    """
    last = np.maximum.accumulate(np.where(code > 0, np.arange(len(code)), -1))
    owner = np.searchsorted(offsets, rows, side="right") - 1
    earlier = np.concatenate(([-1], rows[:-1]))
    before = np.where(last[rows] > np.maximum(earlier, offsets[owner] - 1), code[last[rows]], 0)
    newest = offsets[:-1] - 1  # each user's last row, or what lies before the first one
    np.maximum.at(newest, owner, rows)
    after = np.zeros(len(offsets) - 1, dtype=np.int64)
    some = np.diff(offsets) > 0
    final = last[offsets[1:][some] - 1]
    after[some] = np.where(final > newest[some], code[final], 0)
    return before.astype(np.int64), after
