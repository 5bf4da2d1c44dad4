"""The private store: nothing lost, nothing doubled, in order whatever the clock does, and nothing left of what was deleted."""

import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from client.service import private_store
from client.service.private_store import DAY, MIGRATIONS, DiskFull, Event, PrivateStore
from everbloom.errors import DataError

NOW = 1_700_000_000
SECRET = "a-search-nobody-else-may-ever-read"


@pytest.fixture
def store(tmp_path) -> PrivateStore:
    return PrivateStore(tmp_path / "private.sqlite")


def viewed(item: int, time: int | None = None, **more) -> Event:
    return Event(item, time, 0, **more)


def bytes_of(store: PrivateStore) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(store.path.parent.glob(store.path.name + "*")))


def items(store: PrivateStore) -> list[int | None]:
    return [event.item for event in store.events()]


def test_it_is_its_owners_alone(store):
    store.add([viewed(1)], NOW)
    for path in store.path.parent.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_events_come_back_in_order_after_a_restart(store):
    assert store.add([viewed(1, 30), viewed(2, 10), viewed(3, 30)], NOW) == 3
    store.close()
    again = PrivateStore(store.path)
    assert items(again) == [2, 1, 3], "by time, those of one moment as they came"
    assert [event.item for event in again.page(1)] == [3]
    last = again.page(1)[0]
    assert [event.item for event in again.page(5, (last.time, last.id))] == [1, 2]


def test_an_event_with_a_known_key_is_not_added_again(store):
    assert store.add([viewed(1, key="x"), viewed(2)], NOW) == 2
    assert store.add([viewed(1, key="x"), viewed(2)], NOW) == 1
    assert items(store) == [1, 2, 2]


def test_a_clock_that_is_put_back_does_not_disorder_what_comes_after(store):
    store.add([viewed(1)], NOW)
    store.add([viewed(2)], NOW - 3600)
    assert items(store) == [1, 2]
    store.add([viewed(3)], NOW + 10)
    assert [event.time for event in store.events()] == [NOW, NOW, NOW + 10]


def test_events_of_a_clock_that_was_years_ahead_are_set_right(store):
    """Otherwise they, and all that follow them, would lie beyond every training window."""
    ahead = NOW + 400 * DAY
    store.add([viewed(1), viewed(2)], ahead)
    store.add([viewed(3)], NOW)
    assert [(event.item, event.time) for event in store.events()] == [(1, NOW), (2, NOW), (3, NOW)]


def test_a_verdict_replaces_the_one_before_and_its_event(store):
    store.judge(4, "like", Event(4, None, 2), NOW)
    store.judge(4, "not-for-me", None, NOW + 1)
    assert (items(store), [row[:2] for row in store.verdicts()]) == ([], [(4, "not-for-me")])
    store.judge(5, "seen", Event(5, None, 0), NOW)
    store.remove_event(store.events()[0].id)
    assert [row[0] for row in store.verdicts()] == [4], "deleting the event takes the verdict back"
    assert store.unjudge(4)
    assert not store.unjudge(4)
    assert store.verdicts() == []


def test_forgetting_leaves_no_trace_in_the_files(store):
    """On the bytes of all of them, with much else written around and pages freed and used again."""
    store.set({"paused": "yes"})
    for batch in range(20):
        events = [viewed(item, key=f"{SECRET}-{batch}-{item}", text=SECRET * 5) for item in range(50)]
        store.add(events, NOW + batch)
    store.keep_answer("m1", bytes(32), SECRET.encode() * 100)
    for event in store.page(100):
        store.remove_event(event.id)
    assert SECRET.encode() in bytes_of(store)
    assert store.forget() == 900
    assert SECRET.encode() not in bytes_of(store)
    assert items(store) == []
    assert store.setting("paused") == "yes"
    assert store.answered("m1").reply is None, "that it was answered is remembered"
    assert store.add([viewed(7)], NOW) == 1, "it begins anew"


