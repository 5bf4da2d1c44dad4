"""The position-based model: whether a rank is looked at depends on the rank alone."""

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from everbloom.methods import UserModel


class PositionBased(UserModel):
    """P(click at rank k) = k^-eta * attraction (Richardson, Dominowska & Ragno, WWW 2007; examination by a power of the rank: Joachims, Swaminathan &
    Schnabel, WSDM 2017). Ranks are clicked independently of each other."""

    name: Literal["position-biased"]
    eta: Annotated[float, Field(ge=0)] = 1.0
    """How fast attention falls with the rank; 0: every rank is looked at."""

    def examination(self, n: int) -> NDArray[np.float64]:
        """[n] probability that each rank is looked at."""
        return np.asarray(np.arange(1, n + 1, dtype=np.float64) ** -self.eta)

    def probabilities(self, attraction: NDArray[np.float64]) -> NDArray[np.float64]:
        """See `UserModel`."""
        return attraction * self.examination(attraction.shape[1])

    def clicks(self, attraction: NDArray[np.float64], draws: NDArray[np.float64]) -> NDArray[np.bool_]:
        """See `UserModel`."""
        chosen: NDArray[np.bool_] = draws[:, ::2] < self.probabilities(attraction)
        return chosen
