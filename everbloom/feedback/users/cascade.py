"""The cascade model: reads from the top and stops at the first click."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from everbloom.feedback.scanning import scan_clicks, scan_probabilities
from everbloom.methods import UserModel


class Cascade(UserModel):
    """P(click at rank k) = attraction_k * prod_{j<k} (1 - attraction_j): at most one click (Craswell, Zoeter, Taylor & Ramsey, WSDM 2008)."""

    name: Literal["cascade"]

    def probabilities(self, attraction: NDArray[np.float64]) -> NDArray[np.float64]:
        """See `UserModel`."""
        return scan_probabilities(attraction, after_click=0.0, after_skip=1.0)

    def clicks(self, attraction: NDArray[np.float64], draws: NDArray[np.float64]) -> NDArray[np.bool_]:
        """See `UserModel`."""
        return scan_clicks(attraction, draws, after_click=0.0, after_skip=1.0)
