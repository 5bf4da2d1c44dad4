"""The timeline: periods by global time, and nothing that lets an event see its future."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from everbloom.config import LabelConfig, ProtocolConfig
from everbloom.data.catalog import Catalog
from everbloom.data.events import BEHAVIOURS, EventLog
from everbloom.data.periods import period_boundaries
from everbloom.data.strings import StringColumn
from everbloom.data.timeline import FOREVER, Timeline, TrainingWindow, positive_weights
from everbloom.errors import DataError

DAY = 86_400
USERS, ITEMS = 5, 7
LABELS = LabelConfig(positives={"view": 1.0, "purchase": 2.0})

event = st.tuples(
    st.integers(0, USERS - 1),
    st.integers(-1, ITEMS - 1),
    st.integers(0, 150).map(lambda day: day * DAY),
    st.sampled_from([0, 0, 0, 1, 4]),
)
events = st.lists(event, min_size=5, max_size=60)
protocols = st.one_of(
    st.builds(
        lambda cut, warm, validation: ProtocolConfig(cut=cut, warm_start=warm, validation=validation),
        st.sampled_from(["month", "week"]),
        st.sampled_from([1, 2, 0.3]),
        st.sampled_from([0.0, 0.1, 0.5]),
    ),
    st.builds(
        lambda periods, validation: ProtocolConfig(cut="counts", periods=periods, validation=validation),
        st.integers(2, 5),
        st.sampled_from([0.0, 0.1, 0.5]),
    ),
)


def log_of(rows, time=True) -> EventLog:
    columns = [np.array([row[i] for row in rows], dtype=np.int64) for i in range(4)]
    return EventLog.build(
        user=columns[0].astype(np.int32),
        item=columns[1].astype(np.int32),
        time=columns[2] if time else None,
        behaviour=columns[3].astype(np.uint8),
        value=np.arange(len(rows), dtype=np.float32),
        user_ids=StringColumn.of(str(user) for user in range(USERS)),
    )


def timeline_of(log: EventLog, protocol: ProtocolConfig, labels: LabelConfig = LABELS) -> Timeline:
    first_seen = np.full(ITEMS, FOREVER)
    np.minimum.at(first_seen, log.item[log.item >= 0], log.time[log.item >= 0])
    catalog = Catalog(StringColumn.of(str(item) for item in range(ITEMS)), {}, {}, first_seen)
    try:
        return Timeline(log, catalog, labels, protocol)
    except DataError:
        assume(False)  # too short to be cut so
        raise


def cases_or_none(timeline: Timeline, period: int, split):
    if not timeline.has(period, split):
        return None
    try:
        return timeline.cases(period, split)
    except DataError:
        return None


def rows_of(window: TrainingWindow, log: EventLog, weight: np.ndarray, user: int) -> tuple[int, int]:
    """(first, end) of one user's targets, as that user's device finds them."""
    begin, first, end = window.rows(log.of(user), weight[log.rows(user)])
    assert begin.tolist() == [0]
    return int(first[0]), int(end[0])


def training_rows(timeline: Timeline, period: int, user: int) -> tuple[set[int], set[int]]:
    """(target rows, history rows) of a user in a period, as file positions."""
    rows = timeline.log.rows(user)
    weight = timeline.weight[rows]
    start, end = rows_of(timeline.window(period), timeline.log, timeline.weight, user)
    value = timeline.log.value[rows].astype(int)
    return {int(value[row]) for row in range(start, end) if weight[row]}, set(value[:end].tolist())


@given(events, protocols)
def test_cases_are_what_a_look_at_every_event_gives(rows, protocol):
    timeline = timeline_of(log_of(rows), protocol)
    for period in range(timeline.periods):
        for split in ("validation", "test"):
            cases = cases_or_none(timeline, period, split)
            if cases is None:
                continue
            end = timeline.boundaries[period + 1]
            start = timeline.boundaries[period] if split == "test" else timeline.window(period).end
            found = {}
            for user in range(USERS):
                known = {row[1] for row in rows if row[0] == user and row[2] < start}
                new = {row[1] for row in rows if row[0] == user and start <= row[2] < end and row[3] in (0, 4)} - {-1}
                if new - known:
                    found[user] = new - known
            assert cases.user.tolist() == sorted(found)
            for case, user in enumerate(cases.user.tolist()):
                targets = cases.targets[cases.target_offsets[case] : cases.target_offsets[case + 1]]
                assert sorted(targets.tolist()) == sorted(found[user])
                history = slice(int(cases.history_start[case]), int(cases.history_end[case]))
                assert (timeline.log.user[history] == user).all()
                assert (timeline.log.time[history] < start).all()
                assert history.stop - history.start == sum(1 for row in rows if row[0] == user and row[2] < start)


@given(events, protocols)
def test_training_stays_before_what_is_measured_and_uses_each_event_once(rows, protocol):
    timeline = timeline_of(log_of(rows), protocol)
    learnt: list[int] = []
    for period in range(timeline.periods):
        for user in range(USERS):
            targets, history = training_rows(timeline, period, user)
            assert targets <= history
            learnt += sorted(targets)
            measured_from = timeline.window(period).end  # validation of this period begins here, later tests after it
            assert all(rows[row][2] < measured_from for row in history)
            assert measured_from <= timeline.boundaries[period + 1]
    assert len(learnt) == len(set(learnt))
    last = timeline.window(timeline.periods - 1).end
    positive = {index for index, row in enumerate(rows) if row[1] >= 0 and row[3] in (0, 4) and row[2] < last}
    assert set(learnt) == positive


@given(events, events, st.sampled_from(["month", "week"]), st.sampled_from([0.0, 0.3]), st.data())
def test_no_future_event_is_visible(rows, other, cut, validation, data):
    """Everything from a cut on is replaced: what was learnt and measured before it stays the same."""
    protocol = ProtocolConfig(cut=cut, validation=validation)
    before = timeline_of(log_of(rows), protocol)
    period = data.draw(st.integers(0, before.periods - 2))  # the last one ends where the log happens to end
    end = int(before.boundaries[period + 1])
    past = [row for row in rows if row[2] < end]
    future = [(row[0], row[1], end + row[2], row[3]) for row in other]
    after = timeline_of(log_of([*past, *future]), protocol)
    for earlier in range(period + 1):
        for user in range(USERS):
            kept = [index for index, row in enumerate(rows) if row[2] < end]
            place = {old: new for new, old in enumerate(kept)}
            targets, history = training_rows(before, earlier, user)
            assert ({place[row] for row in targets}, {place[row] for row in history}) == training_rows(
                after, earlier, user
            )
        for split in ("validation", "test"):
            first, second = cases_or_none(before, earlier, split), cases_or_none(after, earlier, split)
            assert (first is None) == (second is None)
            if first is not None and second is not None:
                assert first.user.tolist() == second.user.tolist()
                assert first.targets.tolist() == second.targets.tolist()
                assert first.target_offsets.tolist() == second.target_offsets.tolist()
                assert first.available.tolist() == second.available.tolist()
                for case in range(len(first)):
                    one = before.log.item[first.history_start[case] : first.history_end[case]]
                    two = after.log.item[second.history_start[case] : second.history_end[case]]
                    assert one.tolist() == two.tolist()


@given(events, st.booleans())
def test_leave_one_out_holds_out_the_last_two_positives(rows, with_time):
    timeline = timeline_of(log_of(rows, time=with_time), ProtocolConfig(name="leave-one-out"))
    assert timeline.periods == 1
    log = timeline.log
    test, validation = cases_or_none(timeline, 0, "test"), cases_or_none(timeline, 0, "validation")
    for user in range(USERS):
        own = range(*log.rows(user).indices(len(log)))
        positives = [row for row in own if timeline.weight[row] > 0]
        start, end = rows_of(timeline.window(0), log, timeline.weight, user)
        if len(positives) < 3:
            assert end == len(log.of(user))  # too few to hold any out: learn from all
            assert test is None or user not in test.user
            continue
        assert (start, end) == (0, positives[-2] - own.start)
        for cases, row in ((test, positives[-1]), (validation, positives[-2])):
            assert cases is not None
            case = int(np.flatnonzero(cases.user == user)[0])
            assert cases.targets[cases.target_offsets[case]] == log.item[row]
            assert cases.target_offsets[case + 1] - cases.target_offsets[case] == 1
            assert (cases.history_start[case], cases.history_end[case]) == (own.start, row)


@given(events, st.lists(st.integers(0, ITEMS - 1), min_size=60, max_size=60))
def test_leave_one_out_training_does_not_see_the_held_out_items(rows, other):
    protocol = ProtocolConfig(name="leave-one-out")
    before = timeline_of(log_of(rows), protocol)
    end = {user: rows_of(before.window(0), before.log, before.weight, user)[1] for user in range(USERS)}
    hidden = {
        int(before.log.value[before.log.offsets[user] + row])
        for user in range(USERS)
        for row in range(end[user], len(before.log.of(user)))
    }
    altered = [
        (row[0], other[index] if row[1] >= 0 else -1, row[2], row[3]) if index in hidden else row
        for index, row in enumerate(rows)
    ]
    after = timeline_of(log_of(altered), protocol)
    for user in range(USERS):
        assert training_rows(before, 0, user) == training_rows(after, 0, user)
        assert before.log.of(user).item[: end[user]].tolist() == after.log.of(user).item[: end[user]].tolist()


@given(
    events,
    st.lists(st.integers(0, USERS - 1), min_size=1, max_size=6),
    st.lists(st.integers(-1, 152), min_size=2, max_size=2),
    st.integers(0, 3),
)
def test_several_users_rows_are_those_of_one_at_a_time(rows, users, bounds, held_out):
    """Whoever stands beside a user, the same of its events are targets and history."""
    log = log_of(rows)
    start, end = sorted(bound * DAY for bound in bounds)
    window = TrainingWindow(start, end, held_out)
    weight = positive_weights(log, LABELS)
    several = log.histories(np.array(users))
    found = window.rows(several, positive_weights(several, LABELS))
    assert found[0].tolist() == several.offsets[:-1].tolist()
    expected = [rows_of(window, log, weight, user) for user in users]
    assert list(zip(found[1] - found[0], found[2] - found[0], strict=True)) == expected


@given(events, protocols)
def test_taken_cases_are_the_same_cases(rows, protocol):
    timeline = timeline_of(log_of(rows), protocol)
    for period in range(timeline.periods):
        cases = cases_or_none(timeline, period, "test")
        if cases is None:
            continue
        which = np.arange(len(cases))[::-2]
        taken = cases.take(which)
        assert len(taken) == len(which)
        for place, case in enumerate(which.tolist()):
            one = taken.targets[taken.target_offsets[place] : taken.target_offsets[place + 1]]
            assert one.tolist() == cases.targets[cases.target_offsets[case] : cases.target_offsets[case + 1]].tolist()
            assert taken.user[place] == cases.user[case]
            assert taken.history_end[place] == cases.history_end[case]


@given(events, protocols)
def test_boundaries_cover_the_log_and_increase(rows, protocol):
    log = log_of(rows)
    try:
        boundaries = period_boundaries(log, protocol)
    except DataError:
        assume(False)
    assert boundaries[0] == log.time.min()
    assert boundaries[-1] == log.time.max() + 1
    assert (np.diff(boundaries) > 0).all()


def test_months_and_weeks_begin_where_the_calendar_says():
    times = ["2024-01-30T10", "2024-02-01T00", "2024-02-29T23", "2024-03-04T00", "2024-03-31T23"]
    rows = [(0, 0, int(np.datetime64(time, "s").astype(int)), 0) for time in times]
    cuts = period_boundaries(log_of(rows), ProtocolConfig(cut="month"))[1:-1].astype("datetime64[s]")
    assert [str(cut)[:10] for cut in cuts] == ["2024-02-01", "2024-03-01"]
    weeks = (
        period_boundaries(log_of(rows), ProtocolConfig(cut="week"))[1:-1]
        .astype("datetime64[s]")
        .astype("datetime64[D]")
    )
    assert {cut.item().weekday() for cut in weeks} == {0}
    merged = period_boundaries(log_of(rows), ProtocolConfig(cut="week", periods=2))
    assert len(merged) == 3


@pytest.mark.parametrize(
    ("protocol", "message"),
    [
        (ProtocolConfig(cut="month"), "needs timestamps, and this log has only an order"),
        (ProtocolConfig(cut="counts"), "needs the number of periods, at least 2"),
    ],
)
def test_a_protocol_that_does_not_fit_is_refused(protocol, message):
    with pytest.raises(DataError, match=message):
        period_boundaries(log_of([(0, 0, 0, 0), (0, 1, 0, 0)], time=False), protocol)


def test_a_log_in_one_month_cannot_be_cut_by_month():
    with pytest.raises(DataError, match="too short for more than one period"):
        period_boundaries(log_of([(0, 0, DAY, 0), (0, 1, 2 * DAY, 0)]), ProtocolConfig(cut="month"))


def test_weights_follow_behaviour_and_value():
    log = log_of(
        [(0, 1, 0, BEHAVIOURS.index("rate")), (0, 2, 1, BEHAVIOURS.index("rate")), (0, -1, 2, 0), (0, 3, 3, 0)]
    )
    labels = LabelConfig(positives={"rate": 2.0, "view": 1.0}, min_value=1.0)  # values are 0, 1, 2, 3
    assert positive_weights(log, labels).tolist() == [0.0, 2.0, 0.0, 1.0]
    assert positive_weights(log, LabelConfig()).tolist() == [1.0, 1.0, 0.0, 1.0]


def test_no_positive_at_all_is_refused():
    log = log_of([(0, 1, 0, 0), (0, 2, 1, 0)])
    catalog = Catalog(StringColumn.of("0123456"), {}, {}, np.zeros(ITEMS, dtype=np.int64))
    with pytest.raises(DataError, match="no event in the log is a positive"):
        Timeline(log, catalog, LabelConfig(positives={"save": 1.0}), ProtocolConfig(name="leave-one-out"))


@given(events, protocols, st.data())
def test_an_origin_reads_nothing_after_its_period(rows, protocol, data):
    """The same windows, cases and candidates as if the log ended with the tested period."""
    log = log_of(rows)
    whole = timeline_of(log, protocol)
    period = data.draw(st.integers(1, whole.periods - 1))
    cut = timeline_of(log, protocol.model_copy(update={"origin": period}))
    ends = whole.boundaries[[0, period, period + 1]]
    assert cut.boundaries.tolist() == ends.tolist()
    earlier = [row for row in rows if row[2] < ends[2]]
    assume(any(row[1] >= 0 and row[3] in (0, 4) for row in earlier))
    short = timeline_of(log_of(earlier), ProtocolConfig(validation=protocol.validation))
    short.boundaries = cut.boundaries
    for p, split in ((0, "validation"), (1, "test"), (1, "validation")):
        assert cut.window(p) == short.window(p)
        assert told(cut, p, split) == told(short, p, split)


def told(timeline: Timeline, period: int, split) -> object:
    """Everything of a measurement that does not depend on where rows lie in the log; None: there are no cases."""
    cases = cases_or_none(timeline, period, split)
    if cases is None:
        return None
    known = [timeline.log.item[a:b].tolist() for a, b in zip(cases.history_start, cases.history_end, strict=True)]
    return (
        cases.user.tolist(),
        known,
        cases.targets.tolist(),
        cases.target_offsets.tolist(),
        cases.available.tolist(),
        cases.period_start,
    )
