"""What devices and server do beyond averaging."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from everbloom.registry import Method, Registry

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from everbloom.config import LearningConfig


class FederatedAlgorithm(Method):
    """What devices and server do beyond averaging local gradient steps. What an algorithm does not say is done as in FedAvg.

    Pure functions. The device's side is vectorised over clients: `kept` [clients, numbers] is what each of them remembers from round to round, zeros
    at first, and `sent` [params] is what the server sends beside the model. The server's side are arrays [params], so that a checkpoint holds them.
    """

    units: ClassVar[tuple[str, ...]] = ()
    """Privacy units under which a plan's claim covers it; none unless its class says so."""
    unsound: ClassVar[str] = "what it costs under differential privacy is not known"
    """Why not under others."""
    steers: ClassVar[bool] = False
    """Whether it adds to the gradient of every parameter, touched by a device's examples or not."""
    sends: ClassVar[bool] = False
    """Whether the server sends a vector beside the model."""

    @property
    def proximal(self) -> float:
        """Strength of a pull towards the parameters that a round begins with, beside `learning.proximal_mu`."""
        return 0.0

    @property
    def own_pull(self) -> "float | None":
        """With a whole model that every device trains for itself beside the shared one: the strength of its pull towards that one. What the device
        remembers are that model's parameters [params], zeros while it has none. None: devices have no such models."""
        return None

    @property
    def copies(self) -> int:
        """Models that are learnt side by side, of which each device trains the one that fits it best. What the device remembers is 1 + which it chose
        last. 1: there is one model for all."""
        return 1

    @property
    def copied(self) -> "tuple[str, ...]":
        """Of several models: names of the parameters of which each has its own begin so. None: all that are shared."""
        return ()

    def check(self, learning: "LearningConfig", personal: int) -> None:
        """Raises `ConfigError` if the rest of [learning] does not go with it, or that a model has so many personal parameters."""

    def moves(self, step: int) -> tuple[bool, bool]:
        """Whether a round's local step (from 0) moves the shared parameters, and the personal ones."""
        return True, True

    def kept(self, parameters: int) -> int:
        """Numbers that a device with a model of so many shared parameters remembers from round to round."""
        return 0

    def linear(self, kept: "torch.Tensor", sent: "torch.Tensor | None") -> "torch.Tensor":
        """[clients, params] added to the gradient of each of a round's steps, if it `steers`."""
        raise NotImplementedError(f"{self.name} steers no gradient")

    def remembered(
        self, kept: "torch.Tensor", delta: "torch.Tensor", sent: "torch.Tensor | None", learning: "LearningConfig"
    ) -> "torch.Tensor":
        """`kept` after a round in which the clients' parameters moved by `delta` [clients, params]: as trained, before anything is clipped."""
        return kept

    def begin(self, parameters: "NDArray[np.float32]") -> "dict[str, NDArray[np.float32]]":
        """The server's memory before the first round; it lasts for all periods, as what devices remember does."""
        return {}

    def sent(self, memory: "Mapping[str, NDArray[np.float32]]") -> "NDArray[np.float32] | None":
        """[params] what the server sends beside the model, if it `sends`."""
        return None

    def combined(
        self,
        memory: "Mapping[str, NDArray[np.float32]]",
        mean_delta: "NDArray[np.float32]",
        share: float,
        learning: "LearningConfig",
    ) -> "tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]":
        """(the update that the server's optimizer applies, memory) of a round's released mean; `share` of all devices took part in it."""
        return mean_delta, dict(memory)


ALGORITHMS: Registry[FederatedAlgorithm] = Registry(
    "federated algorithm",
    FederatedAlgorithm,
    {
        "feddyn": "everbloom.algorithms.feddyn:FedDyn",
        "scaffold": "everbloom.algorithms.scaffold:Scaffold",
        "fedrep": "everbloom.algorithms.fedrep:FedRep",
        "ditto": "everbloom.algorithms.ditto:Ditto",
        "ifca": "everbloom.algorithms.ifca:Ifca",
    },
)
