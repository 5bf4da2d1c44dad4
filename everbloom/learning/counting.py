"""Rounds that count: a device answers with which items it wanted in the period, in the place of an update.

A vote of a unit that the plan hides is a vector over the items with the same entry for each of its distinct ones. Under a plan each vote is just
shorter than the clip norm, so that the mechanism's sensitivity, noise and charge are those of any other round; without one the entry is 1. From the
plan's side a vote is an update like any other: `UpdateRelease` clips it again and adds what noise there is to add.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from everbloom.data.events import NO_ITEM, Histories
from everbloom.data.timeline import TrainingWindow
from everbloom.learning.examples import Examples
from everbloom.learning.local import Draws
from everbloom.models.layout import ParameterLayout
from everbloom.privacy.counted_steps import counted_steps
from everbloom.privacy.plan import PrivacyPlan
from everbloom.privacy.release import clip_factors

_INSIDE = 1 - 1e-4
"""Of the clip norm is a vote's length: rounding in float32 never takes it out, so nothing is ever clipped."""


@dataclass(frozen=True, eq=False)
class Votes:
    """Distinct (voter, item) pairs, by voter: `voter`, `item` [pairs] int64 of `voters` in all."""

    voter: NDArray[np.int64]
    item: NDArray[np.int64]
    voters: int

    @classmethod
    def of_users(cls, events: Histories, weight: NDArray[np.float32], window: TrainingWindow, items: int) -> "Votes":
        """One vote a user: for the targets that lie in the window. `weight` [events] of each event as a target."""
        _, first, end = window.rows(events, weight)
        place = np.arange(len(events))
        user = np.repeat(np.arange(events.users), np.diff(events.offsets))
        wanted = (place >= first[user]) & (place < end[user]) & (weight > 0) & (events.item != NO_ITEM)
        return cls._distinct(user[wanted], events.item[wanted], events.users, items)

    @classmethod
    def of_examples(cls, examples: Examples, items: int) -> "Votes":
        """One vote an example: for its targets."""
        row, place = np.nonzero(((examples.weight > 0) & examples.real).numpy())
        return cls._distinct(row, examples.items.numpy()[row, place], len(examples), items)

    @classmethod
    def _distinct(cls, voter: NDArray[np.int64], item: NDArray[Any], voters: int, items: int) -> "Votes":
        voter, item = np.divmod(np.unique(voter * items + item.astype(np.int64)), items)
        return cls(voter, item, voters)

    def entries(self, bound: float | None) -> NDArray[np.float32]:
        """[pairs] each vote's entry, so that its length is just within `bound`; None: 1."""
        if bound is None:
            return np.ones(len(self.voter), dtype=np.float32)
        count = np.bincount(self.voter, minlength=self.voters)
        return (bound * _INSIDE / np.sqrt(count[self.voter])).astype(np.float32)

    def of(self, first: int, end: int) -> "Votes":
        """Those of the voters first ... end - 1."""
        low, high = np.searchsorted(self.voter, (first, end))
        return Votes(self.voter[low:high] - first, self.item[low:high], end - first)


@dataclass(frozen=True, eq=False)
class Voters:
    """Some devices in a round that counts. `weight` [events] of each event as a target; `draws` makes each one's generators, from their beginning;
    `examples` and how many each has [users]: under DP-SGD, whose units they are."""

    events: Histories
    weight: NDArray[np.float32]
    window: TrainingWindow
    draws: Callable[[], tuple[Draws, ...]]
    examples: tuple[Examples, NDArray[np.int64]] | None = None

    def votes(self, items: int) -> Votes:
        """One a device."""
        return Votes.of_users(self.events, self.weight, self.window, items)


def count_each(
    plan: PrivacyPlan | None, layout: ParameterLayout, voters: Voters, bound: float | None = None
) -> NDArray[Any]:
    """[devices, numbers] what leaves each device; `bound`: the clip norm of this round (default: the plan's)."""
    place, users = layout.counted, voters.events.users
    found = np.zeros((users, layout.size()), dtype=np.float32)
    if plan is not None and plan.dp_sgd is not None:
        for device, counts in enumerate(_by_steps(plan, voters, place.stop - place.start)):
            found[device, place] = counts
        return found
    bound = _bound(plan, bound)
    votes = voters.votes(place.stop - place.start)
    found[votes.voter, place.start + votes.item] = votes.entries(bound)
    if plan is None or plan.release is None:
        return found
    assert bound is not None
    sources = [draw.noise for draw in voters.draws()] if plan.release.draws_noise else []
    finished: NDArray[Any] = plan.release.finish(torch.from_numpy(found), bound, sources)
    return finished


def count_total(
    plan: PrivacyPlan | None, layout: ParameterLayout, voters: Voters, bound: float | None = None
) -> NDArray[Any]:
    """[1, numbers] the sum of what `count_each` gives, without laying out each where that can be."""
    place = layout.counted
    release = None if plan is None else plan.release
    if release is not None and not release.summable:
        each = count_each(plan, layout, voters, bound)
        summed: NDArray[Any] = each.sum(axis=0, dtype=each.dtype, keepdims=True)
        return summed
    total = np.zeros(layout.size(), dtype=np.float32)
    if plan is not None and plan.dp_sgd is not None:
        for counts in _by_steps(plan, voters, place.stop - place.start):
            total[place] += counts
        return total[None]
    bound = _bound(plan, bound)
    votes = voters.votes(place.stop - place.start)
    entry = votes.entries(bound)
    if bound is not None:  # as `UpdateRelease.finish` does, whatever a vote may be
        norms = torch.from_numpy(np.sqrt(np.bincount(votes.voter, entry.astype(np.float64) ** 2, votes.voters)))
        entry = entry * clip_factors(norms, bound).numpy().astype(np.float32)[votes.voter]
    np.add.at(total[place], votes.item, entry)
    if release is not None and release.tells_clipping:
        total = np.append(total, np.float32(0.5 * votes.voters))
    return total[None]


def _bound(plan: PrivacyPlan | None, bound: float | None) -> float | None:
    return None if plan is None else plan.clip_norm if bound is None else bound


def _by_steps(plan: PrivacyPlan, voters: Voters, items: int) -> list[NDArray[np.float32]]:
    """Each device's counts [items] from the local steps of DP-SGD."""
    assert plan.dp_sgd is not None
    assert voters.examples is not None, "DP-SGD counts by examples"
    examples, counts = voters.examples
    votes, ends = Votes.of_examples(examples, items), np.cumsum(counts)
    found = []
    for draw, count, end in zip(voters.draws(), counts.tolist(), ends.tolist(), strict=True):
        own = votes.of(end - count, end)
        entry = own.entries(plan.clip_norm)
        found.append(counted_steps(plan.dp_sgd, own.voter, own.item, entry, count, items, draw.sampling, draw.noise))
    return found
