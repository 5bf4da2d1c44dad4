"""Reading a list from the top: after each rank the reader goes on with a probability that may depend on whether it was clicked.

What cascade, dependent-click and rank-biased readers have in common (Chuklin, Markov & de Rijke, "Click models for web search", 2015, chapter 3).
"""

import numpy as np
from numpy.typing import NDArray


def scan_probabilities(
    attraction: NDArray[np.float64], *, after_click: float, after_skip: float
) -> NDArray[np.float64]:
    """[users, n] P(click at each rank): e_k a_k with e_1 = 1 and e_{k+1} = e_k (a_k after_click + (1 - a_k) after_skip).

    `attraction` [users, n]: P(click | the rank is read).
    """
    going = attraction * after_click + (1.0 - attraction) * after_skip
    read = np.ones_like(attraction)
    np.cumprod(going[:, :-1], axis=1, out=read[:, 1:])
    return read * attraction


def scan_clicks(
    attraction: NDArray[np.float64], draws: NDArray[np.float64], *, after_click: float, after_skip: float
) -> NDArray[np.bool_]:
    """[users, n] clicks. `draws` [users, 2n] uniform: for each rank one for the click and one for going on."""
    wanted = draws[:, ::2] < attraction
    going = draws[:, 1::2] < np.where(wanted, after_click, after_skip)
    read = np.ones_like(wanted)
    np.logical_and.accumulate(going[:, :-1], axis=1, out=read[:, 1:])
    return wanted & read
