"""What a deployment does at moments of a federation that a simulation passes over."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from server.state import FederationState


def _nothing(*_: object) -> None:
    return


@dataclass(frozen=True)
class Hooks:
    """By default nothing happens."""

    asking: Callable[[int, int, Sequence[int]], None] = _nothing
    """(period, round, clients) before a cohort is asked."""
    period_done: Callable[[FederationState], None] = _nothing
    """A period's rounds are over, and its parameters settled."""
