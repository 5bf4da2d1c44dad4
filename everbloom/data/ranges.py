"""Ragged columns: many ranges of rows as flat arrays, without a loop over them."""

import numpy as np
from numpy.typing import NDArray


def flat_ranges(start: NDArray[np.int64], end: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(owner [rows], row [rows]): the rows of each range [start, end), one range after the other."""
    length = end - start
    owner = np.repeat(np.arange(len(start)), length)
    before = np.cumsum(length) - length
    return owner, np.arange(len(owner)) + np.repeat(start - before, length)


def counts_within(flags: NDArray[np.bool_], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """[ranges] how many of the flags [rows] are set in each range `offsets[r]:offsets[r + 1]`."""
    before = np.concatenate(([0], np.cumsum(flags)))
    return before[offsets[1:]] - before[offsets[:-1]]
