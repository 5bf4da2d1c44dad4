"""Membership inference: was this user's data in the training of a global model, seen after a brief training?

Half of the users, drawn anew for each of a few models, train a federation of half the size; the rest are strangers to it. Two attacks:

- `loss`: users on whose examples the model does well were there (Yeom et al., 2018).
- `LiRA`: the likelihood ratio of the user's loss between models with and without this user (Carlini et al., 2022, "Membership inference attacks from
  first principles"), with the other models as shadows. With so few of them, the variance is one for all users, as they advise.

Models come in pairs, one trained by those users who did not train the other. A model's shadows are the other pairs, so that every user has as many
shadows of either kind; with its own partner among them, how many there are would give the answer away.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray

from everbloom.config import RuntimeConfig
from everbloom.data.timeline import positive_weights
from everbloom.experiment import Experiment
from everbloom.learning.candidates import build_candidates, draw_negatives
from everbloom.learning.examples import build_examples
from everbloom.privacy.audit import roc
from everbloom.privacy.audit.thresholds import Floats
from everbloom.seeding import PublicDraws, numpy_generator
from everbloom.study import Study
from server.checkpoint import load_checkpoint
from server.federation import Federation, initial_state
from server.observer import Silent
from server.run_directory import RunDirectory
from simulation.evaluating import also_evaluating
from simulation.grid import InProcessGrid, node_of
from simulation.memory import PeakMemory
from simulation.personal import open_personal
from simulation.workers import open_ledger, serial_answers

_EXAMPLES = 20
"""Of a user, at most, that its loss is the mean of."""
_BATCH = 1024
_MEASURED = 2
"""Users on whom the brief federations are measured, since they must be; nobody looks at it."""


@dataclass(frozen=True)
class MembershipInference:
    """One attack on all users and every model in turn: the mean area, with the interval of one model's; and the mean power at 1% false alarms."""

    attack: str
    private: bool
    models: int
    rounds: int
    users: int
    area: roc.Area
    power: float


def infer_members(study: Study, models: int, rounds: int, seed: int, alpha: float) -> list[MembershipInference]:
    """Both attacks on `models` (even, at least 4) federations of `rounds` rounds a period."""
    brief = replace(study, experiment=_brief(study, rounds))
    members = _members(study.clients, models, seed)
    trained = [_train(brief, np.flatnonzero(inside)) for inside in members]
    losses = np.stack([_losses(study, parameters, seed) for parameters in trained])
    known = np.isfinite(losses).all(axis=0)
    scores = {"loss": -losses[:, known], "LiRA": likelihood_ratios(losses[:, known], members[:, known])}
    return [
        _judged(attack, found, members[:, known], study.plan is not None, rounds, alpha)
        for attack, found in scores.items()
    ]


def likelihood_ratios(losses: Floats, members: NDArray[np.bool_]) -> Floats:
    """[models, users] up to a factor, log p(loss | member) - log p(loss | stranger), both normal around the means of the other pairs' models.

    Models 2 i and 2 i + 1 are pairs: each user is a member of one of them. At least two pairs.
    """
    first, second, inside = losses[::2], losses[1::2], members[::2]
    found = np.zeros_like(losses)
    for kind, sign in ((np.where(inside, first, second), -1.0), (np.where(inside, second, first), 1.0)):
        others = (kind.sum(axis=0) - kind) / (len(kind) - 1)
        found += sign * np.square(losses - np.repeat(others, 2, axis=0))
    return found


def _judged(
    attack: str, scores: Floats, members: NDArray[np.bool_], private: bool, rounds: int, alpha: float
) -> MembershipInference:
    pairs = [(found[~inside], found[inside]) for found, inside in zip(scores, members, strict=True)]
    areas = [roc.area(*pair, alpha) for pair in pairs]
    value, low, high = (float(np.mean([getattr(area, name) for area in areas])) for name in ("value", "low", "high"))
    power = float(np.mean([roc.power_at(*pair, 0.01) for pair in pairs]))
    models, users = scores.shape
    return MembershipInference(attack, private, models, rounds, users, roc.Area(value, low, high), power)


