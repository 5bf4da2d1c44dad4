"""What a deployment does at moments of a federation that a simulation passes over."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


def _nothing(*_: object) -> None:
    return


def _the_same(roster: Mapping[int, int]) -> Mapping[int, int]:
    return roster


@dataclass(frozen=True)
class Hooks:
    """By default nothing happens."""

    asking: Callable[[int, int, Sequence[int]], None] = _nothing
    """(period, round, clients) before a cohort is asked."""
    roster: Callable[[Mapping[int, int]], Mapping[int, int]] = _the_same
    """Before a round: the roster so far -> the one that holds now; the same object if nobody came."""
