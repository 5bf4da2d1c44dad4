"""The direction that raises one item in the lists of people like the attackers' own."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from everbloom.data.cases import Cases
from everbloom.evaluation.model_scorer import ModelScorer
from everbloom.study import Study
from simulation.poisoning.scene import Scene

_PEOPLE = 128
"""Of the attackers' histories, at most."""


class Climbing:
    """The gradient of the target's log-probability among all items, after the attackers' own histories."""

    def __init__(self, study: Study, scene: Scene) -> None:
        self.study = study
        self.target = scene.target
        self.model = study.new_model().eval()
        self.cases = _histories(study, scene.attackers[:_PEOPLE])

    def direction(self, parameters: NDArray[np.float32]) -> NDArray[np.float32]:
        """[params] of norm 1, from `parameters` [params]; zeros where nothing raises it."""
        scorer = ModelScorer(self.model, self.study.layout, parameters, self.study.dataset.events)
        self.model.zero_grad(set_to_none=True)
        with torch.enable_grad():
            scores = scorer.scores(self.cases, np.arange(len(self.cases)), self.model.catalogue())
            functional.log_softmax(scores, dim=1)[:, self.target].mean().backward()
        named, found = dict(self.model.named_parameters()), np.zeros(self.study.layout.size())
        for slot in self.study.layout.slots:
            gradient = named[slot.name].grad
            if slot.group == "shared" and gradient is not None:
                found[slot.start : slot.end] = gradient.reshape(-1).numpy()
        length = np.linalg.norm(found)
        return (found / length if length > 0 else found).astype(np.float32)


def _histories(study: Study, attackers: NDArray[np.int64]) -> Cases:
    """What the attackers know of themselves, as cases whose lists could be asked for."""
    log, items = study.dataset.events, len(study.dataset.catalog)
    return Cases(
        user=attackers.astype(np.int32),
        history_start=log.offsets[attackers],
        history_end=log.offsets[attackers + 1],
        targets=np.zeros(0, dtype=np.int32),
        target_offsets=np.zeros(len(attackers) + 1, dtype=np.int64),
        available=np.ones(items, dtype=np.bool_),
        period_start=int(study.timeline.window(0).end),
    )
