"""A device's own ledger: it only ever grows, counts what was begun, keeps to its budget, and refuses when it cannot be trusted."""

import json
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from client.ledger import SqliteLedger
from everbloom.errors import BudgetExceeded, PrivacyError
from everbloom.privacy.budget import Budget, Cost


@pytest.fixture
def ledger(tmp_path) -> SqliteLedger:
    return SqliteLedger.create(tmp_path / "ledger.sqlite")


@pytest.fixture
def used(ledger, make_plan) -> SqliteLedger:
    """Opened, given a budget, and three rounds, two of them finished: 7 entries."""
    for round in (1, 2, 3):
        ledger.reserve(make_plan(), 0, round)
        if round < 3:
            ledger.commit(make_plan(), 0, round)
    return ledger


def owned(path: Path, plan, rounds: int, **options: float) -> SqliteLedger:
    """A ledger with a budget for so many rounds of this plan."""
    budget = Budget.of_rounds(plan.cost(), rounds, plan.unit, plan.relation, plan.delta)
    return SqliteLedger.create(path / "owned.sqlite", budget, **options)


def tamper(path: Path, *statements: str) -> None:
    """What somebody with a database tool could do, the rules taken away and put back."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        rules = connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY rowid"
        ).fetchall()
        for name, _ in rules:
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            connection.execute(statement)
        for _, sql in rules:
            connection.execute(sql)


def test_a_round_is_reserved_and_committed(ledger, make_plan):
    plan = make_plan()
    ledger.reserve(plan, 0, 1)
    ledger.reserve(plan, 0, 2)
    ledger.commit(plan, 0, 1)
    record = ledger.record()
    assert record["ledger"] == ledger.ledger
    assert record["origin"] == "first use"
    assert {"unit", "relation", "epsilon", "delta", "filter", "order"} == set(record["budget"])
    first, second = record["entries"]
    assert (first["status"], first["period"], first["round"]) == ("committed", 0, 1)
    assert (second["status"], second["period"], second["round"]) == ("reserved", 0, 2)
    assert Cost.from_dict(first["cost"]) == plan.cost()
    assert first["mechanism"] == plan.mechanism
    assert first["policy"] == second["policy"]
    assert len(first["policy"]) == 64
    assert record["spent"] == pytest.approx(plan.spent(2), rel=1e-6)
    json.dumps(record)


def test_the_first_plan_sets_the_budget_and_then_it_is_over(ledger, make_plan):
    plan = make_plan(max_participations=2, epsilon=1.0)
    for round in (1, 2):
        ledger.reserve(plan, 0, round)
        ledger.commit(plan, 0, round)
    before = ledger.path.read_bytes()
    with pytest.raises(
        BudgetExceeded, match=r"refused, the budget of epsilon 6\.\d+ is spent: 0\.0% of it is left after 2 rounds"
    ):
        ledger.reserve(plan, 0, 3)
    assert ledger.path.read_bytes() == before
    assert ledger.account().budget.epsilon == pytest.approx(plan.spent(2))


def test_rounds_with_other_noise_are_charged_to_the_same_budget(tmp_path, make_plan):
    """Twice the noise costs a quarter: four such rounds for one."""
    plan, quieter = make_plan(), make_plan(noise_multiplier=2.0)
    ledger = owned(tmp_path, plan, 3)
    ledger.reserve(plan, 0, 1)
    for round in range(8):
        ledger.reserve(quieter, 1, round)
    for other in (plan, quieter, make_plan(noise_multiplier=20.0)):
        with pytest.raises(BudgetExceeded, match="is spent"):
            ledger.reserve(other, 2, 9)
    assert len({entry["policy"] for entry in ledger.record()["entries"]}) == 2


def test_a_server_that_asks_for_less_noise_runs_out_sooner(ledger, make_plan):
    """The budget is the first plan's, whatever later ones claim for themselves."""
    ledger.reserve(make_plan(max_participations=5, epsilon=1.0), 0, 1)
    loud = make_plan(noise_multiplier=0.4, max_participations=1000, epsilon=1000.0)
    with pytest.raises(BudgetExceeded, match=r"80\.0% of it is left after 1 rounds, and this round needs more"):
        ledger.reserve(loud, 0, 2)


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"unit": "interaction"}, "for unit 'example' and the plan's is 'interaction'"),
        ({"example": "an event"}, "for relation 'adding or removing one example .*an event"),
        ({"delta": 1e-3}, "for delta 1e-05 and the plan's is 0.001"),
        ({"sample_rate": 0.5}, "only a budget with filter rdp can take it"),
    ],
)
def test_costs_of_another_kind_are_not_added_up(used, make_plan, other, told):
    before = used.path.read_bytes()
    with pytest.raises(PrivacyError, match=told):
        used.reserve(make_plan(**other), 0, 4)
    assert used.path.read_bytes() == before
    assert told.split("'")[0] in str(used.eligible(make_plan(**other), 0))


