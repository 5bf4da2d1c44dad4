"""What the server makes of a round's updates: how they are combined, and how the result moves the model."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from everbloom.registry import Method, Registry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from everbloom.aggregation.updates import Updates


class ServerOptimizer(Method):
    """Applies the cohort's mean update to the global parameters: two pure functions, as in FedOpt (Reddi et al., 2021, arXiv 2003.00295)."""

    @abstractmethod
    def init(self, parameters: "NDArray[np.float32]") -> "dict[str, NDArray[np.float32]]":
        """The state before the first round; arrays only, so that a checkpoint holds it."""

    @abstractmethod
    def apply(
        self,
        state: "Mapping[str, NDArray[np.float32]]",
        parameters: "NDArray[np.float32]",
        mean_delta: "NDArray[np.float32]",
    ) -> "tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]":
        """(new parameters, new state); the arguments are not changed. [params] float32 each."""


SERVER_OPTIMIZERS: Registry[ServerOptimizer] = Registry(
    "server optimizer",
    ServerOptimizer,  # type: ignore[type-abstract]
    {
        "fedavg": "everbloom.aggregation.fedavg:FedAvg",
        "fedavgm": "everbloom.aggregation.fedavgm:FedAvgM",
        "fedadam": "everbloom.aggregation.fedadam:FedAdam",
        "fedyogi": "everbloom.aggregation.fedyogi:FedYogi",
    },
)


class AggregationRule(Method):
    """How the updates of a round's devices become one: in place of their mean, something that a few wrong ones cannot move far.

    Pure functions; what is known from round to round are arrays, so that a checkpoint holds it.
    """

    separate: ClassVar[bool] = True
    """Whether it must see every device's update by itself; if not, a runtime may send sums."""

    @property
    def least(self) -> int:
        """Updates without which there is nothing to combine: the round then changes nothing."""
        return 1

    def init(self, parameters: int) -> "dict[str, NDArray[np.float32]]":
        """What is known before the first round."""
        return {}

    @abstractmethod
    def combine(
        self, state: "Mapping[str, NDArray[np.float32]]", updates: "Updates"
    ) -> "tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]":
        """([params] what the server optimizer applies in place of the mean, new state); the arguments are not changed.

        Updates come in the order of the devices' numbers and are finite. The result may depend on that order among equals alone.
        """


AGGREGATION_RULES: Registry[AggregationRule] = Registry(
    "aggregation rule",
    AggregationRule,  # type: ignore[type-abstract]
    {
        "mean": "everbloom.aggregation.mean:Mean",
        "median": "everbloom.aggregation.median:Median",
        "trimmed-mean": "everbloom.aggregation.trimmed_mean:TrimmedMean",
        "multi-krum": "everbloom.aggregation.multi_krum:MultiKrum",
        "centred-clipping": "everbloom.aggregation.centred_clipping:CentredClipping",
        "norm-clipping": "everbloom.aggregation.norm_clipping:NormClipping",
    },
)
