"""A whole model of a device's own beside the shared one, under an algorithm in which devices have such (Ditto)."""

import numpy as np
from numpy.typing import NDArray

from everbloom.models.layout import ParameterLayout


def model_of(own: NDArray[np.float32], shared: NDArray[np.float32], layout: ParameterLayout) -> NDArray[np.float32]:
    """[params] that a device's user is served by: its `own` [params], with what all devices count as in `shared` [params]; `shared` if it has none
    yet, which is all zeros."""
    if not own.any():
        return shared
    found = own.copy()
    found[layout.counted] = shared[layout.counted]
    return found
