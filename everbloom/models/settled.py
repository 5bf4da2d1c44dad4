"""A recommender whose parameters change no more: what its language model makes of the catalogue is worked out once and fixed."""

from copy import copy, deepcopy

import torch
from torch.func import functional_call

from everbloom.models.recommender import Recommender
from everbloom.models.towers.item import ItemTower
from everbloom.models.towers.states import TextStates

_ITEMS = 512
"""Encoded at once."""


def settled(model: Recommender) -> Recommender:
    """A copy with the same scores and without an item tower; where there is none, a plain copy.

    Histories are read again and again for one recommendation; with a tower, the language model would be run for each of their items every time.
    """
    tower = model.item.tower
    if tower is None:
        return deepcopy(model)
    other = copy(model)
    other._modules = dict(model._modules)
    item = copy(model.item)
    item._modules, item._buffers = dict(model.item._modules), dict(model.item._buffers)
    item.features, item.tower = tower_features(tower), None
    other.item = item
    return deepcopy(other)


def tower_features(tower: ItemTower, texts: TextStates | None = None) -> torch.Tensor:
    """[items, width] what a tower makes of its own items' texts, or of others [texts, width]."""
    count = len(tower.text if texts is None else texts.text)
    changed = {} if texts is None else _states(texts)
    with torch.no_grad():
        found = [
            functional_call(tower, changed, (torch.arange(start, min(start + _ITEMS, count)),))
            for start in range(0, count, _ITEMS)
        ]
    return torch.cat(found)


def _states(texts: TextStates) -> dict[str, torch.Tensor]:
    """The buffers of a tower that has these texts."""
    return {
        "states": torch.from_numpy(texts.states),
        "start": torch.from_numpy(texts.offsets[:-1]),
        "length": torch.from_numpy(texts.offsets[1:] - texts.offsets[:-1]),
        "text": torch.from_numpy(texts.text),
    }
