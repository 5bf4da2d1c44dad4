"""When a round closes, and whose answers are in by then."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Closing:
    """`in_time` [asked]: whose answers count. `full`: the wanted number came, so those who did not come were not needed, unless they have failed."""

    in_time: NDArray[np.bool_]
    seconds: float
    full: bool


def close_round(takes: NDArray[np.float64], wanted: int, deadline: float, order: NDArray[np.float64]) -> Closing:
    """`takes` [asked]: seconds until each device answers, infinite if it never does.

    A round closes with the `wanted`-th answer, or with the last one if fewer were asked; at the `deadline` if they do not come by then, which is what
    waiting for somebody who has dropped out costs. `order` [asked] decides among answers that come at the same time.
    """
    asked = len(takes)
    if not asked:
        return Closing(np.zeros(0, dtype=np.bool_), 0.0, full=True)
    needed = min(wanted, asked)
    first = np.lexsort((order, takes))[:needed]
    in_time = np.zeros(asked, dtype=np.bool_)
    in_time[first] = takes[first] <= deadline
    full = bool(in_time.sum() == needed)
    return Closing(in_time, float(takes[first[-1]]) if full else deadline, full)