def _members(users: int, models: int, seed: int) -> NDArray[np.bool_]:
    """[models, users] who trains which: every second model has the users that the one before it has not."""
    rng = numpy_generator(seed, "audit-members")
    found = np.zeros((models, users), dtype=np.bool_)
    for pair in range(0, models, 2):
        found[pair, rng.permutation(users)[: users // 2]] = True
        found[pair + 1] = ~found[pair]
    return found


def _brief(study: Study, rounds: int) -> Experiment:
    """Half the cohort for half the users, with the noise of the whole experiment: its plan would calibrate less to fewer rounds."""
    experiment, plan = study.experiment, study.plan
    cohort = experiment.federation.cohort
    federation = {
        "rounds": rounds,
        "cohort": max(1, cohort // 2) if isinstance(cohort, int) else cohort / 2,
        "checkpoint_every": rounds,
        "early_stop": None,
    }
    evaluation = {
        "every": rounds,
        "max_users": _MEASURED,
        "max_test_users": _MEASURED,
        "slices": False,
        "candidates": None,
    }
    privacy = {} if plan is None else {"epsilon": None, "noise_multiplier": plan.noise_multiplier}
    return experiment.model_copy(
        update={
            "federation": experiment.federation.model_copy(update=federation),
            "evaluation": experiment.evaluation.model_copy(update=evaluation),
            "privacy": experiment.privacy.model_copy(update=privacy),
            "runtime": RuntimeConfig(),
            "population": None,
        }
    )


def _train(study: Study, members: NDArray[np.int64]) -> NDArray[np.float32]:
    """[params] after the last round of a federation of these users."""
    with TemporaryDirectory() as folder:
        run = RunDirectory.create(Path(folder) / "run", study.experiment)
        state = initial_state(study)
        ledger = open_ledger(run.path / "devices" / "participations.npy", state.participations)
        personal = open_personal(run.path / "devices", study, saved=None)
        roster = {client: node_of(client) for client in members.tolist()}
        with serial_answers(study, ledger, PeakMemory()) as trained, also_evaluating(study, ledger, trained) as answer:
            Federation(
                study, run, InProcessGrid(study.clients, answer), roster, Silent(), state, personal=personal
            ).run()
        # A run ends with the parameters that did best on its few measured users; the checkpoint holds the last ones.
        last = load_checkpoint(run, study.layout.schema, study.clients)
    assert last is not None
    return last.parameters


def _losses(study: Study, parameters: NDArray[np.float32], seed: int) -> Floats:
    """[users] mean loss on some of each one's own examples in the last period; nan without any."""
    learning = study.experiment.learning.model_copy(update={"max_examples": _EXAMPLES})
    clients = np.arange(study.clients)
    draws = PublicDraws(seed, clients, 0, 0)
    events = study.dataset.events.histories(clients)
    model = study.new_model().eval()
    examples, counts = build_examples(
        events,
        positive_weights(events, study.terms.labels),
        study.timeline.window(study.timeline.periods - 1),
        learning,
        model.history,
        disjoint=True,
        draws=draws,
    )
    negatives = draw_negatives(
        np.arange(len(study.dataset.catalog)), learning.negatives, PublicDraws(seed, clients[:1], 0, 0)
    )
    study.layout.bind(model).copy_(torch.from_numpy(parameters))
    found = []
    with torch.inference_mode():
        for rows in torch.arange(len(examples)).split(_BATCH):
            part = examples.take(rows)
            scores = model(part.items, part.circumstances, negatives, part.place)
            found.append(learning.objective.per_example(scores, build_candidates(part, negatives, model.item.items)))
    owner = np.repeat(clients, counts)
    each = torch.cat(found).double().numpy() if found else np.zeros(0)
    with np.errstate(invalid="ignore"):
        return np.bincount(owner, weights=each, minlength=len(clients)) / np.where(counts > 0, counts, np.nan)
