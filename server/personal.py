"""What a simulation knows of its devices, and the server of real ones never does."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class KnownPersonal(Protocol):
    """What every device keeps from round to round, its personal parameters and what its algorithm remembers, kept in step with the
    server's checkpoints so that both can be taken up where they were."""

    @property
    def values(self) -> NDArray[np.float32]:
        """[population, kept] as it is now."""
        ...

    def save(self, period: int, round: int) -> None:
        """Writes what belongs to the checkpoint of this round, beside that of the last checkpoint; called before the checkpoint counts."""
        ...

    def remove_but(self, period: int, round: int) -> None:
        """Removes what belongs to older checkpoints; called once this round's counts."""
        ...
