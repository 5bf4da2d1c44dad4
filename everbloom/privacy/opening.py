"""The server's side of a mechanism: from the sum of a round's updates to the mean that its optimizer applies."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from everbloom.privacy.noise import NoiseSource

State = Mapping[str, NDArray[Any]]
"""What has to be known from round to round; arrays only, so that a checkpoint holds it."""


@dataclass(frozen=True, eq=False)
class Opened:
    """`mean` [params] float32; the next round's `state`; what the round's record says of it."""

    mean: NDArray[np.float32]
    state: State
    record: Mapping[str, float] = field(default_factory=dict)


class SumOpening(ABC):
    """A pure function of the sum and the state; all randomness comes from `noise`."""

    unanswered: ClassVar[bool] = False
    """Whether a round steps however few have answered: where a round that does not would tell who was drawn."""

    clipped: ClassVar[bool] = False
    """Whether devices send updates of at most the clip norm, so that a longer one is refused: noise hides no more than that."""

    @property
    def least(self) -> int:
        """Updates without which a sum is not opened."""
        return 1

    def begin(self, parameters: int) -> State:
        """Before the first round."""
        return {}

    def bound(self, state: State) -> float | None:
        """The clip norm that devices are told; None: that of the terms."""
        return None

    def zero(self, parameters: int) -> NDArray[Any]:
        """An empty sum: devices' updates have as many numbers, and are added to it."""
        return np.zeros(parameters, dtype=np.float64)

    def counted(self, before: State, after: State) -> State:
        """The state after a round that counted, `after` being what `open` made of it: votes say nothing of how long updates are."""
        return after

    @abstractmethod
    def open(
        self, state: State, total: NDArray[Any], clients: int, parameters: int, round: int, noise: NoiseSource
    ) -> Opened:
        """`total`: the sum of `clients` updates; `round`: of the whole run, from 0."""


class MeanOfReplies(SumOpening):
    """The mean over who answered: what each device sent is all there is to protect."""

    def open(
        self, state: State, total: NDArray[Any], clients: int, parameters: int, round: int, noise: NoiseSource
    ) -> Opened:
        """See `SumOpening`."""
        return Opened((total / clients).astype(np.float32), state)
