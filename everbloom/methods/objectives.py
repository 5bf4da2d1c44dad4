"""What one client minimises."""

from abc import abstractmethod
from typing import TYPE_CHECKING

from everbloom.registry import Method, Registry

if TYPE_CHECKING:
    import torch

    from everbloom.learning.candidates import Candidates


class Objective(Method):
    """The loss of one client's examples."""

    @abstractmethod
    def per_example(self, scores: "torch.Tensor", candidates: "Candidates") -> "torch.Tensor":
        """[examples, scored, candidates] scores -> [examples] losses; each depends on its own example alone.

        The gradient with respect to scores in `candidates.masked` columns is exactly zero: norms of gradients rest on it.
        """


OBJECTIVES: Registry[Objective] = Registry(
    "objective",
    Objective,  # type: ignore[type-abstract]
    {
        "sampled-softmax": "everbloom.learning.objectives.sampled_softmax:SampledSoftmax",
        "bce": "everbloom.learning.objectives.bce:BinaryCrossEntropy",
        "gbce": "everbloom.learning.objectives.gbce:GeneralisedBinaryCrossEntropy",
    },
)
