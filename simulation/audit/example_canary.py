"""A real example on real devices: against the engine that simulations train with, at the experiment's own model.

The attacker is the server. It chose the parameters, so it knows what the canary's gradient is there, and it measures every message along that.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from client.randomness import SeededRandomness
from everbloom.data.events import Histories
from everbloom.data.timeline import FOREVER, TrainingWindow
from everbloom.learning.candidates import draw_negatives
from everbloom.learning.cohort.batches import Cohort
from everbloom.learning.cohort.engine import CohortTrainer
from everbloom.learning.examples import Examples, build_examples
from everbloom.privacy.audit.evidence import privacy_loss
from everbloom.privacy.mechanisms.dp_sgd import DpSgdPlan
from everbloom.seeding import PublicDraws, numpy_generator
from everbloom.study import Study
from simulation.audit.claims import Floats
from simulation.audit.devices import HELD, Ledgers, fresh_ledgers, rounds_answered

_OTHERS = 2
"""Examples that a device holds anyway."""
_DRAWN = 64
"""Examples of which the one with the longest gradient becomes the canary."""
_SWELLING = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""What the server may multiply its parameters with until that gradient is as long as the clip norm."""
TrainerOf = Callable[[Study, DpSgdPlan | None], CohortTrainer]


def cohort_trainer(study: Study, plan: DpSgdPlan | None) -> CohortTrainer:
    """The engine, with a model of its own; without a plan, one exact step."""
    experiment = study.experiment
    learning = experiment.learning
    if plan is None:
        learning = learning.model_copy(update={"local_steps": 1, "proximal_mu": 0.0, "learning_rate": 1.0})
    return CohortTrainer(study.new_model(), experiment.model, study.layout, learning, plan)


class ExampleCanary:
    """Many devices, a cohort at a time, each with noise of its own. `trainer` builds what is audited."""

    name = "devices in a cohort (engine), real example"

    def __init__(
        self, study: Study, plan: DpSgdPlan, trainer: TrainerOf = cohort_trainer, ledgers: Ledgers = fresh_ledgers
    ) -> None:
        self.study = study
        self.plan = plan
        self.ledgers = ledgers
        self.trainer = trainer(study, plan)
        self.canary = _choose(study, plan.clip_norm)

    def release(self, included: NDArray[np.bool_], seed: int) -> Floats:
        """See `AuditedMechanism`."""
        found = []
        pieces = np.array_split(np.arange(len(included)), -(-len(included) * 4 * self.study.layout.size() // HELD))
        for round in rounds_answered(self.ledgers(self.plan, len(included)), len(included), self.plan):
            found.append(np.concatenate([self._messages(included[some], some, seed, round) for some in pieces]))
        seen = np.array(found, dtype=np.float64).reshape(len(found), len(included)).T
        if self.plan.sample_rate < 1 and self.plan.steps_per_round == 1:
            return privacy_loss(seen, self.plan.noise_multiplier, self.plan.sample_rate)
        return seen

    def _messages(self, included: NDArray[np.bool_], devices: NDArray[np.int64], seed: int, round: int) -> Floats:
        """[devices] what their updates say of the canary, in clip norms."""
        canary = self.canary
        others = 0 if self.plan.sample_rate < 1 else _OTHERS
        # A unit that reaches several examples adds so many of them; it could turn others around besides, which is not tried here.
        counts = others + included * int((self.plan.reach + 1) / 2)
        rows = np.minimum(np.concatenate([np.arange(count) for count in counts]), others) + (_OTHERS - others)
        cohort = replace(
            _cohort(self.study, canary.examples.take(torch.from_numpy(rows)), counts),
            draws=lambda: tuple(SeededRandomness(seed, device).draws(0, round) for device in devices.tolist()),
        )
        deltas = self.trainer.each(canary.parameters, cohort).deltas
        rate = self.study.experiment.learning.learning_rate
        seen: Floats = (deltas @ canary.direction).astype(np.float64)
        return seen * self.plan.denominator / (rate * self.plan.clip_norm)


class _Canary(NamedTuple):
    """`examples`: what the devices hold anyway, and the canary as the last; `direction` [params] of its step at `parameters` [params]; `norm` of its
    gradient there.
    """

    examples: Examples
    parameters: NDArray[np.float32]
    direction: NDArray[np.float32]
    norm: float


def _choose(study: Study, clip_norm: float) -> _Canary:
    """The example with the longest gradient of some that are drawn, at parameters that make it at least `clip_norm` long if any do."""
    initial, plain = study.layout.flat(study.new_model()), cohort_trainer(study, None)
    drawn = _drawn(study, min(_DRAWN, max(_OTHERS + 1, HELD // initial.nbytes)))
    best: _Canary | None = None
    for swelling in _SWELLING:
        parameters = initial * np.float32(swelling)
        found = plain.each(parameters, _cohort(study, drawn, np.ones(len(drawn), dtype=np.int64)))
        norms = np.linalg.norm(found.deltas, axis=1)
        if len(norms) == 0 or (best is not None and norms.max() <= best.norm):
            continue
        place = int(norms.argmax())
        row = int(np.flatnonzero(found.trained)[place])
        others = [other for other in range(len(drawn)) if other != row][:_OTHERS]
        direction = found.deltas[place] / max(norms[place], np.float32(1e-12))
        best = _Canary(drawn.take(torch.tensor([*others, row])), parameters, direction, float(norms[place]))
        if best.norm >= clip_norm:
            break
    assert best is not None, "the initial model can be trained"
    return best


def _drawn(study: Study, count: int) -> Examples:
    """So many examples as the experiment makes them, of histories that are drawn uniformly from the catalogue."""
    experiment = study.experiment
    length, items = experiment.model.user.history, len(study.dataset.catalog)
    rng = numpy_generator(experiment.seed, "audit-canaries")
    item = rng.integers(items, size=count * length).astype(np.int32)
    histories = Histories(
        item=item,
        time=np.tile(np.arange(length), count),
        behaviour=np.zeros(len(item), dtype=np.uint8),
        value=np.ones(len(item), dtype=np.float32),
        offsets=np.arange(count + 1) * length,
    )
    examples, _ = build_examples(
        histories,
        np.ones(len(item), dtype=np.float32),
        TrainingWindow(np.iinfo(np.int64).min, FOREVER),
        experiment.learning,
        length,
        disjoint=True,
        draws=_public(experiment.seed),
    )
    return examples.take(torch.from_numpy(rng.permutation(len(examples))[:count]))


def _cohort(study: Study, examples: Examples, counts: NDArray[np.int64]) -> Cohort:
    """Devices that hold so many of the examples, one after the other; negatives and dropout are the same on all of them."""
    experiment = study.experiment
    negatives = draw_negatives(
        np.arange(len(study.dataset.catalog)), experiment.learning.negatives, _public(experiment.seed)
    )
    return Cohort(
        examples,
        counts,
        negatives.repeat(len(counts), 1),
        np.zeros(len(counts), dtype=np.uint64),
    )


def _public(seed: int) -> PublicDraws:
    return PublicDraws(seed, np.zeros(1, dtype=np.int64), 0, 0)
