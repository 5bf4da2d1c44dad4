"""The opposite of what was learnt (Li et al., AAAI 2019, "RSA: Byzantine-robust stochastic aggregation methods")."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveFloat

from simulation.poisoning.attack import Attack, Knowledge


class SignFlip(Attack):
    """Each sends -scale times its own update: at scale s, attackers of a share 1 / (1 + s) undo what all others learn."""

    name: Literal["sign-flip"]
    scale: PositiveFloat = 20.0

    def forge(self, knowledge: Knowledge) -> NDArray[np.float32]:
        """See `Attack`."""
        return np.float32(-self.scale) * knowledge.honest
