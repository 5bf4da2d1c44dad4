"""A budget as a filter: what it allows, what it can add up, and that what it claims is what was spent."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everbloom.errors import PrivacyError
from everbloom.privacy.accounting.gaussian import gaussian_epsilon, gaussian_mu
from everbloom.privacy.accounting.renyi import ORDERS, epsilon_at
from everbloom.privacy.accounting.sampled import poisson_epsilon
from everbloom.privacy.budget import Budget, Cost

FULL, SAMPLED, DISCRETE = Cost.gaussian(0.25), Cost.sampled(1.0, 0.2, 5), Cost.renyi([2, 4, 16], [0.1, 0.2, 0.9])


def gdp(epsilon: float = 4.0, delta: float = 1e-5) -> Budget:
    return Budget("example", "add-or-remove", epsilon, delta, "gdp")


def renyi(epsilon: float = 4.0, delta: float = 1e-5, nominal: Cost = SAMPLED) -> Budget:
    return Budget.suited_to(nominal, "example", "add-or-remove", epsilon, delta)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0.001, 1.0), min_size=1, max_size=30), st.floats(0.5, 10), st.floats(1e-8, 1e-2))
def test_whatever_the_order_of_charges_the_gdp_filter_never_exceeds_epsilon(mu_squares, epsilon, delta):
    """And stops only where one more would exceed it: exact composition of Gaussians is the sum of mu squared."""
    budget = gdp(epsilon, delta)
    spent: list[Cost] = []
    for mu_squared in mu_squares:
        new = Cost.gaussian(mu_squared)
        after = gaussian_epsilon(math.sqrt(sum(cost.mu_squared or 0 for cost in [*spent, new])), delta)
        assert budget.allows(spent, new) is (after <= epsilon * (1 + 1e-6)) or after == pytest.approx(epsilon, rel=1e-5)
        if budget.allows(spent, new):
            spent.append(new)
    assert budget.spent_epsilon(spent) <= epsilon * (1 + 1e-5)


def test_noise_calibrated_to_a_budget_reaches_its_last_round_and_no_further():
    """For budgets through the same root finding as a plan's noise."""
    for epsilon in (0.3, 1.0, 2.0, 8.0, 20.0):
        for rounds in (1, 3, 48, 1000):
            cost = Cost.gaussian((gaussian_mu(epsilon, 1e-5) ** 2) / rounds)
            again = gaussian_epsilon(math.sqrt(rounds * cost.mu_squared), 1e-5)
            for budget in (gdp(epsilon), gdp(again)):
                assert budget.allows([cost] * (rounds - 1), cost)
                assert not budget.allows([cost] * rounds, cost)
                assert budget.charges_left([], cost) == rounds


def test_the_renyi_filter_uses_one_order_for_everything():
    budget = renyi()
    assert budget.order in ORDERS
    spent = [SAMPLED, FULL, DISCRETE]
    total = sum(cost.rdp(budget.order) for cost in spent)
    assert budget.spent(spent) == pytest.approx(total)
    assert budget.spent_epsilon(spent) == pytest.approx(epsilon_at(budget.order, total, 1e-5))
    # At another order the same would look cheaper; that is not what the filter counts.
    big = [Cost.gaussian(0.05)] * 3
    assert min(
        epsilon_at(order, sum(cost.rdp(order) for cost in big), 1e-5) for order in ORDERS
    ) < budget.spent_epsilon(big)


def test_the_order_is_the_one_that_allows_most_of_the_nominal_mechanism():
    chosen = renyi().charges_left([], SAMPLED)
    assert chosen == max(
        Budget("example", "add-or-remove", 4.0, 1e-5, "rdp", order).charges_left([], SAMPLED)
        for order in ORDERS
        if 4.0 - epsilon_at(order, 0.0, 1e-5) > 0
    )
    noise, rate, steps = 1.0, 0.2, 5
    assert poisson_epsilon(noise, rate, steps * chosen, 1e-5) < 4.0, "a filter costs something, and is never above"


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from([SAMPLED, FULL, DISCRETE, Cost.sampled(2.0, 0.05, 20)]), max_size=40))
def test_the_renyi_filter_never_exceeds_epsilon(charges):
    budget = renyi(6.0, 1e-4)
    spent: list[Cost] = []
    for cost in charges:
        if budget.allows(spent, cost):
            spent.append(cost)
    assert budget.spent_epsilon(spent) <= 6.0 * (1 + 1e-5)
    assert 0 <= budget.remaining(spent) <= 1


def test_a_gdp_budget_refuses_what_is_not_gaussian_and_says_so():
    for other in (SAMPLED, DISCRETE):
        assert not gdp().allows([], other)
        assert gdp().charges_left([], other) == 0
        with pytest.raises(
            PrivacyError,
            match=r"adds up Gaussian releases that read everything \(filter gdp\).*only a budget with filter rdp",
        ):
            gdp().charge(other)


