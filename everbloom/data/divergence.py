"""How far distributions that were counted lie apart, and how far they would by chance.

The Jensen-Shannon distance is the square root of the Jensen-Shannon divergence (Lin, IEEE Transactions on Information
Theory 37(1), 1991) in bits; it is a metric (Endres and Schindelin, IEEE Transactions on Information Theory 49(7), 2003)
from 0 (the same) to 1 (nothing in common). Counted distributions lie apart even if they come from one: the fewer events,
the farther. So each distance has a baseline, the same distance after the events were dealt out anew.
"""

import numpy as np
from numpy.typing import NDArray


def distance(first: NDArray[np.int64], second: NDArray[np.int64]) -> float:
    """The Jensen-Shannon distance of two histograms [kinds], neither of them empty."""
    p, q = first / first.sum(), second / second.sum()
    divergence = _entropy((p + q) / 2) - (_entropy(p) + _entropy(q)) / 2
    return float(np.sqrt(np.clip(divergence, 0, 1)))


def distance_dealt_anew(first: NDArray[np.int64], second: NDArray[np.int64], draw: np.random.Generator) -> float:
    """The distance after the events of both were pooled and dealt out anew, as many to each as it had."""
    pooled = first + second
    dealt = draw.multivariate_hypergeometric(pooled, int(first.sum()), method="marginals")
    return distance(dealt, pooled - dealt)


def mean_distance(user: NDArray[np.int64], kind: NDArray[np.int64], second: NDArray[np.bool_], kinds: int) -> float:
    """Mean over users of the distance between a user's kinds in the first and in the second part.

    `user` [events] from 0, each of whom has events in both parts; `kind` [events] below `kinds`; `second` [events] which
    part an event is in.
    """
    users = int(user.max()) + 1
    sizes = np.bincount(user * 2 + second, minlength=2 * users)  # [users x parts]
    order = np.argsort(user * kinds + kind, kind="stable")
    cell = np.cumsum(np.append(False, np.diff((user * kinds + kind)[order]) != 0))
    owner = np.empty(int(cell[-1]) + 1, dtype=np.int64)
    owner[cell] = user[order]
    late = np.bincount(cell, weights=second[order])
    both = np.bincount(cell)
    p, q = (both - late) / sizes[0::2][owner], late / sizes[1::2][owner]
    bits = _information((p + q) / 2) - (_information(p) + _information(q)) / 2
    divergence = np.bincount(owner, weights=bits, minlength=users)
    return float(np.sqrt(np.clip(divergence, 0, 1)).mean())


def dealt_anew(user: NDArray[np.int64], second: NDArray[np.bool_], draw: np.random.Generator) -> NDArray[np.bool_]:
    """[events] which part each event is in after every user's events were dealt out anew, as many to each part as it had.

    `user` [events] ascending.
    """
    shuffled = np.argsort(user + draw.random(len(user)))  # within each user, who stay where they are
    return np.asarray(second[shuffled])


def of_others(user: NDArray[np.int64], second: NDArray[np.bool_], draw: np.random.Generator) -> NDArray[np.int64]:
    """[events] whose event each is after every user's second part was given to another user; at least two users from 0."""
    circle = draw.permutation(int(user.max()) + 1)
    other = np.empty_like(circle)
    other[circle] = np.roll(circle, 1)
    return np.asarray(np.where(second, other[user], user))


def _entropy(shares: NDArray[np.float64]) -> float:
    return float(_information(shares).sum())


def _information(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """-x log2 x, 0 at 0."""
    return np.asarray(-shares * np.log2(np.where(shares > 0, shares, 1.0)))
