"""Ditto: a model of one's own, near the shared one (Li et al., 2021, arXiv 2012.04221, algorithm 1)."""

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from everbloom.errors import ConfigError
from everbloom.methods import FederatedAlgorithm

if TYPE_CHECKING:
    from everbloom.config import LearningConfig


class Ditto(FederatedAlgorithm):
    """Every device trains two models: the shared one as in FedAvg, of which it sends the update, and one of its own, v, which it keeps.

    In each round that asks for it, from the shared w that it was sent and on the same examples, `learning.local_steps` times with
    `learning.personal_rate` = eta: v <- v - eta (gradient of loss(v) + pull (v - w)). v begins as the w of the device's first round. Its user is
    recommended to, and measured, by v; one whose device has none by the shared model. Nothing that is sent depends on v.
    """

    name: Literal["ditto"]
    pull: Annotated[float, Field(ge=0)] = 0.1
    """The paper's lambda: pull/2 |v - w|^2 is added to the loss of a device's own model. 0: it learns from its own examples alone."""
    units: ClassVar[tuple[str, ...]] = ("user",)
    unsound: ClassVar[str] = (
        "a device's own model, which it recommends by, is learnt from all of its examples without noise"
    )

    @property
    def own_pull(self) -> float:
        """See `FederatedAlgorithm`."""
        return self.pull

    def check(self, learning: "LearningConfig", personal: int) -> None:
        """See `FederatedAlgorithm`."""
        if personal:
            raise ConfigError(
                'learning.algorithm = "ditto": every device has a whole model of its own, and this one has personal parameters beside it; '
                "leave out model.personal_layers and model.user.personal"
            )
        if learning.personal_rate * self.pull >= 2:
            raise ConfigError(
                f"learning.algorithm.pull {self.pull:g}: with learning.personal_rate = {learning.personal_rate:g} each step goes further beyond the "
                "shared model than it was away from it; expected pull * personal_rate below 2"
            )

    def kept(self, parameters: int) -> int:
        """v; zeros: none yet."""
        return parameters
