"""One batch through the recommender, cut open at the item vectors and at the candidates' scores."""

from typing import NamedTuple

import torch
from torch.nn import functional

from everbloom.learning.cohort.batches import Batch
from everbloom.learning.cohort.places import Places, distinct
from everbloom.learning.cohort.table import Vectors
from everbloom.learning.teacher import Teacher
from everbloom.methods import Objective
from everbloom.models.content import ContentMatch
from everbloom.models.recommender import Recommender, Signals


class Passed(NamedTuple):
    """What a pass leaves for the backward one. `own`, `other`: (vectors, biases); scores [examples, scored, columns]; losses [examples]."""

    own: tuple[torch.Tensor, torch.Tensor]
    other: tuple[torch.Tensor, torch.Tensor]
    users: torch.Tensor
    other_scores: torch.Tensor
    losses: torch.Tensor


def forward(
    model: Recommender,
    objective: Objective,
    table: Vectors,
    batch: Batch,
    places: Places,
    signals: Signals,
    teacher: Teacher | None,
) -> Passed:
    """The same scores and losses as `Recommender.forward` and the objective. `signals`: of `signals_of`; `teacher`: whom it
    distils from, if anybody."""
    own, other = table.take(places.own), table.take(places.other)
    users = model.read(own[0], batch.examples.circumstances, batch.examples.place, batch.masks)
    own_scores, other_scores = model.score(users, *own), model.score(users, *other)
    scores = model.mixed(torch.cat([own_scores, other_scores], dim=-1), signals)
    losses = objective.per_example(scores, batch.candidates)
    if teacher is not None:
        losses = losses + teacher.losses(batch.examples, batch.negatives, batch.candidates, scores)
    return Passed(own, other, users, other_scores, losses)


def signals_of(model: Recommender, batch: Batch) -> Signals:
    """As `Recommender.signals`: the same in every step of a round."""
    items, place, negatives = batch.examples.items, batch.examples.place, batch.negatives
    return Signals(
        content=None if model.content is None else similarities(model.content, batch),
        prior=None if model.prior is None else model.prior.signals(items, negatives),
        cooccurrence=None if model.cooccurrence is None else model.cooccurrence.signals(items, place, negatives),
    )


def similarities(content: ContentMatch, batch: Batch) -> torch.Tensor:
    """`ContentMatch.similarities`, with the products of a unit's items taken once and not for every example they lie in."""
    units, k = batch.negatives.shape
    examples, positions = batch.examples.items.shape
    rows, local = distinct(batch.examples.items.view(units, -1))
    vectors = functional.embedding(rows, content.features)
    every = torch.cat([vectors, functional.embedding(batch.negatives, content.features)], dim=1)
    products = vectors @ every.transpose(1, 2)
    back = batch.examples.place.unsqueeze(2) - 1 - torch.arange(content.lags, device=rows.device)
    scored = back.shape[1]
    read = torch.gather(local.view(examples, positions), 1, back.clamp(min=0).view(examples, -1))
    width = rows.shape[1]
    unit = torch.arange(units, device=rows.device).repeat_interleave(examples // units).unsqueeze(1) * width
    lines = products.view(units * width, width + k)[(read + unit).view(-1)].view(examples, scored, content.lags, -1)
    mine = local.view(examples, 1, 1, positions).expand(-1, scored, content.lags, -1)
    found = torch.cat([torch.gather(lines, 3, mine), lines[..., width:]], dim=3)
    return (found * (back >= 0).unsqueeze(3)).transpose(2, 3)
