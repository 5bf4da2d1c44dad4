"""The dependent click model: a cascade that may go on after a click."""

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from everbloom.feedback.scanning import scan_clicks, scan_probabilities
from everbloom.methods import UserModel


class DependentClick(UserModel):
    """Reads on after an item that is passed over, and with a fixed probability after a click (Guo, Liu & Wang, "Efficient multiple-click models in
    web search", WSDM 2009, with one lambda for all ranks)."""

    name: Literal["dependent-click"]
    goes_on: Annotated[float, Field(ge=0, le=1)] = 0.6
    """Probability of reading on after a click; 0 is the cascade model, 1 looks at everything."""

    def probabilities(self, attraction: NDArray[np.float64]) -> NDArray[np.float64]:
        """See `UserModel`."""
        return scan_probabilities(attraction, after_click=self.goes_on, after_skip=1.0)

    def clicks(self, attraction: NDArray[np.float64], draws: NDArray[np.float64]) -> NDArray[np.bool_]:
        """See `UserModel`."""
        return scan_clicks(attraction, draws, after_click=self.goes_on, after_skip=1.0)
