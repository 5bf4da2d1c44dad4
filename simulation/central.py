"""`everbloom central`: pooled training of an experiment's model, measured exactly as the federation is."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from everbloom.evaluation.model_scorer import ModelScorer
from everbloom.learning.candidates import known_items
from everbloom.learning.counting import Votes
from everbloom.learning.pooled import PooledTrainer
from everbloom.study import Study
from server.counting import Counting
from server.measuring import evaluator_of, selected
from server.summary import mean_by_protocol

MODEL = "central"
Told = Callable[[int, float, float], None]
"""Called after each epoch with (epoch, mean loss, validation measure)."""


def train_centrally(study: Study, tell: Told) -> tuple[dict[str, dict[str, float]], list[dict[str, Any]]]:
    """(protocol -> measure -> mean over tested periods, all test records): per period, trains until validation stops improving.

    Like the federation, a timeline is tested before a period is trained on, and the best epoch's parameters are kept.
    """
    study.check_central("pooled training")
    evaluator = evaluator_of(study)
    model = study.new_model()
    layout = study.model_layout
    scorer_model = study.new_model()
    tests: list[dict[str, Any]] = []

    def scorer() -> ModelScorer:
        return ModelScorer(scorer_model, layout, layout.flat(model), study.dataset.events)

    loo = study.experiment.protocol.name == "leave-one-out"
    for period in range(study.timeline.periods):
        if not loo and study.timeline.has(period, "test"):
            tests += evaluator.measure(scorer(), model=MODEL, period=period, round=0, split="test")
        if not loo and period == study.timeline.periods - 1:
            break  # nothing comes after the last period that could test what it teaches
        epoch = _train_period(study, model, period, scorer, evaluator, tell)
        if loo:
            tests += evaluator.measure(scorer(), model=MODEL, period=period, round=epoch, split="test")
    return mean_by_protocol(tests, MODEL), tests


def _train_period(
    study: Study, model: Any, period: int, scorer: Callable[[], ModelScorer], evaluator: Any, tell: Told
) -> int:
    """Trains one period in place and leaves the best epoch's parameters; returns that epoch."""
    experiment = study.experiment
    _count(study, model, period)
    trainer = PooledTrainer(model, study.timeline, experiment.learning, experiment.central, experiment.seed)
    best, best_epoch, parameters = -1.0, 0, study.model_layout.flat(model)
    for epoch in range(1, experiment.central.epochs + 1):
        loss = trainer.epoch(period, epoch)
        records = evaluator.measure(scorer(), model=MODEL, period=period, round=epoch, split="validation", subset=True)
        value = selected(records, experiment.evaluation)
        tell(epoch, loss, value)
        if value > best:
            best, best_epoch, parameters = value, epoch, study.model_layout.flat(model)
        elif epoch - best_epoch >= experiment.central.patience:
            break
    with torch.no_grad():
        study.model_layout.bind(model).copy_(torch.from_numpy(parameters))
    return best_epoch


def _count(study: Study, model: Any, period: int) -> None:
    """Gives a popularity prior everybody's votes of a period, in the unit that a federation without privacy has."""
    prior, layout, timeline = study.experiment.model.prior, study.model_layout, study.timeline
    if prior is None:
        return
    cohort = study.experiment.federation.cohort_size(study.trainers)
    counting = Counting.of(prior, layout.counted, None, layout.size(), cohort)
    everybody = timeline.log.histories(np.arange(timeline.log.users))
    items = len(timeline.catalog)
    votes = Votes.of_users(everybody, timeline.weight, timeline.window(period), items)
    parameters, mean = layout.flat(model), np.zeros(layout.size(), dtype=np.float32)
    mean[layout.counted] = np.bincount(votes.item, minlength=items) / max(votes.voters, 1)
    there = known_items(timeline.catalog.first_seen, timeline.window(period))
    for round in range(1, prior.rounds + 1):
        parameters = counting.counted(parameters, mean, round, there)
    with torch.no_grad():
        layout.bind(model).copy_(torch.from_numpy(parameters))
