"""From what people would choose to how likely they click on what they look at."""

import numpy as np
from numpy.typing import NDArray


def attraction_of_choice(
    probability: NDArray[np.float64], available: NDArray[np.bool_], outside: float
) -> NDArray[np.float64]:
    """[users, items] P(click | looked at), from probabilities of choosing each item of the catalogue [users, items].

    v / (v + outside), with v the probability as a multiple of an average available item's: the choice between this item and leaving it, whose
    weight is `outside` (Luce, "Individual choice behavior", 1959). Zero where not `available` [items].
    """
    kept = np.where(available, probability, 0.0)
    total = kept.sum(axis=1, keepdims=True)
    odds = kept * np.count_nonzero(available) / np.where(total > 0, total, 1.0)
    return np.asarray(odds / (odds + outside))
