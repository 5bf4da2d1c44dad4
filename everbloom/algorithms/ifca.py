"""IFCA: devices in clusters, each cluster with a model of its own (Ghosh et al., 2020, arXiv 2006.04088, algorithm 1, gradient averaging)."""

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from everbloom.errors import ConfigError
from everbloom.methods import FederatedAlgorithm

if TYPE_CHECKING:
    from everbloom.config import LearningConfig


class Ifca(FederatedAlgorithm):
    """The server holds `clusters` models, theta_1 to theta_k, and sends all of them. In each round that asks for it a device takes the one whose mean
    loss on its own examples is least, j, trains that as in FedAvg and sends its update of theta_j, which is 0 for all others. The server averages
    over all devices of the round: theta_j <- theta_j + (1/m) sum of the updates of those that chose j.

    A device remembers its choice, by which its user is recommended to; one that has not chosen yet is served by theta_1.
    Each copy begins as a model of its own seed.
    """

    name: Literal["ifca"]
    clusters: Annotated[int, Field(ge=2, le=64)] = 2
    """Models that are learnt."""
    layers: tuple[str, ...] = ()
    """Names of parameters of which each cluster has its own begin so; the others are shared by all (the paper's weight sharing). None: all are."""
    units: ClassVar[tuple[str, ...]] = ("user",)
    unsound: ClassVar[str] = "a device chooses the model that it trains by all of its examples, without noise"

    @property
    def copies(self) -> int:
        """See `FederatedAlgorithm`."""
        return self.clusters

    @property
    def copied(self) -> tuple[str, ...]:
        """See `FederatedAlgorithm`."""
        return self.layers

    def check(self, learning: "LearningConfig", personal: int) -> None:
        """See `FederatedAlgorithm`."""
        if personal:
            raise ConfigError(
                'learning.algorithm = "ifca": a device would choose a model by the loss of layers that were learnt with another; '
                "leave out model.personal_layers and model.user.personal"
            )

    def kept(self, parameters: int) -> int:
        """1 + the model that it chose last; 0: it has never chosen."""
        return 1
