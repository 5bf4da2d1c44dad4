"""The simulated population's ledger: reserve first, refuse what exceeds the budget, show the largest epsilon."""

import numpy as np
import pytest

from everbloom.errors import BudgetExceeded
from everbloom.privacy.ledger import Ledger


def test_reserving_until_refused(make_plan):
    ledger = Ledger(make_plan(max_participations=2), np.zeros(3, dtype=np.int32))
    ledger.reserve(1)
    assert ledger.eligible().tolist() == [True, True, True]
    ledger.reserve(1)
    assert ledger.eligible().tolist() == [True, False, True]
    with pytest.raises(BudgetExceeded, match="client 1: refused, its budget of 2 rounds"):
        ledger.reserve(1)
    assert ledger.participations.tolist() == [0, 2, 0]


def test_epsilon_is_that_of_who_took_part_most(make_plan):
    plan = make_plan(max_participations=5)
    ledger = Ledger(plan, np.array([0, 3, 1], dtype=np.int32))
    assert ledger.epsilon() == plan.spent(3)
    assert Ledger(plan, np.zeros(3, dtype=np.int32)).epsilon() == 0


def test_without_a_plan_nobody_is_refused_and_one_round_costs_everything():
    ledger = Ledger(None, np.zeros(2, dtype=np.int32))
    assert ledger.epsilon() == 0
    for _ in range(100):
        ledger.reserve(0)
    assert ledger.eligible().all()
    assert ledger.epsilon() == float("inf")


def test_the_array_is_shared_not_copied(make_plan):
    participations = np.zeros(2, dtype=np.int32)
    Ledger(make_plan(), participations).reserve(0)
    assert participations.tolist() == [1, 0]


def test_asking_charges_the_eligible_and_no_one_else(make_plan):
    """The server's side: a whole cohort at once, or nothing."""
    ledger = Ledger(make_plan(max_participations=2, max_per_period=1), np.zeros(4, dtype=np.int32))
    ledger.ask(np.array([0, 2]))
    assert ledger.participations.tolist() == [1, 0, 1, 0]
    assert ledger.last.tolist() == [1, 0, 1, 0]
    with pytest.raises(BudgetExceeded, match="client 2: refused"):
        ledger.ask(np.array([1, 2]))
    assert ledger.participations.tolist() == [1, 0, 1, 0]
    assert ledger.eligible().tolist() == [False, True, False, True]
    assert ledger.left() == 4, "the run's budget, not the period's"
    ledger.begin_period()
    ledger.ask(np.array([0, 1, 2]))
    assert ledger.left() == 2


def test_devices_stay_apart(make_plan):
    ledger = Ledger(make_plan(separation=3), np.zeros(3, dtype=np.int32))
    for client in (0, 1, 2):
        assert ledger.eligible()[client]
        ledger.ask(np.array([client]))
    assert ledger.eligible().tolist() == [True, False, False]
