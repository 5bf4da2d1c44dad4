"""A person described by words: each phrase stands in the history as an item of which nothing but its text is known."""

import torch
from torch import nn

from everbloom.models.other_content import OtherContent
from everbloom.models.recommender import Recommender
from everbloom.models.settled import settled


def with_phrases(model: Recommender, phrases: OtherContent) -> Recommender:
    """A settled copy of a model that reads texts, whose last items are these phrases.

    As an item that nobody has met yet, a phrase has no collaborative vector, no bias and no popularity.
    """
    other = settled(model)
    item, count = other.item, len(phrases.read)
    assert item.features is not None, "phrases were read by a model that reads texts"
    item.items += count
    item.features = torch.cat([item.features, phrases.read])
    if item.fusion is not None:
        assert phrases.matrix is not None, "phrases were read by this model"
        assert phrases.present is not None, "phrases were read by this model"
        item.fusion.features = torch.cat([item.fusion.features, phrases.matrix])
        item.fusion.present = torch.cat([item.fusion.present, phrases.present])
    for table in (item.embedding, item.item_bias):
        if table is not None:
            table.weight = _longer(table.weight, count)
            table.num_embeddings += count
    if other.prior is not None:
        other.prior.counts = _longer(other.prior.counts, count)
    for compared in (other.content, other.cooccurrence):
        if compared is not None and compared.features is not None:
            compared.features = torch.cat([compared.features, phrases.unit])
    return other


def _longer(parameter: torch.Tensor, rows: int) -> nn.Parameter:
    """With rows of nothing."""
    values = parameter.detach()
    longer = torch.cat([values, torch.zeros((rows, *values.shape[1:]))])
    return nn.Parameter(longer, requires_grad=parameter.requires_grad)
