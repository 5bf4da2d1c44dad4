"""Which dropout masks an example's positions get: drawn from each client's own key, the same whichever other clients train beside it."""

import numpy as np
import torch
from numpy.typing import NDArray

from everbloom.models.recommender import Recommender
from everbloom.models.users import Dropout
from everbloom.seeding import uniforms_from

_STEP = 2**40
"""Values set aside for one step of a client."""


def draw_masks(
    model: Recommender, keys: NDArray[np.uint64], counts: NDArray[np.int64], step: int
) -> torch.Tensor | None:
    """[examples, sites, history] int64 rows of masks for a step; None if the model drops nothing.

    `keys` [clients] of their sequences; `counts` [clients] of their examples, which lie one client after the other.
    """
    sites = model.user.mask_sites
    if sites == 0:
        return None
    owner = np.repeat(np.arange(len(keys)), counts)
    place = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    drawn = uniforms_from(keys[owner], sites * model.history, skip=step * _STEP + place * sites * model.history)
    return torch.from_numpy((drawn * Dropout.ROWS).astype(np.int64)).view(len(owner), sites, model.history)
