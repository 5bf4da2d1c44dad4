"""A cohort trained at once is every client trained on its own device (there: Opacus), in sum and one by one."""

import dataclasses

import numpy as np
import pytest
import torch

from everbloom.learning.examples import Examples

ONE = np.ones(1, dtype=np.int64)
PLANS = {
    "plain": None,
    "clipped": {"noise_multiplier": 1e-9},
    "noised": {"noise_multiplier": 0.8},
    "sampled": {"noise_multiplier": 1e-9, "sample_rate": 0.4},
    "sampled and noised": {"noise_multiplier": 0.8, "sample_rate": 0.4},
}


@pytest.fixture
def matches(agree):
    """Fails unless the engine's sum and its updates one by one are those of the devices."""

    def check(case, batch=None):
        expected = case.on_devices()
        engine = case.engine(batch)
        each = engine.each(case.start, case.cohort)
        assert each.trained.all()
        for found, device in zip(each.deltas, expected, strict=True):
            agree(found, device)
        total = engine.total(case.start, case.cohort)
        assert total.trained.all()
        agree(total.deltas, expected.sum(axis=0, keepdims=True))
        return expected

    return check


@pytest.fixture
def plan_of(make_plan):
    """(name, steps) -> a plan, or None."""

    def build(name, steps=1):
        fields = PLANS[name]
        return fields and make_plan(denominator=5.0, steps_per_round=steps, **fields)

    return build


@pytest.mark.parametrize("name", ["plain", "clipped"])
def test_one_step(case_of, matches, plan_of, variant, objective, name):
    """Every model with every objective; clients of different sizes, and one with nothing."""
    kind = "next-item" if (len(variant) + len(objective["name"])) % 2 else "windows"
    matches(case_of(variant, (4, 0, 1, 6), kind, plan_of(name), objective=objective))


@pytest.mark.parametrize("name", ["plain", "clipped"])
def test_one_step_of_each_kind(case_of, matches, plan_of, variant, kind, name):
    matches(case_of(variant, kind=kind, plan=plan_of(name)))


def test_what_a_case_holds(case_of, kind):
    """Items twice in an example, negatives twice, negatives that are own items; item 0 as an item and as padding."""
    case = case_of(kind=kind)
    cohort, counts = case.cohort, case.cohort.counts
    items, real = cohort.examples.items, cohort.examples.real
    rows = [items[row][real[row]].tolist() for row in range(len(items))]
    assert any(len(set(row)) < len(row) for row in rows)
    assert all(len(set(row)) < len(row) for row in cohort.negatives.tolist())
    owner = np.repeat(np.arange(len(counts)), counts)
    assert any(set(row) & set(cohort.negatives[client].tolist()) for row, client in zip(rows, owner, strict=True))
    assert any(0 in row for row in rows)
    assert any(len(row) < items.shape[1] and 0 not in row for row in rows)


def test_some_are_clipped_and_some_are_not(case_of, plan_of, variant):
    """Otherwise the comparisons would see only one side of the clip norm."""
    case = case_of(variant, plan=plan_of("clipped"))
    engine = case.engine()
    alone = [engine.each(case.start, one.cohort).deltas for one in single_examples(case)]
    norms = np.linalg.norm(np.concatenate(alone), axis=1) / (0.05 / 5) / case.plan.clip_norm
    assert 0.1 < (norms > 1 - 1e-4).mean() < 0.9
    assert norms.max() <= 1 + 1e-5


def single_examples(case):
    """A case for each example: the client that holds it and nothing else."""
    for client, count in enumerate(case.cohort.counts):
        one = case.only([client])
        for row in range(count):
            cohort = dataclasses.replace(one.cohort, examples=one.examples(0).take(torch.tensor([row])), counts=ONE)
            yield dataclasses.replace(one, cohort=cohort)


@pytest.mark.parametrize("name", ["plain", "clipped", "sampled and noised"])
@pytest.mark.parametrize(("steps", "kind"), [(1, "windows"), (3, "windows"), (3, "next-item")])
@pytest.mark.parametrize("model", ["behaviours", "mlp-features", "content", "hybrid", "fixed"])
def test_several_steps_with_dropout_and_a_proximal_term(case_of, matches, plan_of, model, kind, name, steps):
    plan = plan_of(name, steps)
    matches(case_of(model, kind=kind, plan=plan, dropout=0.3, proximal_mu=0.5, local_steps=steps))


@pytest.mark.parametrize("name", PLANS)
@pytest.mark.parametrize("sizes", [(1,), (0,), (0, 0, 0), (0, 1, 0)], ids=str)
def test_next_to_nothing(case_of, matches, plan_of, name, sizes):
    matches(case_of(sizes=sizes, kind="next-item", plan=plan_of(name, 2), local_steps=2))


@pytest.mark.parametrize("name", ["plain", "sampled"])
@pytest.mark.parametrize(
    "sizes", [(1, 300), (300,), (1,) * 66, (0, 65, 64, 128, 63)], ids=lambda sizes: f"{len(sizes)} with {max(sizes)}"
)
def test_sizes(case_of, matches, plan_of, name, sizes):
    """Very unequal; more clients than have parameters of their own at once; more examples than share a unit."""
    if len(sizes) < 66:
        matches(case_of(sizes=sizes, kind="next-item", plan=plan_of(name, 1)))
    # A short step: where the second one begins, rounding of the first is multiplied by the curvature.
    matches(case_of(sizes=sizes, kind="next-item", plan=plan_of(name, 2), local_steps=2, learning_rate=0.02))


@pytest.mark.parametrize("rate", [1e-6, 0.2])
def test_batches_that_are_empty_send_noise(case_of, matches, make_plan, rate):
    plan = make_plan(noise_multiplier=0.8, sample_rate=rate, steps_per_round=3, denominator=5.0)
    case = case_of(sizes=(2, 0, 3), plan=plan)
    deltas = matches(case)
    if rate == 1e-6:
        assert np.std(deltas, axis=1) == pytest.approx([0.05 * 0.8 * 16 / 5 * 3**0.5] * 3, rel=0.1)


@pytest.mark.parametrize("name", ["plain", "clipped", "sampled and noised"])
def test_histories_of_one_event(case_of, matches, plan_of, name):
    """Nothing is read but the start token."""
    case = case_of(plan=plan_of(name), kind="next-item")
    examples = case.cohort.examples
    short = Examples(
        examples.items[:, :1], examples.behaviour[:, :1], examples.real[:, :1], examples.real[:, :1].float(),
        torch.zeros_like(examples.place), examples.gap[:, :1],
    )  # fmt: skip
    config = case.config.model_copy(update={"user": case.config.user.model_copy(update={"history": 1})})
    matches(dataclasses.replace(case, config=config, cohort=dataclasses.replace(case.cohort, examples=short)))
