"""An item is pushed into everybody's list: the gradient that raises its rank, boosted until it survives the mean.

As in PipAttack (Zhang et al., WSDM 2022) and FedRecAttack (Rong et al., ICDE 2022), with the attackers' own people in place of approximated ones, and
the explicit boosting of Bhagoji et al. (ICML 2019).
"""

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveFloat

from simulation.poisoning.attack import Attack, Knowledge


class Promote(Attack):
    """All send the one direction that raises the target's score, `boost` times as long as a usual update."""

    name: Literal["promote"]
    boost: PositiveFloat = 20.0

    promotes: ClassVar[bool] = True

    def forge(self, knowledge: Knowledge) -> NDArray[np.float32]:
        """See `Attack`."""
        one = np.float32(self.boost * knowledge.length) * knowledge.climb()
        return np.tile(one, (len(knowledge.honest), 1))
