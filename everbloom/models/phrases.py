"""A person described by words: each phrase stands in the history as an item of which nothing but its text is known."""

from copy import deepcopy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from everbloom.errors import ConfigError
from everbloom.models.features.reduction import project_like
from everbloom.models.recommender import Recommender


def with_phrases(model: Recommender, features: NDArray[np.float32] | None, phrases: NDArray[np.float32]) -> Recommender:
    """A copy of the model whose last items are phrases with the features `phrases` [phrases, width]; `features` [items, width]: the catalogue's.

    As an item that nobody has met yet, a phrase has no collaborative vector and no bias. Raises `ConfigError` if the model reads no texts.
    """
    if model.item.features is None or features is None:
        raise ConfigError(
            "model.items.features: this model knows items by their numbers alone and reads no words; train one with features, or name a user"
        )
    other = deepcopy(model)
    count = len(phrases)
    other.item.items += count
    own = torch.from_numpy(project_like(features, model.feature_dim, phrases))
    other.item.features = torch.cat([model.item.features, own])
    for table in (other.item.embedding, other.item.item_bias):
        if table is not None:
            _append(table, count)
    if other.content is not None:
        unit = functional.normalize(torch.from_numpy(phrases), dim=1)
        other.content.features = torch.cat([other.content.features, unit])
    return other


def _append(table: nn.Embedding, rows: int) -> None:
    """Rows of nothing."""
    weight = table.weight.detach()
    table.weight = nn.Parameter(torch.cat([weight, torch.zeros((rows, weight.shape[1]))]))
    table.num_embeddings += rows
