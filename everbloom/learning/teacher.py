"""The model that devices distil from: frozen, the same for all clients of a call."""

from copy import deepcopy

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from everbloom.continual.distillation import Distillation
from everbloom.learning.candidates import Candidates
from everbloom.learning.examples import Examples
from everbloom.models.layout import ParameterLayout
from everbloom.models.recommender import Recommender

_NOTHING = -1e9
"""Score of what is no candidate: its probability is zero, and its gradient."""


class Teacher:
    """Adds to each example's loss; gives gradients to the learner alone."""

    def __init__(self, model: Recommender, layout: ParameterLayout, distillation: Distillation) -> None:
        """A copy of the model that shares its buffers (the catalogue's features are large) and what is frozen (a language model's weights)."""
        frozen = (parameter for parameter in model.parameters() if not parameter.requires_grad)
        shared: dict[int, torch.Tensor] = {id(value): value for value in (*model.buffers(), *frozen)}
        self.model = deepcopy(model, shared).eval()
        self.distillation = distillation
        named = dict(self.model.named_parameters())
        self._places = [(named[slot.name], slot) for slot in layout.slots if slot.vector == "shared"]

    @torch.no_grad()
    def load(self, parameters: NDArray[np.float32]) -> "Teacher":
        """Takes the parameters [params]; returns itself."""
        vector = torch.from_numpy(parameters.copy())
        for parameter, slot in self._places:
            parameter.copy_(vector[slot.start : slot.end].view(slot.shape))
        return self

    def losses(
        self, examples: Examples, negatives: torch.Tensor, candidates: Candidates, scores: torch.Tensor
    ) -> torch.Tensor:
        """[examples] `weight T^2 KL(teacher || learner)` over each position's candidates, the mean over learnt positions by weight.

        `scores` [examples, scored, columns + k]: the learner's; each example's loss depends on its own scores alone.
        """
        temperature = self.distillation.temperature
        with torch.no_grad():
            told = self.model(examples.items, examples.circumstances, negatives, examples.place)
            target = _log_shares(told / temperature, candidates)
        own = _log_shares(scores / temperature, candidates)
        divergence = (target.exp() * (target - own)).sum(dim=2) * temperature**2
        mean = (divergence * candidates.weight).sum(dim=1) / candidates.weight.sum(dim=1).clamp(min=1e-6)
        return mean * self.distillation.weight


def _log_shares(scores: torch.Tensor, candidates: Candidates) -> torch.Tensor:
    return functional.log_softmax(scores.masked_fill(candidates.masked, _NOTHING), dim=2)
