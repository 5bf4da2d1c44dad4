"""One client's local training: the same function on a device, in a simulation and in a test."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from everbloom.config import LearningConfig
from everbloom.continual.distillation import Distillation
from everbloom.errors import InputError
from everbloom.learning.candidates import build_candidates
from everbloom.learning.examples import Examples
from everbloom.learning.masks import draw_masks
from everbloom.learning.steering import Steering, kept_size
from everbloom.learning.teacher import Teacher
from everbloom.models.layout import ParameterLayout
from everbloom.models.own_model import model_of
from everbloom.models.recommender import Recommender
from everbloom.privacy.noise import NoiseSource
from everbloom.privacy.plan import PrivacyPlan

if TYPE_CHECKING:
    from everbloom.privacy.mechanisms.dp_sgd import DpSgdPlan
    from everbloom.privacy.opacus_step import OpacusStep


DIVERGED = "local training diverged: the update is not finite; lower learning.learning_rate (or learning.personal_rate)"
"""Why a client sends nothing."""


@dataclass(frozen=True)
class Draws:
    """Where a client's randomness of one round comes from; on a real device `noise` is cryptographic."""

    dropout: np.uint64
    """Key of the dropout masks."""
    sampling: torch.Generator
    noise: NoiseSource


class LocalTrainer:
    """A model that trains for one client after another; `update` is a pure function of its arguments."""

    def __init__(
        self,
        model: Recommender,
        layout: ParameterLayout,
        learning: LearningConfig,
        plan: PrivacyPlan | None,
        distillation: Distillation | None = None,
    ) -> None:
        self.model = model
        self.layout = layout
        self.learning = learning
        self.vector = layout.bind(model)
        self.personal = layout.bind(model, "personal")
        self._initial = self.personal.clone()
        self.gradient = torch.zeros_like(self.vector)
        self.teacher: Teacher | None = None
        """Whom the next update distils from."""
        self._teacher = None if distillation is None else Teacher(model, layout, distillation)
        self.private = _private_step(plan.dp_sgd, model, learning) if plan is not None and plan.dp_sgd else None
        self._named = dict(model.named_parameters())

    def update(
        self,
        parameters: NDArray[np.float32],
        examples: Examples,
        negatives: torch.Tensor,
        draws: Draws,
        kept: NDArray[np.float32] | None = None,
        sent: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """The client's delta [params] after its local steps from `parameters` [params]; `negatives` [1, k] int64. Under a user unit it is not yet fit
        to leave the device: see `UpdateRelease`. `kept` [numbers] is what the client keeps from round to round (`kept_size`; None: nothing yet) and
        is brought up to date, in place. `sent` [params]: what the server sends beside the model, under an algorithm that has it do so.

        Raises `InputError` if it is not finite: a device must not release a number whose sensitivity is unknown.
        """
        start = torch.from_numpy(parameters)
        own = np.zeros(kept_size(self.layout, self.learning), dtype=np.float32) if kept is None else kept
        self.load(parameters, own)
        before = self.personal.clone()
        reached_own = self._own_model(parameters, own, examples, negatives, draws)
        steering = None
        if self.learning.steered:
            steering = Steering(self.layout, self.learning, torch.from_numpy(own[None].copy()), 1, sent)
        self.model.train()
        if self.private is not None:
            self.private.run(
                lambda batch, step: self._losses(examples, batch, negatives, draws, step),
                len(examples),
                draws.sampling,
                draws.noise,
                regularise=lambda: self._pull(start),
            )
        elif len(examples) or steering is not None:
            self._plain(self.learning, examples, negatives, start, draws, steering)
        delta: NDArray[np.float32] = (self.vector - start).numpy()
        reached = own[: len(before)] + (self.personal - before).numpy()
        if steering is not None:
            steering.remember(torch.from_numpy(delta)[None])
            reached = np.concatenate([reached, steering.values[0].numpy()])
        elif reached_own is not None:
            reached = np.concatenate([reached, reached_own])
        if not (np.isfinite(delta).all() and np.isfinite(reached).all()):
            raise InputError(DIVERGED)
        own[:] = reached
        return delta

    def load(self, parameters: NDArray[np.float32], kept: NDArray[np.float32]) -> None:
        """Makes them the model's: `parameters` [params], and of what the client has `kept` [numbers] what it begins with, the differences of its
        personal parameters from the initial ones.
        """
        self.vector.copy_(torch.from_numpy(parameters))
        self.personal.copy_(self._initial + torch.from_numpy(kept[: len(self.personal)]))

    def learn_from(self, teacher: NDArray[np.float32] | None) -> None:
        """Parameters [params] of the model that following updates distil from, under an experiment with distillation; None: from none."""
        self.teacher = None if self._teacher is None or teacher is None else self._teacher.load(teacher)

    @torch.no_grad()
    def losses(
        self,
        parameters: NDArray[np.float32],
        examples: Examples,
        negatives: torch.Tensor,
        kept: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """[examples] the objective under `parameters` [params] and what the client has `kept` [numbers]; nothing is dropped and nothing learnt."""
        self.load(parameters, kept)
        self.model.eval()
        scores = self.model(examples.items, examples.circumstances, negatives, examples.place)
        candidates = build_candidates(examples, negatives, self.model.item.items)
        found: NDArray[np.float32] = self.learning.objective.per_example(scores, candidates).numpy()
        return found

    def _own_model(
        self,
        parameters: NDArray[np.float32],
        kept: NDArray[np.float32],
        examples: Examples,
        negatives: torch.Tensor,
        draws: Draws,
    ) -> NDArray[np.float32] | None:
        """[params] what the client's own model, the last of what it `kept` [numbers], becomes in a round; None if it has none. The shared parameters
        are those of before."""
        learning = self.learning.own
        if learning is None:
            return None
        self.model.train()
        self.vector.copy_(torch.from_numpy(model_of(kept[len(self.personal) :], parameters, self.layout)))
        self._plain(learning, examples, negatives, torch.from_numpy(parameters), draws, None)
        reached: NDArray[np.float32] = self.vector.numpy().copy()
        self.load(parameters, kept)
        return reached

    def _plain(
        self,
        learning: LearningConfig,
        examples: Examples,
        negatives: torch.Tensor,
        start: torch.Tensor,
        draws: Draws,
        steering: Steering | None,
    ) -> None:
        """Full-batch gradient steps on the mean loss of the examples (0 if there are none), written into one flat gradient."""
        own = torch.zeros_like(self.personal)
        for slot in self.layout.slots:
            if slot.group in ("shared", "personal"):
                gradient = self.gradient if slot.group == "shared" else own
                self._named[slot.name].grad = gradient[slot.start : slot.end].view(slot.shape)
        everything = torch.arange(len(examples))
        linear = None if steering is None else steering.linear()[0]
        for step in range(learning.local_steps):
            self.gradient.zero_()
            own.zero_()
            if len(examples):
                self._losses(examples, everything, negatives, draws, step).mean().backward()
            self.gradient.add_(self.vector - start, alpha=learning.pull)
            if linear is not None:
                self.gradient.add_(linear)
            shared, personal = learning.moves(step)
            self.vector.add_(self.gradient, alpha=-learning.learning_rate if shared else 0.0)
            self.personal.add_(own, alpha=-learning.personal_rate if personal else 0.0)

    def _pull(self, start: torch.Tensor) -> None:
        """Adds FedProx's gradient mu (w - w_global) to each parameter's."""
        if self.learning.proximal_mu == 0:
            return
        drift = self.vector - start
        for slot in self.layout.slots:
            if slot.group == "shared":
                gradient = self._named[slot.name].grad
                assert gradient is not None
                gradient.add_(drift[slot.start : slot.end].view(slot.shape), alpha=self.learning.proximal_mu)

    def _losses(
        self, examples: Examples, batch: torch.Tensor, negatives: torch.Tensor, draws: Draws, step: int
    ) -> torch.Tensor:
        """[batch] losses. Under privacy each example sees its own copy of the negatives, so that per-example gradients are separate."""
        masks = draw_masks(self.model, np.array([draws.dropout]), np.array([len(examples)]), step)
        part = examples.take(batch)
        if self.private is not None:
            negatives = negatives.expand(len(part), -1)
        scores = self.model(
            part.items, part.circumstances, negatives, part.place, None if masks is None else masks[batch]
        )
        candidates = build_candidates(part, negatives, self.model.item.items)
        losses = self.learning.objective.per_example(scores, candidates)
        return losses if self.teacher is None else losses + self.teacher.losses(part, negatives, candidates, scores)


def _private_step(plan: "DpSgdPlan", model: Recommender, learning: LearningConfig) -> "OpacusStep":
    """Opacus doubles the import time of a client, which on a SuperNode is a new process for every message."""
    from everbloom.privacy.opacus_step import OpacusStep

    return OpacusStep(plan, model, learning.learning_rate)
