"""How long before an event its user's previous one lay, as a code: what a model may know of recency."""

import numpy as np
from numpy.typing import NDArray

_EDGES = 4 ** np.arange(1, 15)
"""Seconds: from 4 to some eight and a half years, each four times the one before; among them about a minute, an hour and a day."""

GAP_CODES = len(_EDGES) + 2
"""Code 0: no event before. Code c from 1 on: less than `_EDGES[c - 1]` seconds, and not less than the edge before that."""


def gap_codes(seconds: NDArray[np.int64]) -> NDArray[np.int64]:
    """Codes from 1 on of gaps of at least 0 seconds, in the same shape."""
    return 1 + np.searchsorted(_EDGES, seconds, side="right")


def gaps_before(time: NDArray[np.int64], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """[events] the code of the gap before each event; 0 for a user's first. `time` [events] in seconds, user u's ascending in
    `offsets[u]:offsets[u + 1]`."""
    codes = gap_codes(np.diff(time, prepend=time[:1]).clip(min=0))
    codes[offsets[:-1][np.diff(offsets) > 0]] = 0
    return codes
