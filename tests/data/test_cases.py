"""Cases for some users are those of all; and what is read of a log depends on who is asked for."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from everbloom.config import LabelConfig, ProtocolConfig
from everbloom.data import cases as module
from everbloom.data.cases import Cases, user_blocks
from everbloom.data.catalog import Catalog
from everbloom.data.events import BEHAVIOURS, EventLog
from everbloom.data.periods import period_boundaries
from everbloom.data.strings import StringColumn
from everbloom.data.timeline import Split, Timeline
from everbloom.errors import DataError
from everbloom.evaluation.model_scorer import ModelScorer
from everbloom.evaluation.training_events import item_counts, training_rows
from everbloom.models.layout import ParameterLayout
from everbloom.models.recommender import build_recommender

ITEMS = 40
TIMELINE = ProtocolConfig(cut="counts", periods=3, warm_start=0.5, validation=0.2)
LEAVE_ONE_OUT = ProtocolConfig(name="leave-one-out")


def open_log(tmp_path, users: int, seed: int = 0, rows_of_a_user: int = 12) -> EventLog:
    """Memory-mapped; searches and views among the events, some users with none of either kind."""
    rng = np.random.default_rng(seed)
    user = np.sort(rng.integers(0, users, users * rows_of_a_user)).astype(np.int32)
    behaviour = rng.choice([0, 4, BEHAVIOURS.index("search")], len(user), p=[0.3, 0.5, 0.2]).astype(np.uint8)
    item = np.where(behaviour == BEHAVIOURS.index("search"), -1, rng.integers(0, ITEMS, len(user)))
    log = EventLog.build(
        user=user,
        item=item.astype(np.int32),
        time=rng.integers(0, 10**6, len(user)),
        behaviour=behaviour,
        value=np.ones(len(user), dtype=np.float32),
        user_ids=StringColumn.of(str(index) for index in range(users)),
    )
    log.save(tmp_path / f"log-{users}-{seed}")
    return EventLog.open(tmp_path / f"log-{users}-{seed}")


def timeline_of(log: EventLog, protocol: ProtocolConfig) -> Timeline:
    catalog = Catalog(StringColumn.of(str(i) for i in range(ITEMS)), {}, {}, np.zeros(ITEMS, dtype=np.int64))
    return Timeline(log, catalog, LabelConfig(positives={"purchase": 1.0}), protocol)


def test_with_repeats_what_is_known_is_to_be_found_too(tmp_path):
    """Each user's purchases of a period, whether new to them or not; the histories are the same."""
    log = open_log(tmp_path, 60)
    plain = timeline_of(log, TIMELINE).cases(1, "test")
    cases = timeline_of(log, TIMELINE.model_copy(update={"repeats": True})).cases(1, "test")
    assert (plain.repeats, cases.repeats, cases.take(np.array([0])).repeats) == (False, True, True)
    start, end = timeline_of(log, TIMELINE).boundaries[1:3]
    bought = (log.behaviour == BEHAVIOURS.index("purchase")) & (log.time >= start) & (log.time < end)
    expected = {user: set(log.item[bought & (log.user == user)].tolist()) for user in set(log.user[bought].tolist())}
    assert {user: set(targets) for user, (targets, *_) in as_lists(cases).items()} == expected
    assert any(len(targets) < len(expected[user]) for user, (targets, *_) in as_lists(plain).items())
    for user, (_, *history) in as_lists(plain).items():
        assert as_lists(cases)[user][1:] == tuple(history)


def as_lists(cases: Cases) -> dict[int, tuple[list[int], int, int]]:
    """user -> targets and history."""
    bounds = cases.target_offsets.tolist()
    return {
        user: (cases.targets[bounds[case] : bounds[case + 1]].tolist(), *history)
        for case, (user, *history) in enumerate(
            zip(cases.user.tolist(), cases.history_start.tolist(), cases.history_end.tolist(), strict=True)
        )
    }


def measurements(timeline: Timeline) -> Iterator[tuple[int, Split]]:
    splits: tuple[Split, ...] = ("validation", "test")
    return ((p, split) for p in range(timeline.periods) for split in splits if timeline.has(p, split))


@pytest.mark.parametrize("protocol", [TIMELINE, LEAVE_ONE_OUT], ids=["timeline", "leave-one-out"])
def test_blocks_do_not_show(tmp_path, monkeypatch, protocol):
    log = open_log(tmp_path, 60)
    whole = timeline_of(log, protocol)
    expected = [as_lists(whole.cases(*which)) for which in measurements(whole)]
    rows = [training_rows(whole, period).tolist() for period in range(whole.periods)]
    counts = [item_counts(whole, period).tolist() for period in range(whole.periods)]
    monkeypatch.setattr(module, "BLOCK_ROWS", 31)
    in_blocks = timeline_of(log, protocol)
    assert [as_lists(in_blocks.cases(*which)) for which in measurements(in_blocks)] == expected
    assert [training_rows(in_blocks, period).tolist() for period in range(whole.periods)] == rows
    assert [item_counts(in_blocks, period).tolist() for period in range(whole.periods)] == counts


def test_blocks_hold_everybody_once_in_order_and_few_events_each(tmp_path, monkeypatch):
    log = open_log(tmp_path, 60)
    monkeypatch.setattr(module, "BLOCK_ROWS", 50)
    for users in (np.arange(60), np.arange(3, 60, 7), np.arange(0)):
        blocks = list(user_blocks(log, users))
        assert np.concatenate(blocks).tolist() == users.tolist()
        assert all(len(block) for block in blocks) or not len(users)
        most = max(int(np.diff(log.offsets).max()), 1)
        assert all((log.offsets[block + 1] - log.offsets[block]).sum() <= 50 + most for block in blocks)


