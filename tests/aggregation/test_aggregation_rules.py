"""Aggregation rules against oracles that know nothing of blocks, and what each promises of wrong updates."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import trim_mean

import everbloom.aggregation.updates as updates_module
from everbloom.aggregation.updates import Updates
from everbloom.methods import AGGREGATION_RULES, AggregationRule

CLIENTS, PARAMETERS = 13, 60
SEPARATE = [name for name in AGGREGATION_RULES.names() if AGGREGATION_RULES.method_class(name).separate]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Several blocks, the last of them partial."""
    monkeypatch.setattr(updates_module, "_BLOCK", 17 * CLIENTS)


def rule(name: str, **options: float) -> AggregationRule:
    return AGGREGATION_RULES.parse({"name": name, **options})


def dense(seed: int = 0, clients: int = CLIENTS) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.3, 1, (clients, PARAMETERS)).astype(np.float32)


def sparse(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(deltas, rows): ten rows of four numbers that few touch, and one of twenty that all do."""
    rng = np.random.default_rng(seed)
    rows = np.append(np.arange(0, 40, 4), 40)
    deltas = rng.normal(0.3, 1, (CLIENTS, PARAMETERS)).astype(np.float32)
    touched = rng.random((CLIENTS, 10)) < np.linspace(0, 1, 10)
    deltas[:, :40] *= np.repeat(touched, 4, axis=1)
    return deltas, rows


def combined(chosen: AggregationRule, deltas: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
    updates = Updates(deltas) if rows is None else Updates(deltas, rows)
    return chosen.combine(chosen.init(deltas.shape[1]), updates)[0]


@pytest.mark.parametrize("clients", [1, 2, 12, 13])
def test_a_median_that_everybody_touches_is_the_median(clients):
    deltas = dense(clients=clients)
    np.testing.assert_allclose(combined(rule("median"), deltas), np.median(deltas, axis=0), rtol=1e-6)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.25, 0.49])
def test_a_trimmed_mean_that_everybody_touches_is_scipys(share):
    deltas = dense()
    expected = trim_mean(deltas.astype(np.float64), share, axis=0)
    np.testing.assert_allclose(combined(rule("trimmed-mean", byzantine=share), deltas), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3])
def test_multi_krum_is_the_definition(share):
    deltas = dense(3).astype(np.float64)
    near = CLIENTS - int(share * CLIENTS) - 2
    scores = []
    for one in range(CLIENTS):
        others = sorted(float(((deltas[one] - deltas[other]) ** 2).sum()) for other in range(CLIENTS) if other != one)
        scores.append(sum(others[:near]))
    best = sorted(range(CLIENTS), key=scores.__getitem__)[:near]
    chosen = rule("multi-krum", byzantine=share)
    assert chosen.chosen(Updates(dense(3))).tolist() == best
    np.testing.assert_allclose(combined(chosen, dense(3)), deltas[best].mean(axis=0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("bound", [None, 2.0])
def test_norm_clipping_is_the_definition(bound):
    deltas = dense(4).astype(np.float64) * np.arange(1, CLIENTS + 1)[:, None]
    norm = np.linalg.norm(deltas, axis=1, keepdims=True)
    expected = (deltas * np.minimum(1, (bound or np.median(norm)) / norm)).mean(axis=0)
    options = {} if bound is None else {"bound": bound}
    np.testing.assert_allclose(
        combined(rule("norm-clipping", **options), deltas.astype(np.float32)), expected, rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("radius", [None, 3.0])
def test_centred_clipping_is_the_papers_step_from_the_last_aggregate(radius):
    chosen = rule("centred-clipping", iterations=2, **({} if radius is None else {"radius": radius}))
    state, centre = chosen.init(PARAMETERS), np.zeros(PARAMETERS)
    for seed in (5, 6):
        deltas = dense(seed)
        found, state = chosen.combine(state, Updates(deltas))
        for _ in range(2):
            away = deltas - centre
            norm = np.linalg.norm(away, axis=1, keepdims=True)
            centre = centre + (away * np.minimum(1, (radius or np.median(norm)) / norm)).mean(axis=0)
        np.testing.assert_allclose(found, centre, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(state["centre"], found)


@pytest.mark.parametrize("name", ["median", "trimmed-mean"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.3])
def test_a_row_is_decided_among_who_touched_it_and_zeros_up_to_the_floor(name, share):
    deltas, rows = sparse()
    found, wrong = combined(rule(name, byzantine=share), deltas, rows), int(share * CLIENTS)
    for start, end in zip(rows, np.append(rows[1:], PARAMETERS), strict=True):
        own = deltas[:, start:end]
        own = own[(own != 0).any(axis=1)]
        own = np.concatenate([own, np.zeros((max(0, 2 * wrong + 1 - len(own)), end - start))])
        middle = (
            np.median(own, axis=0) if name == "median" else np.sort(own, axis=0)[wrong : len(own) - wrong].mean(axis=0)
        )
        np.testing.assert_allclose(found[start:end], middle * len(own) / CLIENTS, rtol=1e-5, atol=1e-6)


def test_without_anybody_wrong_a_trimmed_mean_is_the_mean_whatever_is_touched():
    deltas, rows = sparse(1)
    np.testing.assert_allclose(
        combined(rule("trimmed-mean", byzantine=0), deltas, rows), deltas.mean(axis=0), rtol=1e-5, atol=1e-7
    )


@pytest.mark.parametrize("name", ["median", "trimmed-mean"])
def test_the_wrong_alone_do_not_move_a_row_that_nobody_else_touches(name):
    deltas, rows = sparse(2)
    deltas[:, :4] = 0
    deltas[:3, :4] = 1e30
    assert (combined(rule(name, byzantine=0.25), deltas, rows)[:4] == 0).all()
    assert (combined(rule(name, byzantine=0.1), deltas, rows)[:4] > 1e29).all()  # more than was counted on


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 4), st.floats(-30, 30))
def test_fewer_than_half_move_a_median_no_further_than_honest_ones_reach(seed, wrong, exponent):
    """Breakdown: with f < n / 2 outliers of any size each coordinate stays between the lowest and highest honest value."""
    deltas = dense(seed, clients=9)
    honest = deltas[wrong:].copy()
    deltas[:wrong] = np.random.default_rng(seed + 1).choice([-1, 1], (wrong, PARAMETERS)) * np.float32(10.0**exponent)
    for chosen in (rule("median"), rule("trimmed-mean", byzantine=0.49)):
        found = combined(chosen, deltas)
        assert (found >= honest.min(axis=0) - 1e-6).all()
        assert (found <= honest.max(axis=0) + 1e-6).all()


@pytest.mark.parametrize("name", SEPARATE)
def test_one_that_is_wrong_cannot_move_a_robust_rule_far_and_moves_the_mean_as_far_as_it_likes(name):
    deltas = dense(7)
    honest = deltas[1:].mean(axis=0)
    far = np.abs(deltas).max()
    deltas[0] = 1e6
    assert np.abs(combined(rule(name), deltas) - honest).max() < 3 * far
    assert np.abs(combined(rule("mean"), deltas) - honest).max() > 1e4


@pytest.mark.parametrize("name", AGGREGATION_RULES.names())
def test_a_rule_is_pure_keeps_float32_and_agrees_with_agreement(name):
    """Where all devices send one update, that is what every rule makes of it, in time."""
    chosen = rule(name)
    same = np.tile(dense()[:1], (CLIENTS, 1))
    state = chosen.init(PARAMETERS)
    before = {key: value.copy() for key, value in state.items()}
    found, after = chosen.combine(state, Updates(same))
    again, _ = chosen.combine(state, Updates(same))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, again)
    np.testing.assert_allclose(found, same[0], rtol=1e-6)
    assert all(np.array_equal(state[key], before[key]) for key in before)
    assert {key: (value.dtype, value.shape) for key, value in after.items()} == {
        key: (value.dtype, value.shape) for key, value in state.items()
    }


@pytest.mark.parametrize("name", AGGREGATION_RULES.names())
def test_zeros_stay_zeros_and_the_fewest_are_enough(name):
    chosen = rule(name)
    assert (combined(chosen, np.zeros((chosen.least, PARAMETERS), np.float32)) == 0).all()
    assert np.isfinite(combined(chosen, dense(clients=chosen.least))).all()


@pytest.mark.parametrize("name", AGGREGATION_RULES.names())
def test_the_order_of_devices_does_not_matter(name):
    deltas, rows = sparse(8)
    order = np.random.default_rng(0).permutation(CLIENTS)
    np.testing.assert_allclose(combined(rule(name), deltas[order], rows), combined(rule(name), deltas, rows), atol=1e-6)


@pytest.mark.parametrize("name", AGGREGATION_RULES.names())
def test_blocks_change_nothing(name, monkeypatch):
    deltas, rows = sparse(9)
    found = combined(rule(name), deltas, rows)
    monkeypatch.setattr(updates_module, "_BLOCK", 1 << 20)
    np.testing.assert_allclose(found, combined(rule(name), deltas, rows), rtol=1e-6, atol=1e-7)
