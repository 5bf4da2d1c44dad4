"""The recommender: item encoder, user encoder, score."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from everbloom.config import ModelConfig
from everbloom.models.items import ItemEncoder
from everbloom.models.scores import SCORES
from everbloom.models.users import UserEncoder
from everbloom.seeding import derive


class Recommender(nn.Module):
    """score(user's history, item)."""

    def __init__(self, items: int, features: torch.Tensor | None, config: ModelConfig) -> None:
        super().__init__()
        self.history = config.user.history
        self.item = ItemEncoder(items, config.dim, features, config.items)
        self.user = UserEncoder(config.dim, config.user)
        self.score = SCORES[config.score](config.dim)

    def forward(self, items: torch.Tensor, behaviour: torch.Tensor, negatives: torch.Tensor) -> torch.Tensor:
        """Scores of each position's candidates: the example's own items, then the negatives.

        items [examples, positions] int64 (padding at the end), behaviour likewise, negatives [examples | 1, k] int64
        -> [examples, positions, positions + k]. Position t has read the items before t only.
        """
        own, own_bias = self.item(items)
        users = self.user(own[:, :-1], behaviour[:, :-1])
        other, other_bias = self.item(negatives)
        return torch.cat([self.score(users, own, own_bias), self.score(users, other, other_bias)], dim=-1)

    def users(self, items: torch.Tensor, behaviour: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
        """User vectors [users, dim] after histories [users, events] of which the first `length` [users] are real."""
        states: torch.Tensor = self.user(self.item(items)[0], behaviour)
        return states[torch.arange(len(states)), length]


def build_recommender(items: int, features: NDArray[np.float32] | None, config: ModelConfig, seed: int) -> Recommender:
    """A freshly initialised recommender; the same on every side that has the same catalogue, configuration and seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "initialise"))
        return Recommender(items, None if features is None else torch.from_numpy(features), config)
