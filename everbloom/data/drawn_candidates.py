"""Candidates of the sampled protocol for data that no paper stored any for."""

import numpy as np
from numpy.typing import NDArray

from everbloom.data.candidates import StoredCandidates
from everbloom.data.cases import Cases
from everbloom.data.events import NO_ITEM
from everbloom.data.timeline import Timeline
from everbloom.errors import DataError
from everbloom.seeding import numpy_generator

DRAWN = "drawn"
"""The word in `evaluation.candidates`."""
_NEGATIVES = 99


def drawn_candidates(timeline: Timeline) -> StoredCandidates:
    """For each user 198 items without replacement that are in no event of theirs, before or after the cut: 99 for validation, 99 for the test.

    They depend on the log alone, not on the experiment's seed, so that all runs are measured on the same. Raises `DataError` if there are no single
    targets, or somebody has met so many items that fewer than 198 are left.
    """
    if timeline.protocol.name != "leave-one-out":
        raise DataError(
            'evaluation.candidates: "drawn" takes one target a user; this needs protocol.name = "leave-one-out"'
        )
    validation, test = timeline.cases(0, "validation"), timeline.cases(0, "test")
    drawn = np.stack([_drawn(timeline, int(user)) for user in test.user])
    return StoredCandidates(
        test.user, _targets(validation), _targets(test), drawn[:, :_NEGATIVES], drawn[:, _NEGATIVES:]
    )


def _targets(cases: Cases) -> NDArray[np.int32]:
    return cases.targets.astype(np.int32)


def _drawn(timeline: Timeline, user: int) -> NDArray[np.int32]:
    own = timeline.log.of(user).item
    free = np.setdiff1d(np.arange(len(timeline.catalog)), own[own != NO_ITEM])
    if len(free) < 2 * _NEGATIVES:
        raise DataError(
            f'evaluation.candidates: "drawn" needs {2 * _NEGATIVES} items that a user has not met, and user {timeline.log.user_ids[user]!r} leaves '
            f"{len(free)}; use a larger catalogue, or no candidates"
        )
    generator = numpy_generator(0, "evaluation-candidates", client=user)
    return generator.choice(free, 2 * _NEGATIVES, replace=False).astype(np.int32)
