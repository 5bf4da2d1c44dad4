"""Stored candidates of the sampled protocol: for each user one target and 99 items never interacted with."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from everbloom.data.candidates import StoredCandidates
from everbloom.data.cases import Cases
from everbloom.data.timeline import Split, Timeline
from everbloom.errors import DataError


@dataclass(frozen=True, eq=False)
class CaseCandidates:
    """The candidates of each case: `target_item` [cases], `negatives` [cases, 99], int64."""

    target_item: NDArray[np.int64]
    negatives: NDArray[np.int64]


def candidates_of(stored: StoredCandidates, cases: Cases, split: Split, timeline: Timeline) -> CaseCandidates:
    """The candidates in the order of the cases.

    Raises `DataError` if a case has not exactly one target, has no stored candidates, or is to find another item than
    the stored one: figures from candidates that do not belong to the data would compare with nothing.
    """
    if (np.diff(cases.target_offsets) != 1).any():
        raise DataError(
            'evaluation.candidates: one target a user is stored; this needs protocol.name = "leave-one-out"'
        )
    row = np.full(timeline.log.users, -1, dtype=np.int64)
    row[stored.user] = np.arange(len(stored.user))
    row = row[cases.user]
    if (row < 0).any():
        user = timeline.log.user_ids[int(cases.user[np.argmax(row < 0)])]
        raise DataError(f"evaluation.candidates: nothing is stored for user {user!r}; the file belongs to other data")
    target = (stored.validation_item if split == "validation" else stored.test_item)[row].astype(np.int64)
    if (target != cases.targets).any():
        raise DataError(_mismatch(cases, target, split, timeline))
    negatives = (stored.validation_negatives if split == "validation" else stored.test_negatives)[row]
    return CaseCandidates(target, negatives.astype(np.int64))


def _mismatch(cases: Cases, target: NDArray[np.int64], split: Split, timeline: Timeline) -> str:
    other = np.flatnonzero(target != cases.targets)
    first = int(other[0])
    user = timeline.log.user_ids[int(cases.user[first])]
    ids = timeline.catalog.item_ids
    here, stored = ids[int(cases.targets[first])], ids[int(target[first])]
    return (
        f"evaluation.candidates: for {len(other)} of {len(target)} users the stored {split} item is not the log's "
        f'(user {user!r}: stored {stored!r}, log {here!r}); try data.tie_order = "reverse-file", and check data.cleaning'
    )