def test_sampled_rounds_are_charged_at_one_order(ledger, make_plan):
    sampled = make_plan(sample_rate=0.2, steps_per_round=5, max_participations=4, epsilon=1.0)
    for round in range(4):
        ledger.reserve(sampled, 0, round)
    budget = ledger.account().budget
    assert budget.filter == "rdp"
    assert budget.epsilon > sampled.spent(4), "a filter costs something"
    with pytest.raises(BudgetExceeded):
        ledger.reserve(sampled, 0, 4)
    with pytest.raises(BudgetExceeded):
        ledger.reserve(make_plan(), 0, 4)


def test_a_period_spends_no_more_than_its_share(tmp_path, make_plan):
    plan = make_plan()
    ledger = owned(tmp_path, plan, 4, period_share=0.5)
    ledger.reserve(plan, 0, 1)
    ledger.reserve(plan, 0, 2)
    with pytest.raises(BudgetExceeded, match=r"period 0 has spent its share of 0\.5"):
        ledger.reserve(plan, 0, 3)
    assert ledger.eligible(plan, 1) is None
    assert "period 0 has spent its share" in ledger.eligible(plan, 0)
    ledger.reserve(plan, 1, 4)
    ledger.reserve(plan, 2, 5)
    assert "the budget of epsilon" in ledger.eligible(plan, 3)


@pytest.mark.parametrize("share", [0, -1, 1.1, float("nan")])
def test_a_share_is_a_share(tmp_path, share):
    with pytest.raises(PrivacyError, match="period_share"):
        SqliteLedger.create(tmp_path / "l", period_share=share)


def test_the_same_round_asked_twice_is_paid_twice(ledger, make_plan):
    """Each answer has fresh noise: two answers tell more than one."""
    plan = make_plan(max_participations=2, epsilon=1.0)
    ledger.reserve(plan, 0, 1)
    ledger.reserve(plan, 0, 1)
    ledger.commit(plan, 0, 1)
    with pytest.raises(BudgetExceeded):
        ledger.reserve(plan, 0, 1)
    assert [entry["status"] for entry in ledger.record()["entries"]] == ["reserved", "committed"]


def test_only_what_was_reserved_is_committed(ledger, make_plan):
    with pytest.raises(PrivacyError, match="period 0, round 1 was not reserved"):
        ledger.commit(make_plan(), 0, 1)
    ledger.reserve(make_plan(), 0, 1)
    ledger.commit(make_plan(), 0, 1)
    with pytest.raises(PrivacyError, match="was not reserved"):
        ledger.commit(make_plan(), 0, 1)


def test_asking_whether_it_may_take_part_writes_nothing_and_tells_what_reserving_would(ledger, make_plan):
    plan = make_plan(max_participations=2, epsilon=1.0)
    for round in range(4):
        before = ledger.path.read_bytes()
        reason = ledger.eligible(plan, 0)
        assert ledger.path.read_bytes() == before
        if reason is None:
            ledger.reserve(plan, 0, round)
        else:
            with pytest.raises(BudgetExceeded) as refused:
                ledger.reserve(plan, 0, round)
            assert str(refused.value) == reason
    assert ledger.account().budget is not None


def test_rows_cannot_be_changed_removed_or_replaced(used):
    with closing(sqlite3.connect(used.path, isolation_level=None)) as connection:
        for statement in (
            "UPDATE entries SET body = '{}' WHERE sequence = 3",
            "DELETE FROM entries WHERE sequence = 7",
            "DELETE FROM entries",
            "INSERT OR REPLACE INTO entries SELECT 3, body, hash FROM entries WHERE sequence = 4",
            "INSERT INTO entries VALUES (99, '{}', '')",
            "REPLACE INTO entries VALUES (NULL, '{}', '')",
        ):
            with pytest.raises(sqlite3.IntegrityError, match="only added to"):
                connection.execute(statement)
    assert len(used.account().reservations) == 3


@pytest.mark.parametrize(
    ("statements", "told"),
    [
        (["UPDATE entries SET body = replace(body, '\"round\":2', '\"round\":3')"], "entry 5 was changed"),
        (["UPDATE entries SET body = replace(body, 'mu_squared\":1.0', 'mu_squared\":0.1')"], "entry 3 was changed"),
        (["UPDATE entries SET hash = replace(hash, substr(hash, 1, 4), 'aaaa') WHERE sequence = 4"], "entry 4 was changed"),
        (["DELETE FROM entries WHERE sequence = 4"], "entry 4 is missing"),
        (["DELETE FROM entries WHERE sequence = 4", "UPDATE entries SET sequence = sequence - 1 WHERE sequence > 4"], "entry 4 was changed"),
        (["DELETE FROM entries WHERE sequence > 5"], "entry 6 is missing"),
        (["DELETE FROM entries"], "entry 1 is missing"),
        (["DELETE FROM entries", "DELETE FROM sqlite_sequence"], "entry 1 is missing"),
        (["CREATE TABLE more (x)"], "rules that keep it"),
        (["PRAGMA user_version = 2"], "its format is 2"),
        (["INSERT INTO entries VALUES (8, 'text', 'hash')"], "entry 8 was changed"),
    ],
)  # fmt: skip
def test_a_changed_ledger_refuses_and_is_left_as_it_is(used, make_plan, statements, told):
    tamper(used.path, *statements)
    before = used.path.read_bytes()
    for what in (
        lambda: used.reserve(make_plan(), 0, 4),
        lambda: used.commit(make_plan(), 0, 3),
        used.account,
        used.record,
    ):
        with pytest.raises(
            PrivacyError,
            match=rf"ledger\.sqlite: the ledger is damaged \(.*{told}.*\); refused, because what was spent is unknown",
        ):
            what()
    assert told in used.eligible(make_plan(), 0)
    assert used.path.read_bytes() == before


