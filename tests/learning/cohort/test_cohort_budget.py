"""How much is computed at once never changes what is computed; what does not fit is refused."""

import dataclasses

import numpy as np
import pytest

from everbloom.errors import InputError
from everbloom.learning.cohort.batches import pieces, units_of

PLAIN_AND_PRIVATE = [None, {"noise_multiplier": 0.8}, {"noise_multiplier": 0.8, "sample_rate": 0.5}]


@pytest.fixture
def plan_of(make_plan):
    return lambda fields, steps=1: fields and make_plan(denominator=5.0, steps_per_round=steps, **fields)


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("fields", [None, {"noise_multiplier": 0.1, "sample_rate": 0.7}])
@pytest.mark.parametrize("model", ["content", "mlp-features", "wide"])
def test_the_size_of_a_batch_changes_nothing(case_of, agree, plan_of, kind, model, fields, steps):
    case = case_of(model, (4, 0, 1, 9), kind, plan_of(fields, steps), dropout=0.3, local_steps=steps)
    expected = case.engine(batch=2**40)
    each = expected.each(case.start, case.cohort).deltas
    total = expected.total(case.start, case.cohort).deltas
    for batch in (1, 20_000):
        engine = case.engine(batch)
        agree(engine.each(case.start, case.cohort).deltas, each)
        agree(engine.total(case.start, case.cohort).deltas, total)


def test_sizes_of_batches_differ(case_of):
    """Otherwise the comparison above would say nothing."""
    case = case_of(sizes=(5, 0, 1, 30))
    counts = []
    for batch in (1, 10_000, 2**40):
        budget = case.engine(batch).budget
        units = units_of(case.cohort, np.arange(36), budget.most_examples(5))
        counts.append(len(list(pieces(units, budget.batch, budget.example_cost(units.length)))))
    assert counts[0] == 36 > counts[1] > counts[2]


@pytest.mark.parametrize("fields", PLAIN_AND_PRIVATE)
def test_fewer_clients_at_once_change_nothing(case_of, agree, plan_of, fields):
    case = case_of(sizes=(3, 1, 0, 4, 2, 2), plan=plan_of(fields, 2), local_steps=2)
    engine = case.engine()
    expected = engine.each(case.start, case.cohort).deltas
    budget = engine.budget
    for clients in (1, 2, 5):
        memory = budget.fixed + budget.batch + clients * budget.client
        engine.budget = engine.training.budget = dataclasses.replace(budget, memory=memory)
        assert max(len(some) for some in engine.budget.groups(case.cohort, idle=True)) == clients
        agree(engine.each(case.start, case.cohort).deltas, expected)


@pytest.mark.parametrize("idle", [False, True])
def test_groups_hold_each_client_once(case_of, idle):
    case = case_of(sizes=[n % 5 for n in range(150)])
    groups = list(case.engine().budget.groups(case.cohort, idle))
    assert all(len(some) <= 64 and (np.diff(some) > 0).all() for some in groups)
    wanted = np.arange(150) if idle else np.flatnonzero(case.cohort.counts)
    assert np.array_equal(np.sort(np.concatenate(groups)), wanted)


@pytest.mark.parametrize("fields", PLAIN_AND_PRIVATE)
@pytest.mark.parametrize("steps", [1, 2])
def test_what_does_not_fit_is_refused_in_one_line(case_of, plan_of, fields, steps):
    """From one byte too few on."""
    case = case_of(plan=plan_of(fields, steps), local_steps=steps)
    with pytest.raises(InputError, match="memory_mb") as refused:
        case.engine(memory=1000).total(case.start, case.cohort)
    assert "\n" not in str(refused.value)
    with pytest.raises(InputError, match="memory_mb"):
        case.engine(memory=1000).each(case.start, case.cohort)
    engine = case.engine()
    least = engine.budget.fixed + engine.budget.batch + engine.budget.client
    engine.budget = engine.training.budget = dataclasses.replace(engine.budget, memory=least)
    engine.each(case.start, case.cohort)
    engine.budget = engine.training.budget = dataclasses.replace(engine.budget, memory=least - 1)
    with pytest.raises(InputError, match="memory_mb"):
        engine.each(case.start, case.cohort)


def test_a_small_memory_makes_small_batches(case_of):
    case = case_of()
    for memory in (10**5, 10**6, 10**7):
        budget = case.engine(memory=memory).budget
        assert budget.batch <= memory / 8
        assert budget.most_examples(5) * budget.example_cost(np.array([5]))[0] <= max(
            budget.batch, budget.example_cost(np.array([5]))[0]
        )
    assert case.engine().budget.batch == case.engine(memory=10**12).budget.batch


def test_longer_examples_cost_more(case_of, kind):
    cost = case_of(kind=kind).engine().budget.example_cost(np.arange(1, 6))
    assert (np.diff(cost) > 0).all()
    assert cost[0] > 0