@pytest.mark.parametrize("protocol", [TIMELINE, LEAVE_ONE_OUT], ids=["timeline", "leave-one-out"])
@pytest.mark.parametrize("size", [1, 7, 30, 1000])
def test_a_sample_has_the_cases_of_its_users(tmp_path, protocol, size):
    timeline = timeline_of(open_log(tmp_path, 60), protocol)
    for period, split in measurements(timeline):
        everybody = as_lists(timeline.cases(period, split))
        some = timeline.sample(period, split, size, np.random.default_rng(4))
        assert len(some) == min(size, len(everybody))
        assert (np.diff(some.user) > 0).all()
        found = as_lists(some)
        assert found == {user: everybody[user] for user in found}


def test_everybody_who_has_a_case_is_sampled_as_often(tmp_path):
    """Of the users with a positive in the measured time many know its item already: they have no case."""
    protocol = ProtocolConfig(cut="counts", periods=3, warm_start=0.9)
    timeline = timeline_of(open_log(tmp_path, 60, rows_of_a_user=60), protocol)
    everybody = timeline.cases(2, "test").user
    candidates = np.unique(timeline.log.user[(timeline.log.time >= timeline.boundaries[2]) & (timeline.weight > 0)])
    assert len(candidates) > 1.2 * len(everybody) > 12
    counts, rng = np.zeros(timeline.log.users), np.random.default_rng(0)
    for _ in range(2000):
        counts[timeline.sample(2, "test", 5, rng).user] += 1
    expected = 2000 * 5 / len(everybody)
    assert np.flatnonzero(counts).tolist() == everybody.tolist()
    assert np.abs(counts[everybody] - expected).max() < 5 * np.sqrt(expected)


def test_no_case_is_told_by_a_check_as_by_the_cases(tmp_path):
    log = open_log(tmp_path, 5)
    timeline = timeline_of(log, TIMELINE)
    for which in measurements(timeline):
        timeline.check(*which)
    empty = timeline_of(log, ProtocolConfig(cut="counts", periods=2, warm_start=0.999, validation=0.5))
    empty.boundaries = np.array([0, 10**6 + 1, 10**6 + 2])
    for asks in (empty.check, empty.cases, lambda *which: empty.sample(*which, 3, np.random.default_rng(0))):
        with pytest.raises(DataError, match="no test cases in period 1"):
            asks(1, "test")


class Counted(np.ndarray[Any, Any]):
    """A column that counts what is read of it; an operation on all of it counts as all."""

    read = 0

    def __getitem__(self, key: Any) -> Any:
        found = np.asarray(self)[key]
        if not isinstance(key, slice):  # a view is read by whoever uses it
            Counted.read += np.size(found)
            return found
        return found.view(Counted)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        Counted.read += self.size
        plain = [np.asarray(each) if isinstance(each, Counted) else each for each in inputs]
        return getattr(ufunc, method)(*plain, **options)

    def __array_function__(self, function: Any, types: Any, arguments: Any, options: Any) -> Any:
        Counted.read += self.size
        return function(*(np.asarray(each) if isinstance(each, Counted) else each for each in arguments), **options)


@pytest.fixture
def reads(tmp_path) -> Callable[[int, Callable[[Timeline], object]], int]:
    """(users, what to do with a timeline over them) -> how many entries of the event columns that reads."""

    def count(users: int, act: Callable[[Timeline], object]) -> int:
        log = open_log(tmp_path, users)
        for name in ("user", "item", "time", "behaviour", "value", "by_time"):
            object.__setattr__(log, name, getattr(log, name).view(Counted))
        timeline = timeline_of(log, ProtocolConfig(cut="counts", periods=3, warm_start=1 - 200 / len(log)))
        Counted.read = 0
        act(timeline)
        return Counted.read

    return count


def test_the_counting_column_counts():
    column = np.arange(10).view(Counted)
    Counted.read = 0
    assert column[3] == 3
    assert column[np.array([1, 2])].tolist() == [1, 2]
    assert (column[2:6] > 3).sum() == 2
    assert int(np.cumsum(column)[-1]) == 45
    assert Counted.read == 1 + 2 + 4 + 10


def test_a_sample_reads_its_users_and_the_measured_time_alone(reads):
    """The measured times hold as many events in both logs; the larger one has twenty times the users."""

    def act(timeline: Timeline) -> NDArray[np.int32]:
        return timeline.sample(2, "test", 10, np.random.default_rng(0)).user

    few, many = reads(200, act), reads(4000, act)
    assert 0 < many < 1.2 * few < 4000


def test_the_cuts_and_windows_read_a_few_events(reads):
    def act(timeline: Timeline) -> None:
        assert period_boundaries(timeline.log, timeline.protocol).tolist() == timeline.boundaries.tolist()
        for period in range(timeline.periods):
            timeline.window(period)

    assert reads(4000, act) < reads(200, act) + 200 < 1000


def test_a_scorer_reads_the_histories_of_its_cases(reads, small):
    model = build_recommender(ITEMS, None, small(model={"user": {"history": 5}}).model, seed=0)
    layout = ParameterLayout.of(model)

    def act(timeline: Timeline) -> None:
        cases = timeline.sample(2, "test", 10, np.random.default_rng(0))
        Counted.read = 0
        ModelScorer(model, layout, layout.flat(model), timeline.log).score(cases, np.arange(len(cases)))

    assert 0 < reads(4000, act) < 2 * reads(200, act) < 2000
