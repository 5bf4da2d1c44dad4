"""What each continual method does on the server: pure functions of released models."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everbloom.continual.penalty import implicit_step
from everbloom.methods import CONTINUAL_METHODS

START = np.array([1.0, -2.0, 0.5, 4.0], dtype=np.float32)
INITIAL = np.zeros(4, dtype=np.float32)


def made(name, **options):
    return CONTINUAL_METHODS.parse({"name": name, **options})


@pytest.mark.parametrize("name", CONTINUAL_METHODS.names())
def test_every_method_says_what_it_costs_and_changes_nothing_it_is_given(name):
    method = made(name)
    assert method.privacy_cost
    memory = {}
    for period in range(3):
        start, memory = method.begin(period, memory, START, INITIAL)
        kept = {key: value.copy() for key, value in memory.items()}
        method.pull(memory, START, 0.5)
        observed = method.observe(memory, START, START, 0.1)
        merged = method.merged(observed, start + 1)
        after = method.end(observed, merged[0], start + 1)
        assert all(np.array_equal(memory[key], kept[key]) for key in kept)
        assert all(value.dtype == np.float32 and value.shape in (START.shape, (1,)) for value in after.values())
        assert all(one.dtype == np.float32 and one.shape == START.shape for one in merged)
        memory = after
    assert np.array_equal(START, [1.0, -2.0, 0.5, 4.0])


@pytest.mark.parametrize("name", CONTINUAL_METHODS.names())
def test_the_first_period_is_a_warm_start_like_any_other(name):
    """Nothing to remember yet: all methods begin alike, so that they are compared from the same model."""
    method = made(name)
    start, memory = method.begin(0, {}, START, START)
    assert np.array_equal(start, START)
    assert method.pull(memory, START, 1.0) is None
    assert method.teacher(memory) is None
    assert [one.tolist() for one in method.merged(memory, START)] == [START.tolist()]
    assert method.rounds(0, 5, 9) == 9


def test_rounds_of_later_periods():
    rounds = {name: made(name).rounds(3, 5, 9) for name in CONTINUAL_METHODS.names()}
    assert rounds == {**dict.fromkeys(rounds, 5), "frozen": 0, "retrain": 9}
    assert made("retrain", each=2).rounds(0, 5, 9) == made("retrain", each=2).rounds(1, 5, 9) == 2


@given(stiffness=st.floats(0, 1e6), rate=st.floats(1e-4, 10))
def test_an_implicit_step_never_overshoots(stiffness, rate):
    step = implicit_step(START, INITIAL, stiffness, rate)
    moved = START + step
    assert (np.abs(moved) <= np.abs(START) + 1e-6).all()
    assert (moved * START >= -1e-6).all()


def test_a_small_implicit_step_is_a_gradient_step():
    step = implicit_step(START, INITIAL, 0.01, 0.01)
    assert step == pytest.approx(-0.01 * 0.01 * START, rel=1e-3)


def test_the_proximal_pull_is_towards_the_last_model_and_the_same_everywhere():
    method = made("proximal", strength=0.5)
    _, memory = method.begin(1, {}, START, INITIAL)
    assert np.array_equal(method.pull(memory, START, 1.0), np.zeros(4))
    pull = method.pull(memory, START + 3, 1.0)
    assert pull == pytest.approx(np.full(4, -3 * 0.5 / 1.5))


def learnt(method, deltas, noise=0.0, memory=None, period=0):
    _, memory = method.begin(period, memory or {}, START, INITIAL)
    for delta in deltas:
        memory = method.observe(memory, START, np.asarray(delta, dtype=np.float32), noise)
    return method.end(memory, START, START)


def test_ewc_holds_what_mattered():
    method = made("ewc", strength=1.0)
    memory = learnt(method, [[3, 0, 1, 0]] * 200)
    assert memory["fisher"] == pytest.approx([9, 0, 1, 0], rel=1e-3)
    _, memory = method.begin(1, memory, START, INITIAL)
    pull = method.pull(memory, START + 1, rate=1e-3)
    assert pull == pytest.approx(-1e-3 * np.array([9, 0, 1, 0]) / 2.5, rel=1e-2, abs=1e-9)


def test_ewc_counts_the_late_rounds_and_fades_old_periods():
    method = made("ewc", window=5, keep=0.5)
    late = learnt(method, [[9, 9, 9, 9]] * 100 + [[1, 0, 0, 0]] * 100)
    assert late["fisher"] == pytest.approx([1, 0, 0, 0], abs=1e-3)
    again = learnt(method, [[0, 2, 0, 0]] * 100, memory=late, period=1)
    assert again["fisher"] == pytest.approx([0.5, 4, 0, 0], abs=1e-3)


def test_ewc_takes_the_noise_out_of_the_fisher():
    """Under privacy most of a squared update is noise; what is known of it is taken off, in the mean exactly."""
    rng, size, noise = np.random.default_rng(0), 20_000, 2.0
    method = made("ewc", window=20)
    signal = np.where(np.arange(size) < 1000, 3.0, 0.0)
    _, memory = method.begin(0, {}, np.zeros(size, dtype=np.float32), INITIAL)
    for _ in range(200):
        delta = (signal + rng.normal(0, noise, size)).astype(np.float32)
        memory = method.observe(memory, delta, delta, noise)
    squares = memory["squares"]
    assert squares[:1000].mean() == pytest.approx(9.0, rel=0.05)
    assert abs(squares[1000:].mean()) < 0.05
    naive = method.observe(memory, np.zeros(size), np.zeros(size, dtype=np.float32), 0.0)
    assert naive["squares"][1000:].mean() == pytest.approx(squares[1000:].mean() * 0.95, abs=1e-3)


def test_merging_adds_parts_of_the_periods_adapter():
    method = made("merging", weights=[0.25, 1.0], average=False)
    _, memory = method.begin(1, {}, START, INITIAL)
    quarter, whole = method.merged(memory, START + 4)
    assert quarter == pytest.approx(START + 1)
    assert whole == pytest.approx(START + 4)


def test_merging_takes_the_average_of_the_rounds_and_the_late_ones_count_more():
    rng = np.random.default_rng(0)
    method = made("merging", average=True, weights=[1.0])
    _, memory = method.begin(1, {}, START, INITIAL)
    rounds = [(START + 2 + rng.normal(0, 1, 4)).astype(np.float32) for _ in range(400)]
    for parameters in rounds:
        memory = method.observe(memory, parameters, START, 0.0)
    (merged,) = method.merged(memory, rounds[-1])
    assert merged == pytest.approx(START + 2, abs=0.3)
    _, memory = method.begin(2, memory, START, INITIAL)
    for value in (0.0, 0.0, 0.0, 1.0, 1.0, 1.0):
        memory = method.observe(memory, np.full(4, value, dtype=np.float32), START, 0.0)
    (merged,) = method.merged(memory, START)
    assert (merged > 0.75).all()
    assert (merged < 1.0).all()


def test_what_is_served_is_merged_and_what_is_trained_goes_on():
    for kind, begins in (("trained", START + 4), ("merged", START + 2)):
        method = made("merging", start=kind)
        _, memory = method.begin(1, {}, START, INITIAL)
        (served,) = method.merged(memory, START + 4)
        assert served == pytest.approx(START + 2)
        begun, memory = method.begin(2, method.end(memory, served, START + 4), served, INITIAL)
        assert begun == pytest.approx(begins)
        (served,) = method.merged(memory, START + 6)
        assert served == pytest.approx(START + 4)


def test_the_average_over_rounds_is_served_and_the_rounds_go_on_from_their_own():
    method = made("averaging", decay=0.75)
    start, memory = method.begin(0, {}, START, INITIAL)
    for value in (1.0, 3.0):  # evenly, as long as there are fewer than four
        memory = method.observe(memory, np.full(4, value, dtype=np.float32), START, 0.0)
    (served,) = method.merged(memory, start)
    assert served.tolist() == [2.0] * 4
    begun, memory = method.begin(1, method.end(memory, served, START), served, INITIAL)
    assert np.array_equal(begun, START)
    for value in (2.0, 2.0, 6.0):
        memory = method.observe(memory, np.full(4, value, dtype=np.float32), START, 0.0)
    (served,) = method.merged(memory, START)
    assert served.tolist() == [0.75 * 2 + 0.25 * 6] * 4


def test_an_average_that_keeps_nothing_is_fine_tuning():
    method = made("averaging", decay=0.0)
    _, memory = method.begin(1, {}, START, INITIAL)
    for value in (1.0, 5.0):
        memory = method.observe(memory, np.full(4, value, dtype=np.float32), START, 0.0)
    (served,) = method.merged(memory, START)
    assert served.tolist() == [5.0] * 4


def test_the_teacher_is_the_last_periods_model():
    method = made("distillation")
    _, memory = method.begin(2, {"teacher": INITIAL}, START, INITIAL)
    assert np.array_equal(method.teacher(memory), START)


def test_replays_chances():
    ages = np.array([0, 86_400 * 30, 86_400 * 60])
    assert made("replay").weights(ages, None).tolist() == [1, 1, 1]
    assert made("replay", choice="recency", half_life_days=30).weights(ages, None) == pytest.approx([1, 0.5, 0.25])
    surprised = made("replay", choice="surprise").weights(ages, np.array([2.0, 0.0, 1.0], dtype=np.float32))
    assert surprised[0] == 2 * surprised[2] > 0
    assert (surprised > 0).all()
    assert (made("replay", choice="recency").weights(np.array([10**12]), None) > 0).all()
