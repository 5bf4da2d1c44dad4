"""Recommended lists, and the best of some keys in an order that no routine decides by chance."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from everbloom.data.events import NO_ITEM

NOT_SHOWN = -np.inf
"""Score of an item that must not be shown to a user."""


@dataclass(frozen=True, eq=False)
class Lists:
    """What users are shown, best first.

    `items` [users, n] int32, `NO_ITEM` where nothing was left to show. `propensity` [users, n] float64: probability, given the scores, that the
    policy puts this item on this rank after what it put above; the product of a row is the probability of the list. 0 where there is no item.
    """

    items: NDArray[np.int32]
    propensity: NDArray[np.float64]


def best(keys: NDArray[np.floating], n: int) -> NDArray[np.int32]:
    """[users, n] the items of the `n` largest keys [users, items] of each user, equal ones by index; `NO_ITEM` instead of `NOT_SHOWN` ones."""
    order = np.argsort(-keys, axis=1, kind="stable")[:, :n]
    shown = np.full((len(keys), n), NO_ITEM, dtype=np.int32)
    allowed = np.take_along_axis(keys, order, axis=1) > NOT_SHOWN
    shown[:, : order.shape[1]] = np.where(allowed, order, NO_ITEM)
    return shown


def standardised(scores: NDArray[np.floating]) -> NDArray[np.float64]:
    """[users, items] scores less their mean, over their standard deviation, of what each user can be shown: options mean the same for every model.

    `NOT_SHOWN` stays; a user whose scores are all alike gets zeros.
    """
    allowed = scores > NOT_SHOWN
    count = np.maximum(allowed.sum(axis=1, keepdims=True), 1)
    kept = np.where(allowed, scores, 0.0).astype(np.float64)
    centred = np.where(allowed, kept - kept.sum(axis=1, keepdims=True) / count, 0.0)
    deviation = np.sqrt((centred**2).sum(axis=1, keepdims=True) / count)
    return np.where(allowed, centred / np.where(deviation > 0, deviation, 1.0), NOT_SHOWN)


def certain(items: NDArray[np.int32]) -> Lists:
    """Lists that scores alone decide."""
    return Lists(items, (items != NO_ITEM).astype(np.float64))
