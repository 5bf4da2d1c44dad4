"""Trains a cohort: everybody's update from the same parameters, as a sum or one by one."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from everbloom.config import LearningConfig, ModelConfig
from everbloom.continual.distillation import Distillation
from everbloom.learning.cohort.batches import Cohort
from everbloom.learning.cohort.budget import make_budget
from everbloom.learning.cohort.losses import losses_of
from everbloom.learning.cohort.own_models import OwnModelTraining
from everbloom.learning.cohort.personal import PersonalWeights
from everbloom.learning.cohort.plain import PlainTraining
from everbloom.learning.cohort.private import PrivateTraining
from everbloom.learning.cohort.steered import SteeredTraining
from everbloom.learning.cohort.weights import Skeleton
from everbloom.learning.steering import Steering
from everbloom.learning.teacher import Teacher
from everbloom.models.layout import ParameterLayout
from everbloom.models.recommender import Recommender
from everbloom.privacy.plan import PrivacyPlan
from everbloom.privacy.release import UpdateRelease, clip_factors, within

CPU = torch.device("cpu")


@dataclass(frozen=True, eq=False)
class CohortUpdate:
    """`deltas`: the sum [1, numbers] or each client's [trained, numbers]; of the clients that are true in `trained` [clients]. Numbers are the
    parameters in float32, or what a plan's release makes of them.

    The others' updates were not finite: a number whose sensitivity is unknown never leaves a device. `kept` [clients, numbers]: what each client
    keeps for its next round (`kept_size`), which is not sent; that of the others is what it was.
    """

    deltas: NDArray[Any]
    trained: NDArray[np.bool_]
    kept: NDArray[np.float32]


class CohortTrainer:
    """What `LocalTrainer` does for one client after another, for all of them together."""

    def __init__(
        self,
        model: Recommender,
        config: ModelConfig,
        layout: ParameterLayout,
        learning: LearningConfig,
        plan: PrivacyPlan | None,
        memory: int | None = None,
        device: torch.device = CPU,
        distillation: Distillation | None = None,
    ) -> None:
        """Takes the model for itself. `memory`: bytes that training may hold, None for no limit."""
        self._teacher = None if distillation is None else Teacher(model.to(device), layout, distillation)
        self.learning = learning
        self.plan = plan
        self.skeleton = Skeleton(model, layout, device)
        private = plan is not None and plan.dp_sgd is not None
        self.budget = make_budget(
            config,
            learning,
            layout.size(),
            model.item.items,
            memory,
            model.item.tower,
            by_example=private and not model.item.linear,
            event=model.user.event_bytes,
        )
        if private and model.item.fusion is not None:
            self.budget = replace(self.budget, item=model.item.fusion.item_bytes)
        self.layout = layout
        self.training = (
            PrivateTraining(self.skeleton, learning, plan.dp_sgd, self.budget)
            if plan is not None and plan.dp_sgd is not None
            else (SteeredTraining if learning.steered else PlainTraining)(self.skeleton, learning, self.budget)
        )
        self.own = None if learning.own is None else OwnModelTraining(self.skeleton, learning.own, self.budget.whole)

    def learn_from(self, teacher: NDArray[np.float32] | None) -> None:
        """Parameters [params] of the model that following updates distil from, under an experiment with distillation; None: from none."""
        self.training.teacher = None if self._teacher is None or teacher is None else self._teacher.load(teacher)
        if self.own is not None:
            self.own.teacher = self.training.teacher

    def losses(self, parameters: NDArray[np.float32], cohort: Cohort) -> NDArray[np.float32]:
        """[examples] the objective under `parameters` [params]; nothing is dropped and nothing learnt."""
        found: NDArray[np.float32] = losses_of(
            self.skeleton, self.learning, self.budget, self._start(parameters), cohort
        ).numpy()
        return found

    def total(
        self,
        parameters: NDArray[np.float32],
        cohort: Cohort,
        bound: float | None = None,
        sent: NDArray[np.float32] | None = None,
    ) -> CohortUpdate:
        """The clients' updates from `parameters` [params], summed; clipped to `bound` (default: the plan's) where the plan says so. `sent` [params]:
        what the server sends beside the model, under an algorithm that has it do so.

        Raises `InputError` if one client does not fit into the memory.
        """
        if (release := self._release) is not None:
            if release.summable:
                return self._clipped_total(release, parameters, cohort, self._bound(bound), sent)
            update = self.each(parameters, cohort, bound, sent)
            return replace(update, deltas=update.deltas.sum(axis=0, dtype=update.deltas.dtype, keepdims=True))
        start = self._start(parameters)
        trained = np.ones(len(cohort), dtype=np.bool_)
        if len(cohort) and self.learning.local_steps == 1 and not self.learning.steered:
            own = self._own(start, cohort, sent)
            total = self.training.together(start, cohort, own.personal)
            if bool(total.isfinite().all() and own.finite().all()):
                return CohortUpdate(total.cpu().numpy()[None], trained, own.kept(trained))
        # One by one: each has its own parameters after the first step, or somebody's have to be left out.
        total, own = torch.zeros_like(start), self._own(start, cohort, sent)
        for deltas in self.training.apart(start, cohort, own.personal):
            good = deltas.finite() & own.finite(deltas.clients)
            trained[deltas.clients[~good.cpu().numpy()]] = False
            deltas.add_to(total, self.skeleton, good)
        return CohortUpdate(total.cpu().numpy()[None], trained, own.kept(trained))

    def each(
        self,
        parameters: NDArray[np.float32],
        cohort: Cohort,
        bound: float | None = None,
        sent: NDArray[np.float32] | None = None,
    ) -> CohortUpdate:
        """The clients' updates from `parameters` [params], one by one; released with `bound` (default: the plan's) where the plan says so. `sent`
        as in `total`.

        Raises `InputError` if one client does not fit into the memory.
        """
        start = self._start(parameters)
        own = self._own(start, cohort, sent)
        found = torch.zeros((len(cohort), len(start)))
        for deltas in self.training.apart(start, cohort, own.personal):
            deltas.write_to(found, self.skeleton)
        trained = (found.isfinite().all(dim=1) & own.finite().cpu()).numpy()
        good = found[torch.from_numpy(trained)]
        if (release := self._release) is None:
            return CohortUpdate(good.numpy(), trained, own.kept(trained))
        finished = finished_updates(release, good, self._bound(bound), cohort, trained)
        return CohortUpdate(finished, trained, own.kept(trained))

    def _clipped_total(
        self,
        release: UpdateRelease,
        parameters: NDArray[np.float32],
        cohort: Cohort,
        bound: float,
        sent: NDArray[np.float32] | None,
    ) -> CohortUpdate:
        """As `release` makes of each, but without laying out each: a client's delta touches few rows of the item tables."""
        start = self._start(parameters)
        own = self._own(start, cohort, sent)
        trained = np.ones(len(cohort), dtype=np.bool_)
        total = torch.zeros_like(start)
        inside = 0.5 * len(cohort)  # of who is left out below nothing has moved
        for deltas in self.training.apart(start, cohort, own.personal):
            norms = deltas.norms()
            good = deltas.finite() & norms.isfinite() & own.finite(deltas.clients)
            trained[deltas.clients[~good.cpu().numpy()]] = False
            deltas.scaled(clip_factors(norms, bound)).add_to(total, self.skeleton, good)
            inside += float(within(norms[good], bound).sum()) - 0.5 * len(deltas.clients)
        summed = total.cpu().numpy()
        if release.tells_clipping:
            summed = np.append(summed, np.float32(inside))
        return CohortUpdate(summed[None], trained, own.kept(trained))

    def _own(self, start: torch.Tensor, cohort: Cohort, sent: NDArray[np.float32] | None) -> "_Own":
        personal, steering = PersonalWeights(self.skeleton, cohort.kept, len(cohort)), None
        if isinstance(self.training, SteeredTraining):
            steering = Steering(self.layout, self.learning, cohort.kept, len(cohort), sent, self.skeleton.device)
            self.training.steering = steering
        model = None if self.own is None else self.own.train(start, cohort, self.layout.counted)
        return _Own(personal, steering, cohort.kept, model)

    @property
    def _release(self) -> UpdateRelease | None:
        return None if self.plan is None else self.plan.release

    def _bound(self, bound: float | None) -> float:
        assert self.plan is not None
        return self.plan.clip_norm if bound is None else bound

    def _start(self, parameters: NDArray[np.float32]) -> torch.Tensor:
        # Arrays out of a message may be read-only, which torch remarks on; nothing here writes to them.
        start = torch.from_numpy(parameters if parameters.flags.writeable else parameters.copy()).to(
            self.skeleton.device
        )
        self.skeleton.begin(start)
        return start


