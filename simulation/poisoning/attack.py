"""The contract of an attack, and the list of attacks. To add one: a file with a frozen class, a line here; tests run every one that is registered."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from everbloom.registry import Method, Registry


@dataclass(frozen=True, eq=False)
class Knowledge:
    """What those who attack know in a round, all together: the model that they were sent and their own data, like any device; nothing of others."""

    honest: NDArray[np.float32]
    """[attackers asked, params] what their devices would have sent."""
    draws: np.random.Generator
    climb: Callable[[], NDArray[np.float32]]
    """[params] of norm 1: where the sent parameters would have to go for the target item to rise in the lists of people like theirs."""

    @property
    def length(self) -> float:
        """The median norm of their honest updates: what passes for usual."""
        return float(np.median(np.linalg.norm(self.honest.astype(np.float64), axis=1)))


class Attack(Method):
    """What devices in one hand send in place of their updates."""

    promotes: ClassVar[bool] = False
    """Whether it wants an item up, rather than the model down."""

    @abstractmethod
    def forge(self, knowledge: Knowledge) -> NDArray[np.float32]:
        """[attackers asked, params] finite: what they send. All randomness comes from `knowledge.draws`."""


ATTACKS: Registry[Attack] = Registry(
    "attack",
    Attack,  # type: ignore[type-abstract]
    {
        "random": "simulation.poisoning.attacks.random_noise:RandomNoise",
        "sign-flip": "simulation.poisoning.attacks.sign_flip:SignFlip",
        "promote": "simulation.poisoning.attacks.promote:Promote",
        "promote-within": "simulation.poisoning.attacks.promote_within:PromoteWithin",
    },
)