def test_a_deleted_event_is_gone_from_the_files(store):
    store.add([viewed(1, text=SECRET), viewed(2, text="kept")], NOW)
    assert store.remove_event(store.events()[0].id)
    found = bytes_of(store)
    assert SECRET.encode() not in found
    assert b"kept" in found


def test_a_reader_in_the_way_of_forgetting_is_told(store):
    store.add([viewed(1, text=SECRET)], NOW)
    store._connection.execute("PRAGMA busy_timeout = 50")
    reader = sqlite3.connect(store.path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM events").fetchall()
    with pytest.raises(
        DataError, match="another process reads this store, so what was deleted may still be in its log"
    ):
        store.forget()
    reader.close()
    store.forget()
    assert SECRET.encode() not in bytes_of(store)


def test_answers_are_kept_for_the_last_messages_alone(store):
    for number in range(5):
        store.keep_answer(f"m{number}", bytes([number]) * 32, b"reply", kept=2)
        if number != 1:
            store.release_answer(f"m{number}")
    store.keep_answer("m9", bytes(32), b"reply", kept=2)
    kept = {name: store.answered(name).reply is not None for name in ("m0", "m1", "m2", "m4", "m9")}
    assert kept == {"m0": False, "m1": True, "m2": False, "m4": True, "m9": True}, "what was not released is still owed"


def test_a_full_disk_is_told_and_changes_nothing(store):
    store.add([viewed(1)], NOW)
    (pages,) = store._connection.execute("PRAGMA page_count").fetchone()
    store._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(DiskFull, match=r"nothing can be written .*; nothing was changed, make room and repeat"):
        store.add([viewed(2, text="x" * 9000)], NOW)
    assert items(store) == [1]
    store._connection.execute("PRAGMA max_page_count = 100000")
    store.add([viewed(2)], NOW)
    assert items(store) == [1, 2]


def test_an_older_store_is_taken_to_this_version_whole_or_not_at_all(store):
    store.add([viewed(1)], NOW)
    store.close()
    broken = (*MIGRATIONS, ("ALTER TABLE events ADD COLUMN place TEXT", "ALTER TABLE nowhere ADD COLUMN x"))
    with pytest.raises(DataError, match="the store is damaged"):
        PrivateStore(store.path, broken)
    later = PrivateStore(store.path, (*MIGRATIONS, ("ALTER TABLE events ADD COLUMN place TEXT",)))
    assert items(later) == [1]
    later.close()
    with pytest.raises(DataError, match=f"its format is {len(MIGRATIONS) + 1}, this version of everbloom reads up to"):
        PrivateStore(store.path)


def test_a_damaged_store_is_told(tmp_path):
    (tmp_path / "private.sqlite").write_bytes(b"nothing like a database" * 100)
    with pytest.raises(DataError, match=r"private\.sqlite: the store is damaged \(file is not a database\)"):
        PrivateStore(tmp_path / "private.sqlite")


WRITER = """
import sys, time
from pathlib import Path
from client.service.private_store import Event, PrivateStore
store = PrivateStore(Path(sys.argv[1]))
for number in range(10**6):
    store.add([Event(number, None, 0), Event(number, None, 1)], 1_700_000_000 + number)
    print(number, flush=True)
"""


def test_killed_at_any_moment_it_holds_all_that_it_confirmed(tmp_path):
    root = Path(private_store.__file__).parents[2]
    path = tmp_path / "private.sqlite"
    for confirmed in (1, 7, 40):
        path.unlink(missing_ok=True)
        process = subprocess.Popen([sys.executable, "-c", WRITER, path], cwd=root, stdout=subprocess.PIPE, text=True)
        for _ in range(confirmed):
            last = int(process.stdout.readline())
        process.kill()
        process.wait()
        process.stdout.close()
        store = PrivateStore(path)
        found = [event.item for event in store.events()]
        assert found == [item for item in range(len(found) // 2) for _ in range(2)], "both of each pair or none"
        assert len(found) // 2 > last
        store.close()
