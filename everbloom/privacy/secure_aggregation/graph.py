"""Who masks with whom: the complete graph in a small cohort, a random regular one in a large one (Bell et al., 2020, section 3).

A sparse graph places the members on a ring in random order and joins each with the `degree / 2` before and after it (a Harary graph on a random
permutation). The order follows from a hash over the roster, so that devices compute it for themselves and a server does not choose it. It may choose
whom it calls dropped, though, and by dropping a run of `degree / 2` members in two places it would cut the ring into two sums. So devices insist
on survivors in every such run.
"""

import hashlib
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from everbloom.privacy.secure_aggregation.keys import number


class NeighbourGraph:
    """The neighbours of each of `members` (distinct numbers), each with `degree` of them (an odd degree is rounded up), or all others if fewer."""

    def __init__(self, seed: bytes, members: Sequence[int], degree: int) -> None:
        half = -(-degree // 2)
        self._members = tuple(members)
        self._half = half if 2 * half < len(self._members) - 1 else None
        self._ring: list[int] = []
        self._place: dict[int, int] = {}
        if self._half is not None:
            self._ring = sorted(self._members, key=lambda member: hashlib.sha256(seed + number(member)).digest())
            self._place = {member: place for place, member in enumerate(self._ring)}

    @property
    def degree(self) -> int:
        """Neighbours of every member."""
        return len(self._members) - 1 if self._half is None else 2 * self._half

    def neighbours(self, member: int) -> tuple[int, ...]:
        """In ascending order."""
        if self._half is None:
            return tuple(sorted(other for other in self._members if other != member))
        place, size = self._place[member], len(self._ring)
        steps = range(1, self._half + 1)
        return tuple(sorted(self._ring[(place + way * step) % size] for step in steps for way in (1, -1)))

    @property
    def least_in_a_run(self) -> int:
        """How many must survive among any `degree / 2` members in a row: a quarter. 0 on a complete graph, which nothing cuts."""
        return 0 if self._half is None else _least_in_a_run(self._half)

    def fewest_in_a_run(self, survivors: Collection[int]) -> int:
        """How many survive in the thinnest run of `degree / 2` members. While it is above 0, the survivors are connected."""
        if self._half is None:
            return 0
        alive = [member in survivors for member in self._ring]
        here = fewest = sum(alive[: self._half])
        for place, arriving in enumerate(alive):
            here += alive[(place + self._half) % len(alive)] - arriving
            fewest = min(fewest, here)
        return fewest


@dataclass(frozen=True)
class Failure:
    """Upper bounds as logarithms to base 2; -inf: it cannot happen."""

    exposed: float
    """Some device has `threshold` colluding neighbours."""
    divided: float
    """The devices that neither collude nor drop out fall into two parts, whose sums the server could open apart."""
    cut: float
    """The same, when the server chooses who drops out, knowing the graph."""
    unopened: float
    """Some device has fewer than `threshold` neighbours left, so that no sum is opened."""


def failure(members: int, degree: int, needed: int, colluding: float, dropping: float) -> Failure:
    """What a sparse graph risks when those fractions of the members collude and drop out, independently of the graph.

    `needed` is the Shamir threshold. A neighbourhood is a uniform subset, so its colluding and its dropping members are hypergeometric. The ring is
    cut only where `degree / 2` in a row are gone, which has probability at most (colluding + dropping)^(degree / 2), or where all that devices insist
    on in such a run collude. Each is summed over the members (Bell et al., 2020, section 3, with exact tails in place of their bounds).
    """
    bad, gone = math.ceil(colluding * members), math.ceil(dropping * members)
    log_members = math.log2(members)
    bad_tail = [_log_hypergeometric(members - 1, bad, degree, k) for k in range(needed, degree + 1)]
    gone_tail = [_log_hypergeometric(members - 1, gone, degree, k) for k in range(degree - needed + 1, degree + 1)]
    half = degree // 2
    cut_tail = [_log_hypergeometric(members, bad, half, k) for k in range(_least_in_a_run(half), half + 1)]
    missing = min(1.0, colluding + dropping)
    complete = degree >= members - 1
    return Failure(
        exposed=_log_sum(bad_tail) + log_members,
        divided=-math.inf if complete or not missing else half * math.log2(missing) + log_members,
        cut=-math.inf if complete else _log_sum(cut_tail) + log_members,
        unopened=_log_sum(gone_tail) + log_members,
    )


def _least_in_a_run(half: int) -> int:
    return max(1, half // 4)


def _log_hypergeometric(population: int, marked: int, drawn: int, k: int) -> float:
    """Log2 of the probability of exactly k marked among those drawn."""
    if k > marked or k > drawn or drawn - k > population - marked:
        return -math.inf
    ways = _log_choose(marked, k) + _log_choose(population - marked, drawn - k) - _log_choose(population, drawn)
    return ways / math.log(2)


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def _log_sum(logs: Sequence[float]) -> float:
    largest = max(logs, default=-math.inf)
    return largest if largest == -math.inf else largest + math.log2(sum(2 ** (value - largest) for value in logs))
