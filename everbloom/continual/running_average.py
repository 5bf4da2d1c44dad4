"""The running average of the models that rounds end with (Polyak and Juditsky, 1992; exponential as in Tarvainen and Valpola, 2017: "mean teachers").

A round's model is what the federation knows plus what its cohort, its few events and, under privacy, the plan's noise happened to be; an average
keeps what rounds agree on. It is made of models that were released anyway, so it costs no privacy.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Memory = Mapping[str, NDArray[np.float32]]


def averaged(memory: Memory, parameters: NDArray[np.float32], decay: float) -> dict[str, NDArray[np.float32]]:
    """`memory` after one more round that ended with `parameters` [params]: `mean += (1 - decay) (parameters - mean)`, under "mean".

    The first 1 / (1 - decay) rounds are averaged evenly: an average that began at the first one would keep to it.
    """
    count = memory.get("count", np.zeros(1, dtype=np.float32)) + 1
    share = np.maximum(np.float32(1 - decay), 1 / count)
    mean = memory.get("mean", parameters)
    return {**memory, "count": count, "mean": (mean + share * (parameters - mean)).astype(np.float32)}


def average_of(memory: Memory, parameters: NDArray[np.float32]) -> NDArray[np.float32]:
    """[params] the average; before any round, the `parameters` that rounds start from."""
    return memory.get("mean", parameters)
