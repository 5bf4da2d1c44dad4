"""What a ledger charges for messages with ids: a round once, as long as nothing was released for it; and no more than the owner allows."""

import pytest

from client.ledger import SqliteLedger
from everbloom.errors import BudgetExceeded, PrivacyError
from everbloom.privacy.budget import Budget

MOST = 8.0


@pytest.fixture
def ledger(tmp_path) -> SqliteLedger:
    return SqliteLedger.create(tmp_path / "ledger.sqlite")


def charges(ledger: SqliteLedger) -> int:
    return len(ledger.account().reservations)


def spend_all(ledger: SqliteLedger, plan, most_epsilon: float) -> None:
    for round in range(2, 100):
        ledger.reserve_message(plan, 0, round, f"m{round}", most_epsilon)


def test_a_message_whose_round_was_not_committed_is_not_charged_again(ledger, make_plan):
    for _ in range(3):
        ledger.reserve_message(make_plan(), 0, 1, "m1", MOST)
    assert charges(ledger) == 1
    ledger.reserve_message(make_plan(), 0, 1, "m2", MOST)
    assert charges(ledger) == 2


def test_once_committed_it_is_not_trained_for_again(ledger, make_plan):
    """Also where the answer was lost: it may have been seen."""
    ledger.reserve_message(make_plan(), 0, 1, "m1", MOST)
    ledger.commit_message("m1")
    ledger.commit_message("m1")
    ledger.commit_message("unknown")
    assert ledger.account().committed == {3}
    with pytest.raises(PrivacyError, match="the message's round is finished and its answer is no longer kept"):
        ledger.reserve_message(make_plan(), 0, 1, "m1", MOST)


@pytest.mark.parametrize("other", [{"round": 2}, {"period": 1}, {"plan": {"noise_multiplier": 2.0}}])
def test_another_round_or_other_terms_under_a_known_id_are_refused(ledger, make_plan, other):
    ledger.reserve_message(make_plan(), 0, 1, "m1", MOST)
    plan = make_plan(**other.get("plan", {}))
    with pytest.raises(PrivacyError, match="asked for another round or under other terms"):
        ledger.reserve_message(plan, other.get("period", 0), other.get("round", 1), "m1", MOST)


def test_the_owners_budget_is_the_ledgers_and_not_the_plans(ledger, make_plan):
    """A plan that claims epsilon 1 for five rounds of noise that costs far more does not set the budget."""
    plan = make_plan(epsilon=1.0)
    with pytest.raises(BudgetExceeded, match="the budget of epsilon 8 is spent"):
        spend_all(ledger, plan, MOST)
    record = ledger.record()
    assert record["budget"]["epsilon"] == MOST
    assert record["origin"] == "owner"
    assert record["spent"] <= MOST
    assert charges(ledger) > 1


def test_an_owner_who_allows_less_later_is_obeyed(ledger, make_plan):
    ledger.reserve_message(make_plan(), 0, 1, "m1", MOST)
    spent = ledger.record()["spent"]
    with pytest.raises(BudgetExceeded, match=f"epsilon would come to .* and the owner allows {spent:.3g}"):
        ledger.reserve_message(make_plan(), 0, 2, "m2", spent)
    ledger.reserve_message(make_plan(), 0, 2, "m2", MOST)


def test_an_owner_who_allows_more_later_keeps_the_first_budget(ledger, make_plan):
    plan = make_plan()
    ledger.reserve_message(plan, 0, 1, "m1", 6.0)
    with pytest.raises(BudgetExceeded, match="the budget of epsilon 6 is spent"):
        spend_all(ledger, plan, 60.0)


def test_a_ledger_without_messages_goes_on_as_before(tmp_path, make_plan):
    plan = make_plan()
    budget = Budget.of_rounds(plan.cost(), 3, plan.unit, plan.relation, plan.delta)
    ledger = SqliteLedger.create(tmp_path / "given.sqlite", budget)
    ledger.reserve(plan, 0, 1)
    ledger.reserve_message(plan, 0, 1, "m1", 100.0)
    ledger.commit(plan, 0, 1)
    assert [one.message for one in ledger.account().reservations] == [None, "m1"]
    assert charges(ledger) == 2
