"""What a federation makes of its rounds' models, and how it goes on from one period to the next: the continual method's part on the server."""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from everbloom.continual.running_average import average_of, averaged
from everbloom.learning.candidates import known_items
from everbloom.study import Study
from server.counting import Counting
from server.state import Best, FederationState
from server.strategy import FlatStrategy

Considered = Callable[[NDArray[np.float32]], float]
"""Parameters [params] -> how good they are on the period's validation."""


class LearningOn:
    """Applies an experiment's continual method, or its average over rounds, to a federation's state; without either nothing is done."""

    def __init__(self, study: Study) -> None:
        self.method = study.method
        self.study = study
        self.average = study.experiment.federation.average
        continual = study.experiment.continual
        # What begins anew on everything must not be moved by what an optimizer remembers of an earlier training.
        self.carries_optimizer = (
            continual is not None and continual.optimizer == "carried" and not continual.method.whole_history
        )
        learning = study.experiment.learning
        self.rate = learning.learning_rate * learning.local_steps
        self.noise = _noise_deviation(study)
        self.counting = _counting(study)

    def begin(self, state: FederationState) -> None:
        """Before a period's first round."""
        if self.average is not None:  # a period's rounds start from what the last one served
            state.memory = {}
        if self.method is not None:
            initial = self.study.initial_parameters()
            before = state.parameters
            state.parameters, state.memory = self.method.begin(state.period, state.memory, before, initial)
            # Who learns everything anew counts everything anew.
            if self.counting is not None and not self.method.whole_history:
                state.parameters = self.counting.kept(before, state.parameters)

    def counted_items(self, state: FederationState) -> NDArray[np.int64] | None:
        """What the round that begins counts: items that there are; None if it learns."""
        if not self.study.experiment.model.counts_in(state.round):
            return None
        return known_items(self.study.dataset.catalog.there_from, self.study.window(state.period))

    def equip(self, strategy: FlatStrategy, state: FederationState) -> None:
        """Gives the strategy what a period's rounds need."""
        if self.method is not None:
            strategy.teacher = self.method.teacher(state.memory)
            strategy.pull = partial(self.method.pull, state.memory, rate=self.rate)

    def observe(self, strategy: FlatStrategy, state: FederationState) -> None:
        """After a round, whose released mean update the strategy holds; None if the round changed nothing."""
        if strategy.released is None:
            return
        if self.average is not None:
            state.memory = averaged(state.memory, state.parameters, self.average)
        if self.method is not None:
            state.memory = self.method.observe(state.memory, state.parameters, strategy.released, self.noise)

    def served(self, state: FederationState) -> NDArray[np.float32]:
        """[params] what the rounds so far have come to: measured, and served if nothing better comes."""
        if self.average is None:
            return state.parameters
        return self._with_counts(state.parameters, average_of(state.memory, state.parameters))

    def chosen(self, state: FederationState, best: Best) -> NDArray[np.float32]:
        """[params] that a period's rounds end with: what was learnt as it did best, and all that was counted."""
        return self._with_counts(state.parameters, best.parameters)

    def end(self, state: FederationState, value: Considered) -> None:
        """Settles what a period's rounds ended with."""
        if self.method is None:
            return
        trained = state.parameters
        candidates = [self._with_counts(trained, one) for one in self.method.merged(state.memory, trained)]
        state.parameters = candidates[0] if len(candidates) == 1 else max(candidates, key=value)
        state.memory = self.method.end(state.memory, state.parameters, trained)

    def _with_counts(self, counted: NDArray[np.float32], learnt: NDArray[np.float32]) -> NDArray[np.float32]:
        """What was learnt, with all that was counted."""
        return learnt if self.counting is None else self.counting.kept(counted, learnt)


def _counting(study: Study) -> Counting | None:
    """How the popularity prior is counted, if there is one."""
    prior, layout = study.experiment.model.prior, study.layout
    if prior is None:
        return None
    cohort = study.experiment.federation.cohort_size(study.trainers)
    return Counting.of(prior, layout.counted, study.plan, layout.size(), cohort)


def _noise_deviation(study: Study) -> float:
    """Standard deviation of the plan's noise in each coordinate of a round's mean update."""
    plan, learning = study.plan, study.experiment.learning
    if plan is None:
        return 0.0
    size, cohort = study.layout.size(), study.experiment.federation.cohort_size(study.trainers)
    deviation = plan.noise_to_clip(size, cohort) * plan.clip_norm / math.sqrt(size)
    if plan.dp_sgd is not None:  # its noise is on gradients
        deviation *= learning.learning_rate * math.sqrt(learning.local_steps)
    return deviation
