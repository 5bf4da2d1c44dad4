"""The order of the event log, as fast as a sort can be: on one key where user and time fit into one."""

import numpy as np
from numpy.typing import NDArray

_LARGEST = np.iinfo(np.int64).max


def by_user_and_time(user: NDArray[np.int32], time: NDArray[np.int64]) -> NDArray[np.int64]:
    """[events] positions by user, then time; equal ones in the order they have. Users are not negative."""
    if not len(user):
        return np.empty(0, dtype=np.int64)
    first, last = int(time.min()), int(time.max())
    span = last - first + 1
    if (int(user.max()) + 1) * span > _LARGEST:
        return np.lexsort((time, user))
    # A stable sort of what is in order already, as most files are, is hardly more than a look at it.
    return np.argsort(user.astype(np.int64) * span + (time - first), kind="stable")
