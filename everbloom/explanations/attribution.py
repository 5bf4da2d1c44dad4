"""How much each piece of a history raised the score of some items, in two ways that check each other."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from everbloom.data.events import NO_ITEM, EventLog
from everbloom.evaluation.model_scorer import ModelScorer
from everbloom.explanations.conserving import Conserving
from everbloom.explanations.counterfactuals import NO_PIECE, asked_now, without_each
from everbloom.models.recommender import CatalogueVectors


def leave_one_out(
    scorer: ModelScorer, log: EventLog, piece: NDArray[np.int64], catalogue: CatalogueVectors, now: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(contributions [pieces, items], scores [items]): how much lower each item's score would be had the events of a piece not happened.

    Exact, all at once: one pass of the user encoder over the history and the history without each piece. Where an event leaves, an older one that
    had no place any more is read again. `scorer` belongs to `log`, of one user, or knows nothing of users; `piece` [events] is of `pieces`.
    """
    others = without_each(log, piece)
    own = None if scorer.personal is None else np.repeat(scorer.personal[:1], others.users, axis=0)
    cases = asked_now(others, _nothing(scorer), now)
    scores = scorer.of(others, own).score(cases, np.arange(len(cases)), catalogue).numpy()
    return scores[0] - scores[1:], scores[0]


def gradient_times_input(
    scorer: ModelScorer, log: EventLog, piece: NDArray[np.int64], catalogue: CatalogueVectors, now: int
) -> NDArray[np.float32]:
    """[pieces, items]: d score / d vector . vector, summed over the events of a piece (Shrikumar et al., 2016, arXiv 1605.01713), and what they add
    to a content match, which is linear in them.

    Gradients are those of `Conserving`. Costs one pass forward and one back, and is no counterfactual: it knows nothing of the places in a history
    that change when an event is taken out.
    """
    one = scorer.of(log, scorer.personal)
    cases, count = asked_now(log, _nothing(scorer), now), len(catalogue.items)
    catalogue = catalogue.take(torch.arange(count))  # tensors made in inference mode take part in no gradient
    copies = np.zeros(count, dtype=np.int64)
    read: list[torch.Tensor] = []
    items: list[torch.Tensor] = []

    def watch(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: Any) -> Any:
        read.append(output[0].detach().requires_grad_())
        items.append(inputs[0])
        return read[0], output[1]

    watching = scorer.model.item.register_forward_hook(watch)
    try:
        with torch.enable_grad(), Conserving():
            own = one.scores(cases.take(copies), np.arange(count), catalogue)
    finally:
        watching.remove()
    (gradient,) = torch.autograd.grad(own.diagonal().sum(), read)
    effect = (gradient * read[0]).sum(dim=2).detach().T  # [events read, items]
    numbers = piece[log.item != NO_ITEM]
    numbers = numbers[max(0, len(numbers) - len(effect)) :]
    if scorer.model.content is not None and catalogue.features is not None:
        length = torch.tensor([len(numbers)])
        with torch.inference_mode():
            effect = effect + scorer.model.content.by_event(items[0][:1], length, catalogue.features)[0]
    return _by_piece(effect[: len(numbers)].numpy(), numbers)


def _by_piece(effect: NDArray[np.float32], piece: NDArray[np.int64]) -> NDArray[np.float32]:
    """[pieces, items] sums of the effects [events, items] of each piece's events."""
    total = np.zeros((int(piece.max(initial=NO_PIECE)) + 1, effect.shape[1]), dtype=np.float32)
    np.add.at(total, piece, effect)
    return total


def _nothing(scorer: ModelScorer) -> NDArray[np.bool_]:
    """Scoring does not ask what can be recommended."""
    return np.zeros(len(scorer.catalogue.items), dtype=np.bool_)
