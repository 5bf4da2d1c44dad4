"""A person described by words: each phrase stands in the history as an item of which nothing but its text is known."""

import torch
from torch import nn

from everbloom.models.other_texts import OtherTexts
from everbloom.models.recommender import Recommender
from everbloom.models.settled import settled


def with_phrases(model: Recommender, phrases: OtherTexts) -> Recommender:
    """A settled copy of a model that reads texts, whose last items are these phrases.

    As an item that nobody has met yet, a phrase has no collaborative vector and no bias.
    """
    other = settled(model)
    assert other.item.features is not None, "phrases were read by a model that reads texts"
    count = len(phrases.read)
    other.item.items += count
    other.item.features = torch.cat([other.item.features, phrases.read])
    for table in (other.item.embedding, other.item.item_bias):
        if table is not None:
            _append(table, count)
    if other.content is not None:
        other.content.features = torch.cat([other.content.features, phrases.unit])
    return other


def _append(table: nn.Embedding, rows: int) -> None:
    """Rows of nothing."""
    weight = table.weight.detach()
    table.weight = nn.Parameter(torch.cat([weight, torch.zeros((rows, weight.shape[1]))]))
    table.num_embeddings += rows
