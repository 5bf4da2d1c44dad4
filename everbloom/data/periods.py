"""Where global time is cut into periods. Only the events next to the cuts are looked at, by binary search, however long the
log is.
"""

import numpy as np
from numpy.typing import NDArray

from everbloom.config import ProtocolConfig
from everbloom.data.events import EventLog
from everbloom.errors import DataError

_DAY = 86_400


def period_boundaries(log: EventLog, protocol: ProtocolConfig) -> NDArray[np.int64]:
    """[periods + 1] cut times. Events at one instant never fall into two periods. Raises `DataError` if the log cannot
    be cut so.
    """
    if protocol.cut == "counts":
        cuts = _count_cuts(log, protocol)
    else:
        if not log.has_time:
            raise DataError(
                f'protocol.cut: {protocol.cut!r} needs timestamps, and this log has only an order; use "counts" or leave-one-out'
            )
        cuts = _calendar_cuts(log, protocol)
    if len(cuts) == 0:
        raise DataError("protocol: the log is too short for more than one period; cut it finer, or use leave-one-out")
    boundaries = np.concatenate(([log.time_at(0)], cuts, [log.time_at(len(log) - 1) + 1])).astype(np.int64)
    if protocol.origin is None:
        return boundaries
    if protocol.origin > len(cuts):
        raise DataError(f"protocol.origin: {protocol.origin} is no period; the last one is {len(cuts)}")
    return boundaries[[0, protocol.origin, protocol.origin + 1]]


def _count_cuts(log: EventLog, protocol: ProtocolConfig) -> NDArray[np.int64]:
    if protocol.periods is None or protocol.periods < 2:
        raise DataError('protocol.periods: cut = "counts" needs the number of periods, at least 2')
    warm = (
        protocol.warm_start
        if protocol.warm_start < 1
        else protocol.warm_start / (protocol.warm_start + protocol.periods - 1)
    )
    places = np.floor(np.linspace(warm, 1, protocol.periods)[:-1] * len(log)).astype(np.int64)
    cuts = np.unique(log.time[log.by_time[places]])
    late: NDArray[np.int64] = cuts[cuts > log.time_at(0)]
    return late


def _calendar_cuts(log: EventLog, protocol: ProtocolConfig) -> NDArray[np.int64]:
    edges = _unit_starts(log, protocol)
    if protocol.warm_start < 1:
        warm_end = log.time_at(int(protocol.warm_start * len(log)))
        starts = edges[(edges >= warm_end) & (edges > log.time_at(0))]
    else:
        starts = edges[int(protocol.warm_start) :]
    cuts: NDArray[np.int64] = starts[: protocol.periods - 1] if protocol.periods else starts
    return cuts


def _unit_starts(log: EventLog, protocol: ProtocolConfig) -> NDArray[np.int64]:
    """First seconds of the months or weeks that have events."""
    starts, place = [], 0
    while place < len(log):
        start, end = (_month if protocol.cut == "month" else _week)(log.time_at(place))
        starts.append(start)
        place = log.earlier(end)
    return np.array(starts, dtype=np.int64)


def _month(time: int) -> tuple[int, int]:
    """[start, end) of the month of a time."""
    month = np.datetime64(time, "s").astype("datetime64[M]")
    start, end = (edge.astype("datetime64[s]").astype(np.int64) for edge in (month, month + 1))
    return int(start), int(end)


def _week(time: int) -> tuple[int, int]:
    """[start, end) of the week of a time."""
    monday = (time // _DAY + 3) // 7 * 7 - 3  # 1970-01-01 was a Thursday
    return monday * _DAY, (monday + 7) * _DAY
