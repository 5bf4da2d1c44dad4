"""A step down a quadratic penalty that is stable however stiff the penalty is."""

import numpy as np
from numpy.typing import NDArray


def implicit_step(
    parameters: NDArray[np.float32], anchor: NDArray[np.float32], stiffness: "NDArray[np.float32] | float", rate: float
) -> NDArray[np.float32]:
    """[params] what a step of size `rate` down `stiffness / 2 |w - anchor|^2` adds to `parameters`, evaluated at its end (backward Euler, or the
    proximal operator): -(rate s) / (1 + rate s) (w - anchor). It goes at most all the way back; for a small `rate s` it is the usual gradient step.
    """
    stiff = rate * np.asarray(stiffness, dtype=np.float32)
    step: NDArray[np.float32] = (stiff / (1 + stiff) * (anchor - parameters)).astype(np.float32)
    return step