def test_a_renyi_budget_refuses_an_order_at_which_nothing_is_known():
    budget = Budget("example", "add-or-remove", 4.0, 1e-5, "rdp", 32.0)
    assert not budget.allows([], DISCRETE)
    assert budget.allows([], Cost.gaussian(0.2))


def test_a_share_of_the_budget():
    budget = gdp()
    third = Cost.gaussian(budget.limit / 3)
    assert budget.allows([], third, share=0.34)
    assert not budget.allows([third], third, share=0.5)
    assert budget.allows([third], third)
    assert budget.remaining([third]) == pytest.approx(2 / 3)


@pytest.mark.parametrize("cost", [Cost.gaussian(0.25), Cost.sampled(1.1, 0.2, 5), DISCRETE])
def test_a_budget_of_rounds_allows_just_those(cost):
    budget = Budget.of_rounds(cost, 7, "example", "add-or-remove", 1e-5)
    assert budget.charges_left([], cost) == 7
    assert budget.filter == ("rdp" if cost.mu_squared is None else "gdp")
    assert Budget.of_rounds(cost, 7, "example", "add-or-remove", 1e-5, epsilon=99.0).epsilon == 99.0


def test_sampling_everything_is_not_sampling():
    assert Cost.sampled(2.0, 1.0, 8) == Cost.gaussian(2.0)


def test_nothing_costs_nothing():
    nothing = Cost.sampled(1.0, 0.5, 0)
    assert renyi().charges_left([], nothing) == -1
    assert renyi().spent_epsilon([]) == gdp().spent_epsilon([]) == 0.0


@pytest.mark.parametrize("cost", [FULL, SAMPLED, DISCRETE, Cost.gaussian(0)])
def test_costs_through_json(cost):
    assert Cost.from_dict(json.loads(json.dumps(cost.to_dict()))) == cost


@pytest.mark.parametrize("budget", [gdp(), renyi()])
def test_budgets_through_json(budget):
    assert Budget.from_dict(json.loads(json.dumps(budget.to_dict()))) == budget


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        [],
        {"gaussian": {"mu_squared": -1}},
        {"gaussian": {"mu_squared": math.nan}},
        {"gaussian": {"mu_squared": "0"}},
        {"gaussian": {"mu_squared": 1}, "sampled": {}},
        {"gaussian": {}},
        {"laplace": {"scale": 1}},
        {"sampled": {"noise_multiplier": 0, "sample_rate": 0.5, "steps": 1}},
        {"sampled": {"noise_multiplier": 1, "sample_rate": 0, "steps": 1}},
        {"sampled": {"noise_multiplier": 1, "sample_rate": 0.5, "steps": -1}},
        {"sampled": {"noise_multiplier": math.inf, "sample_rate": 0.5, "steps": 1}},
        {"renyi": {"orders": [], "values": []}},
        {"renyi": {"orders": [1], "values": [0.1]}},
        {"renyi": {"orders": [2, 2], "values": [0.1, 0.2]}},
        {"renyi": {"orders": [2], "values": [math.nan]}},
        {"renyi": {"orders": [2], "values": [-0.1]}},
        {"renyi": {"orders": [2, 3], "values": [0.1]}},
    ],
)
def test_what_is_no_cost_is_refused(wrong):
    with pytest.raises(PrivacyError, match=r"expected"):
        Cost.from_dict(wrong)


def test_a_cost_is_of_one_kind():
    with pytest.raises(PrivacyError, match="one of gaussian, sampled and renyi"):
        Cost()
    with pytest.raises(PrivacyError, match="one of gaussian, sampled and renyi"):
        Cost(mu_squared=0.0, sampled_steps=(1.0, 0.5, 1))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"epsilon": 0}, "epsilon = 0"),
        ({"epsilon": math.inf}, "epsilon = inf"),
        ({"delta": 0}, "delta = 0"),
        ({"delta": 1}, "delta = 1"),
        ({"filter": "pld"}, "gdp or rdp"),
        ({"order": 2.0}, "none with the gdp filter"),
        ({"filter": "rdp"}, "above 1 with the rdp filter"),
        ({"filter": "rdp", "order": 1.0}, "above 1 with the rdp filter"),
        ({"filter": "rdp", "order": 2.0, "epsilon": 0.1}, "at order 2.0 and delta 1e-05"),
    ],
)
def test_what_is_no_budget_is_refused(change, told):
    table = {**gdp().to_dict(), **change}
    with pytest.raises(PrivacyError, match=told):
        Budget.from_dict(table)
    with pytest.raises(PrivacyError, match="expected unit"):
        Budget.from_dict({**gdp().to_dict(), "rounds": 3})