def finished_updates(
    release: UpdateRelease, deltas: torch.Tensor, bound: float, cohort: Cohort, trained: NDArray[np.bool_]
) -> NDArray[Any]:
    """What leaves the clients of a cohort that are `trained` [clients], of their updates [trained, params]."""
    draws = cohort.fresh_draws() if release.draws_noise else ()
    return release.finish(deltas, bound, [draw.noise for draw, kept in zip(draws, trained, strict=False) if kept])


@dataclass(frozen=True, eq=False)
class _Own:
    """What each client of a cohort has for itself in a round. `before` [clients, numbers] is what it kept; `model` [clients, params] what its own
    model has become in this round, if it has one: nothing that is sent depends on it."""

    personal: PersonalWeights
    steering: Steering | None
    before: torch.Tensor | None
    model: torch.Tensor | None

    def finite(self, which: NDArray[np.int64] | slice = slice(None)) -> torch.Tensor:
        """[clients] bool, or of those at `which` alone."""
        flags = self.personal.finite(which)
        for values in (None if self.steering is None else self.steering.values, self.model):
            if values is not None:
                flags = flags & values[which].isfinite().all(dim=1).to(flags.device)
        return flags

    def kept(self, trained: NDArray[np.bool_]) -> NDArray[np.float32]:
        """[clients, numbers] for the next round."""
        if self.model is not None:
            assert self.before is not None, "own models are kept"
            return np.where(trained[:, None], self.model.numpy(), self.before.numpy())
        personal = self.personal.kept(trained)
        return personal if self.steering is None else np.hstack([personal, self.steering.kept(trained)])
