"""The tastes of synthetic users: a random walk in topic space, with known jumps."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from everbloom.data.sources.shifts import Shift
from everbloom.seeding import numpy_generator, uniforms

if TYPE_CHECKING:
    from everbloom.data.sources.synthetic import Synthetic


def draw_tastes(
    config: "Synthetic", draw: np.random.Generator, block: int, users: NDArray[np.int64]
) -> NDArray[np.float64]:
    """[users, steps, topics] walk of unit variance: the taste in each step. `draw` is the block's own generator."""
    steps = draw.standard_normal((len(users), config.periods, config.latent_dim))
    kept, new = np.sqrt(1 - config.drift**2), config.drift
    shifts = {shift.at: shift for shift in config.shifts if shift.tastes}
    for index in range(1, config.periods):
        steps[:, index] = kept * steps[:, index - 1] + new * steps[:, index]
        if index in shifts:
            _jump(config, shifts[index], block, users, steps[:, index])
    return steps


def _jump(config: "Synthetic", shift: Shift, block: int, users: NDArray[np.int64], now: NDArray[np.float64]) -> None:
    """Changes `now` [users, topics] for those whom the shift meets."""
    met = uniforms(config.seed, "synthetic-shifted-users", users, 1, period=shift.at)[:, 0] < shift.tastes
    if shift.taste_change == "rotate":
        now[met] = np.roll(now[met], 1, axis=1)
    else:
        draw = numpy_generator(config.seed, "synthetic-shifted-tastes", period=shift.at, client=block)
        now[met] = draw.standard_normal(now.shape)[met]


def topic_shares(config: "Synthetic", tastes: NDArray[np.float64]) -> NDArray[np.float64]:
    """[users, steps, topics] probability of each topic: a softmax of the taste, sharpened by `focus`."""
    chance = np.exp(config.focus * tastes)
    shares: NDArray[np.float64] = chance / chance.sum(axis=2, keepdims=True)
    return shares
