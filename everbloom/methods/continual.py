"""How a federation goes on learning from period to period."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from everbloom.registry import Method, Registry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from everbloom.continual.distillation import Distillation
    from everbloom.continual.replay import Replay


class ContinualMethod(Method):
    """How a federation goes on learning from period to period. What a method does not say is done as in plain fine-tuning.

    The server's side are pure functions over a memory of arrays [params] (a checkpoint holds it); they see released models alone, so whatever they
    do is post-processing. The device's side is `replay` and `distillation`.
    """

    privacy_cost: ClassVar[str]
    """What it costs beyond as many rounds of plain fine-tuning, in words."""
    reach: ClassVar[float] = 1.0
    """How much further one example moves a step's clipped sum than in plain fine-tuning."""
    whole_history: ClassVar[bool] = False
    """Whether a period's targets are all events so far, and not the period's own."""

    def rounds(self, period: int, rounds: int, warm_rounds: int) -> int:
        """Rounds of a period; an experiment asks for `warm_rounds` of the first and `rounds` of any other."""
        return rounds if period else warm_rounds

    def begin(
        self,
        period: int,
        memory: "Mapping[str, NDArray[np.float32]]",
        parameters: "NDArray[np.float32]",
        initial: "NDArray[np.float32]",
    ) -> "tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]":
        """(parameters that the period's rounds start from, memory), given those that the last one ended with and the untrained ones."""
        return parameters, dict(memory)

    def pull(
        self, memory: "Mapping[str, NDArray[np.float32]]", parameters: "NDArray[np.float32]", rate: float
    ) -> "NDArray[np.float32] | None":
        """What is added to a round's mean update [params]: a step of size `rate` down a penalty on the parameters. None: nothing."""
        return None

    def observe(
        self,
        memory: "Mapping[str, NDArray[np.float32]]",
        parameters: "NDArray[np.float32]",
        mean_delta: "NDArray[np.float32]",
        noise_deviation: float,
    ) -> "dict[str, NDArray[np.float32]]":
        """The memory after a round that led to `parameters` [params]; `mean_delta` [params] as released, of which `noise_deviation` is the noise's in
        each coordinate."""
        return dict(memory)

    def merged(
        self, memory: "Mapping[str, NDArray[np.float32]]", parameters: "NDArray[np.float32]"
    ) -> "list[NDArray[np.float32]]":
        """Parameters [params] that a period could end with, given what its rounds ended with; of several the best on validation is taken."""
        return [parameters]

    def end(
        self,
        memory: "Mapping[str, NDArray[np.float32]]",
        parameters: "NDArray[np.float32]",
        trained: "NDArray[np.float32]",
    ) -> "dict[str, NDArray[np.float32]]":
        """The memory after a period that ended with `parameters`, out of what its rounds had `trained` [params]."""
        return dict(memory)

    def teacher(self, memory: "Mapping[str, NDArray[np.float32]]") -> "NDArray[np.float32] | None":
        """Parameters [params] of the model that devices distil from in this period, if any."""
        return None

    @property
    def replay(self) -> "Replay | None":
        """Which old events a device rehearses."""
        return None

    @property
    def distillation(self) -> "Distillation | None":
        """How a device keeps to the teacher."""
        return None


CONTINUAL_METHODS: Registry[ContinualMethod] = Registry(
    "continual method",
    ContinualMethod,
    {
        "finetune": "everbloom.continual.finetune:Finetune",
        "frozen": "everbloom.continual.frozen:Frozen",
        "replay": "everbloom.continual.replay:Replay",
        "ewc": "everbloom.continual.ewc:Ewc",
        "distillation": "everbloom.continual.distillation:Distillation",
        "proximal": "everbloom.continual.proximal:Proximal",
        "merging": "everbloom.continual.merging:Merging",
        "averaging": "everbloom.continual.averaging:Averaging",
        "retrain": "everbloom.continual.retrain:Retrain",
    },
)