def test_a_ledger_without_its_rules_refuses(used):
    with closing(sqlite3.connect(used.path, isolation_level=None)) as connection:
        connection.execute("DROP TRIGGER no_update")
    with pytest.raises(PrivacyError, match="rules that keep it from being changed are not as they were made"):
        used.account()


@pytest.mark.parametrize(
    "content", [b"", b"no database at all, but some text that is longer than a header of SQLite" * 20]
)
def test_a_file_that_is_no_ledger_refuses(used, make_plan, content):
    used.path.write_bytes(content)
    with pytest.raises(PrivacyError, match="the ledger is damaged"):
        used.reserve(make_plan(), 0, 4)
    assert used.path.read_bytes() == content


def test_a_file_cut_short_refuses(used):
    used.path.write_bytes(used.path.read_bytes()[:-4096])
    with pytest.raises(PrivacyError, match="the ledger is damaged"):
        used.account()


def test_a_byte_that_flipped_changes_nothing_unnoticed(used, make_plan):
    """Wherever it is: either the ledger refuses, or it says what it said."""
    whole, said = used.path.read_bytes(), used.account()
    noticed = 0
    for place in random.Random(5).sample(range(len(whole)), 250):
        used.path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        reason = used.eligible(make_plan(), 0)
        if reason is None:
            assert used.account() == said
        else:
            assert "the ledger is damaged" in reason or "the ledger cannot be used" in reason
            assert "\n" not in reason
            noticed += 1
    assert noticed > 10


def test_only_its_owner_reads_it(used):
    assert used.path.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in used.path.parent.iterdir()] == ["ledger.sqlite"]


def test_it_is_on_disk_before_a_call_returns(ledger, make_plan, monkeypatch):
    """What SQLite was told, at the moment a row is added: full flushes, of the journal's directory too."""
    told = []

    def append(connection: sqlite3.Connection, entry: object) -> None:
        told.extend(
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("synchronous", "journal_mode", "fullfsync")
        )

    monkeypatch.setattr("client.ledger.append", append)
    ledger.reserve(make_plan(), 0, 1)
    assert told[:3] == [3, "delete", 1]


def test_a_ledger_is_never_replaced(used):
    before = used.path.read_bytes()
    with pytest.raises(PrivacyError, match="there is a ledger already"):
        SqliteLedger.create(used.path)
    assert used.path.read_bytes() == before
    assert [path.name for path in used.path.parent.iterdir()] == ["ledger.sqlite"]


def test_what_a_power_cut_left_of_a_new_ledger_is_no_ledger(tmp_path):
    for left in ("ledger.sqlite.new", "ledger.sqlite.new-journal"):
        (tmp_path / left).write_bytes(b"half of something")
    SqliteLedger.create(tmp_path / "ledger.sqlite").account()
    assert [path.name for path in tmp_path.iterdir()] == ["ledger.sqlite"]


def test_a_missing_ledger_refuses_and_is_not_made_anew(used, make_plan):
    used.path.unlink()
    with pytest.raises(
        PrivacyError,
        match="the ledger is missing; refused, a ledger that was reset does not say what this device spent",
    ):
        used.reserve(make_plan(), 0, 4)
    assert "missing" in used.eligible(make_plan(), 0)
    assert not used.path.exists()


def test_another_ledger_in_its_place_refuses(used, make_plan):
    used.path.unlink()
    other = SqliteLedger.create(used.path)
    for what in (
        lambda: used.reserve(make_plan(), 0, 4),
        used.account,
        used.record,
        lambda: used.commit(make_plan(), 0, 3),
    ):
        with pytest.raises(
            PrivacyError, match=f"this is ledger {other.ledger}, the device's is {used.ledger}; refused"
        ):
            what()


def test_a_round_waits_for_another_and_gives_up_in_the_end(used, make_plan, monkeypatch):
    monkeypatch.setattr("client.ledger_file._WAIT", 0.05)
    with closing(sqlite3.connect(used.path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        with pytest.raises(PrivacyError, match="another round holds the ledger; refused"):
            used.reserve(make_plan(), 0, 4)
        assert used.eligible(make_plan(), 0) is None
    used.reserve(make_plan(), 0, 4)
