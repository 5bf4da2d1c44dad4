"""What a simulation knows of its devices, and the server of real ones never does."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class SavedBeside(Protocol):
    """What simulated devices keep from round to round, in step with the server's checkpoints so that both can be taken up where they were."""

    def save(self, period: int, round: int) -> None:
        """Writes what belongs to the checkpoint of this round, beside that of the last checkpoint; called before the checkpoint counts."""
        ...

    def remove_but(self, period: int, round: int) -> None:
        """Removes what belongs to older checkpoints; called once this round's counts."""
        ...


class KnownPersonal(SavedBeside, Protocol):
    """What every device has learnt for itself."""

    @property
    def values(self) -> NDArray[np.float32]:
        """[population, personal] as it is now."""
        ...


@dataclass(frozen=True)
class SavedTogether:
    """Several kinds of it."""

    kinds: Sequence[SavedBeside]

    def save(self, period: int, round: int) -> None:
        """See `SavedBeside`."""
        for kind in self.kinds:
            kind.save(period, round)

    def remove_but(self, period: int, round: int) -> None:
        """See `SavedBeside`."""
        for kind in self.kinds:
            kind.remove_but(period, round)
