"""Metrics against trec_eval (through ir_measures), their properties, and the bootstrap's coverage."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ir_measures import AP, RR, P, R, Success, nDCG, pytrec_eval
from numpy.typing import NDArray

from everbloom.evaluation.metrics import MEASURES, bootstrap_interval, means, metric_keys, per_case

KS = (1, 5, 10, 20)
ORACLE = {"hr": Success, "ndcg": nDCG, "recall": R, "precision": P, "map": AP}


def _random_lists(
    seed: int, cases: int = 200, items: int = 60, k: int = 20
) -> tuple[NDArray[np.int64], list[set[int]]]:
    rng = np.random.default_rng(seed)
    ranked = np.argsort(rng.random((cases, items)), axis=1)[:, :k]
    targets = [set(rng.choice(items, rng.integers(1, 30), replace=False).tolist()) for _ in range(cases)]
    return ranked, targets


def _values(ranked: NDArray[np.int64], targets: list[set[int]]) -> dict[str, NDArray[np.float64]]:
    hits = np.array([[item in wanted for item in row] for row, wanted in zip(ranked.tolist(), targets, strict=True)])
    return per_case(hits, np.array([len(wanted) for wanted in targets]), KS)


@pytest.mark.parametrize("seed", [0, 1])
def test_equals_trec_eval_case_by_case(seed: int) -> None:
    ranked, targets = _random_lists(seed)
    values = _values(ranked, targets)
    expected = _trec_eval(ranked, targets, [oracle @ k for oracle in ORACLE.values() for k in KS])
    for name, oracle in ORACLE.items():
        for k in KS:
            np.testing.assert_allclose(values[f"{name}@{k}"], expected[oracle @ k], atol=1e-9, err_msg=f"{name}@{k}")
    for k in KS:
        # trec_eval has no cut-off for the reciprocal rank: it is given shorter lists.
        np.testing.assert_allclose(values[f"mrr@{k}"], _trec_eval(ranked[:, :k], targets, [RR])[RR], atol=1e-9)


def _trec_eval(ranked: NDArray[np.int64], targets: list[set[int]], measures: list[Any]) -> dict[Any, list[float]]:
    qrels = {str(case): {f"i{item}": 1 for item in wanted} for case, wanted in enumerate(targets)}
    run = {str(case): {f"i{item}": -float(place) for place, item in enumerate(row)} for case, row in enumerate(ranked)}
    found = {(row.measure, row.query_id): row.value for row in pytrec_eval.iter_calc(measures, qrels, run)}
    return {measure: [found[measure, str(case)] for case in range(len(targets))] for measure in measures}


def test_f1_is_the_harmonic_mean_of_precision_and_recall() -> None:
    values = _values(*_random_lists(3))
    for k in KS:
        precision, recall = values[f"precision@{k}"], values[f"recall@{k}"]
        both = precision + recall
        expected = np.divide(2 * precision * recall, both, out=np.zeros_like(both), where=both > 0)
        np.testing.assert_allclose(values[f"f1@{k}"], expected)


def test_one_target_gives_the_leave_one_out_formulas() -> None:
    hits = np.eye(10, dtype=np.bool_)
    values = per_case(hits, np.ones(10, dtype=np.int64), [10])
    ranks = np.arange(1, 11)
    np.testing.assert_allclose(values["ndcg@10"], np.log(2) / np.log(1 + ranks))
    np.testing.assert_allclose(values["mrr@10"], 1 / ranks)
    np.testing.assert_allclose(values["map@10"], 1 / ranks)
    assert values["hr@10"].tolist() == [1.0] * 10


@st.composite
def _judged(draw: st.DrawFn) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    cases, k = draw(st.integers(1, 6)), draw(st.integers(1, 12))
    hits = np.array(draw(st.lists(st.lists(st.booleans(), min_size=k, max_size=k), min_size=cases, max_size=cases)))
    unseen = np.array(draw(st.lists(st.integers(0, 5), min_size=cases, max_size=cases)))
    return hits, np.maximum(hits.sum(axis=1) + unseen, 1)


@given(_judged())
@settings(max_examples=150, deadline=None)
def test_bounded_and_monotone_in_k(judged: tuple[NDArray[np.bool_], NDArray[np.int64]]) -> None:
    hits, targets = judged
    ks = range(1, hits.shape[1] + 1)
    values = per_case(hits, targets, ks)
    assert list(values) == metric_keys(ks)
    for column in values.values():
        assert ((column >= 0) & (column <= 1 + 1e-12)).all()
    for name in ("hr", "recall", "mrr", "map"):
        for k in ks[1:]:
            assert (values[f"{name}@{k}"] >= values[f"{name}@{k - 1}"]).all()


@given(_judged())
@settings(max_examples=100, deadline=None)
def test_moving_hits_to_the_front_is_perfect_ndcg(judged: tuple[NDArray[np.bool_], NDArray[np.int64]]) -> None:
    hits, targets = judged
    k = hits.shape[1]
    best = np.arange(1, k + 1) <= targets[:, None]
    values = per_case(best, targets, [k])
    np.testing.assert_allclose(values[f"ndcg@{k}"], 1)
    np.testing.assert_allclose(values[f"mrr@{k}"], 1)
    covered = targets <= k
    np.testing.assert_allclose(values[f"map@{k}"][covered], 1)
    np.testing.assert_allclose(values[f"recall@{k}"][covered], 1)
    assert (values[f"ndcg@{k}"] >= per_case(hits, targets, [k])[f"ndcg@{k}"] - 1e-12).all()


def test_keys_go_by_cutoff_and_measure() -> None:
    assert metric_keys([10, 5, 5]) == [f"{name}@{k}" for k in (5, 10) for name in MEASURES]


@pytest.mark.parametrize(
    ("hits", "targets", "ks", "message"),
    [
        (np.ones((1, 5), dtype=np.bool_), np.array([5]), [6], "cut-offs"),
        (np.ones((1, 5), dtype=np.bool_), np.array([5]), [], "cut-offs"),
        (np.zeros((1, 5), dtype=np.bool_), np.array([0]), [5], "without targets"),
        (np.ones((1, 5), dtype=np.bool_), np.array([4]), [5], "more hits"),
        (np.ones((2, 5), dtype=np.bool_), np.array([5]), [5], "one count"),
    ],
)
def test_refuses_what_has_no_accuracy(
    hits: NDArray[np.bool_], targets: NDArray[np.int64], ks: list[int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        per_case(hits, targets, ks)


def test_bootstrap_interval_covers_the_mean_and_repeats() -> None:
    """95% intervals of 200 samples cover the true mean about 95% of the time, and 50% intervals clearly do not."""
    covered = {0.5: 0, 0.95: 0}
    for sample in range(200):
        values = (np.random.default_rng(sample).random(150) < 0.3).astype(np.float64)
        for level in covered:
            low, high = bootstrap_interval(values, np.random.default_rng(sample), level=level, resamples=200)
            covered[level] += low <= 0.3 <= high
    assert covered[0.95] >= 180
    assert 70 <= covered[0.5] <= 130
    first, second = (bootstrap_interval(values, np.random.default_rng(7)) for _ in range(2))
    assert first == second


def test_bootstrap_refuses_nothing() -> None:
    with pytest.raises(ValueError, match="at least one value"):
        bootstrap_interval(np.array([]), np.random.default_rng(0))


def test_means_are_over_cases() -> None:
    assert means({"hr@5": np.array([0.0, 1.0])}) == {"hr@5": 0.5}
