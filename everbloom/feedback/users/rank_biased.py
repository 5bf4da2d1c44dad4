"""The browser of rank-biased precision: goes on to the next rank with a fixed persistence, whatever it sees."""

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from everbloom.feedback.scanning import scan_clicks, scan_probabilities
from everbloom.methods import UserModel


class RankBiased(UserModel):
    """P(click at rank k) = persistence^(k-1) * attraction (Moffat & Zobel, "Rank-biased precision", TOIS 27(1), 2008). Unlike `position-biased`, who
    stops sees nothing further down."""

    name: Literal["rank-biased"]
    persistence: Annotated[float, Field(ge=0, le=1)] = 0.8
    """Probability of going on to the next rank."""

    def probabilities(self, attraction: NDArray[np.float64]) -> NDArray[np.float64]:
        """See `UserModel`."""
        return scan_probabilities(attraction, after_click=self.persistence, after_skip=self.persistence)

    def clicks(self, attraction: NDArray[np.float64], draws: NDArray[np.float64]) -> NDArray[np.bool_]:
        """See `UserModel`."""
        return scan_clicks(attraction, draws, after_click=self.persistence, after_skip=self.persistence)
