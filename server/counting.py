"""What the server makes of a round's mean vote: counts that fade from period to period. It is post-processing of what the mechanism released."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from everbloom.config import PriorConfig
from everbloom.privacy.plan import PrivacyPlan


@dataclass(frozen=True)
class Counting:
    """`place` of the counts in the shared vector. `smallest`: the unit of counts in a round's mean, per clip norm where there is a plan: the standard
    deviation of the mechanism's noise in each coordinate; without one, of one person."""

    config: PriorConfig
    place: slice
    smallest: float
    clip_norm: float = 1.0
    """Of the plan."""

    @classmethod
    def of(
        cls, config: PriorConfig, place: slice, plan: PrivacyPlan | None, parameters: int, cohort: int
    ) -> "Counting":
        """For updates of so many `parameters` from `cohort` devices a round."""
        if plan is None:
            return cls(config, place, 1 / cohort)
        deviation = plan.noise_to_clip(parameters, cohort) / math.sqrt(parameters)
        if plan.dp_sgd is not None:  # devices send the mean of a round's steps
            deviation /= math.sqrt(plan.dp_sgd.steps_per_round)
        return cls(config, place, deviation, plan.clip_norm)

    def counted(
        self,
        parameters: NDArray[np.float32],
        mean: NDArray[np.float32],
        round: int,
        there: NDArray[np.int64],
        bound: float | None = None,
    ) -> NDArray[np.float32]:
        """[params] with the counts brought up to date by the mean update [params] of a period's `round` of counting (from 1).

        `there`: the items that people could meet until then, which are public. Nobody could vote for any other, so no vote tells whether it will be
        wanted: it gets the middle of the others, on the scale on which the model reads counts. `bound`: the clip norm of this round; None: that of
        the plan, if there is one. The mean over a period's rounds of counting has less noise than one by the root of their number, and so has the
        unit.
        """
        rounds = self.config.rounds
        unit = self.smallest * (self.clip_norm if bound is None else bound) * self.config.smoothing / math.sqrt(rounds)
        moved = parameters.copy()
        if round == 1:
            moved[self.place] *= np.float32(self.config.decay)
        moved[self.place] += mean[self.place] / np.float32(unit * rounds)
        counts = moved[self.place]  # a view
        middle = np.expm1(np.log1p(np.maximum(counts[there], 0)).mean()) if len(there) else 0.0
        yet_to_come = np.ones(len(counts), dtype=np.bool_)
        yet_to_come[there] = False
        counts[yet_to_come] = middle
        return moved

    def kept(self, before: NDArray[np.float32], after: NDArray[np.float32]) -> NDArray[np.float32]:
        """`after` [params] with the counts of `before`."""
        kept = after.copy()
        kept[self.place] = before[self.place]
        return kept
