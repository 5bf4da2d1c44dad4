"""FedRep: the head first, then the body (Collins et al., 2021, arXiv 2102.07078, algorithm 1)."""

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import PositiveInt

from everbloom.errors import ConfigError
from everbloom.methods import FederatedAlgorithm

if TYPE_CHECKING:
    from everbloom.config import LearningConfig


class FedRep(FederatedAlgorithm):
    """A round's first local steps move a device's personal parameters alone; the others move the shared ones alone, the personal ones as they then
    are.

    Personal is what `model.personal_layers` (and `model.user.personal`) names; FedPer moves both in every step, and is `model.personal_layers`
    without an algorithm. Of `learning.local_steps` the first `head_steps` are the head's.
    """

    name: Literal["fedrep"]
    head_steps: PositiveInt = 1
    """Local steps of the personal parameters; fewer than `learning.local_steps`."""
    units: ClassVar[tuple[str, ...]] = ("user",)
    unsound: ClassVar[str] = "personal parameters are learnt from all of a device's examples without noise"

    def check(self, learning: "LearningConfig", personal: int) -> None:
        """See `FederatedAlgorithm`."""
        if self.head_steps >= learning.local_steps:
            raise ConfigError(
                f"learning.algorithm.head_steps {self.head_steps}: of learning.local_steps = {learning.local_steps} none is left for what is shared; "
                "take more local steps, or fewer for the head"
            )
        if not personal:
            raise ConfigError(
                'learning.algorithm = "fedrep": nothing is personal, so there is no head; name its layers in model.personal_layers'
            )

    def moves(self, step: int) -> tuple[bool, bool]:
        """See `FederatedAlgorithm`."""
        head = step < self.head_steps
        return not head, head
