"""What a cohort's training is as a function: pure, repeatable, and unharmed by a client whose update is no number."""

import copy
import dataclasses

import numpy as np
import pytest
import torch

from everbloom.errors import InputError
from everbloom.learning.cohort.engine import CohortTrainer

PLANS = {
    "plain": None,
    "noised": {"noise_multiplier": 0.8},
    "sampled": {"noise_multiplier": 0.8, "sample_rate": 0.6},
}


@pytest.fixture(params=PLANS)
def plan_of(request, make_plan):
    """(steps) -> a plan, or None."""
    fields = PLANS[request.param]
    return lambda steps=1: fields and make_plan(denominator=5.0, steps_per_round=steps, **fields)


@pytest.fixture(params=[1, 3])
def steps(request):
    return request.param


@pytest.fixture
def case(case_of, plan_of, steps):
    return case_of("both", plan=plan_of(steps), local_steps=steps, dropout=0.3, proximal_mu=0.1)


def both(engine, case):
    """The sum, and each."""
    return engine.total(case.start, case.cohort).deltas, engine.each(case.start, case.cohort).deltas


def test_the_same_bytes_twice(case):
    """From one engine, whatever it trained in between, and from another."""
    engine = case.engine()
    first = both(engine, case)
    engine.total(case.start + 1, case.only([3, 0]).cohort)
    for again in (both(engine, case), both(case.engine(), case)):
        assert first[0].tobytes() == again[0].tobytes()
        assert first[1].tobytes() == again[1].tobytes()


def test_nothing_else_is_changed(case):
    """Neither the arguments nor a global generator; what comes back is float32 of its own."""
    start, cohort, engine = case.start, copy.deepcopy(case.cohort), case.engine()
    before, torch_state, numpy_state = start.copy(), torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    found = both(engine, dataclasses.replace(case, cohort=cohort))
    assert np.array_equal(start, before)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002
    for field in ("items", "behaviour", "real", "weight", "place", "gap"):
        assert torch.equal(getattr(cohort.examples, field), getattr(case.cohort.examples, field))
    assert torch.equal(cohort.negatives, case.cohort.negatives)
    assert np.array_equal(cohort.counts, case.cohort.counts)
    assert np.array_equal(cohort.dropout, case.cohort.dropout)
    assert [(deltas.dtype, deltas.shape) for deltas in found] == [
        (np.float32, (1, len(start))), (np.float32, (len(cohort), len(start))),
    ]  # fmt: skip
    start[:] = 0
    assert np.abs(found[1]).max() > 0


def test_parameters_may_be_read_only(case):
    """As those out of a message are."""
    start = case.start
    expected = case.engine().total(start, case.cohort).deltas
    start.flags.writeable = False
    assert np.array_equal(case.engine().total(start, case.cohort).deltas, expected)


def test_nobody_is_no_change(case):
    """All of a job's clients may have been refused."""
    nobody = dataclasses.replace(
        case.cohort,
        examples=case.cohort.examples.take(torch.zeros(0, dtype=torch.int64)),
        counts=np.zeros(0, dtype=np.int64),
        negatives=case.cohort.negatives[:0],
        dropout=case.cohort.dropout[:0],
        draws=case.cohort.draws and (lambda: ()),
    )
    total = case.engine().total(case.start, nobody)
    assert not total.deltas.any()
    assert total.deltas.shape == (1, len(case.start))
    each = case.engine().each(case.start, nobody)
    assert each.deltas.shape == (0, len(case.start))
    assert len(total.trained) == len(each.trained) == 0


def test_clients_do_not_depend_on_who_trains_beside_them(case, agree):
    whole = case.engine().each(case.start, case.cohort).deltas
    for some in ([2], [4, 1], [3, 0, 2]):
        part = case.only(some)
        agree(part.engine().each(part.start, part.cohort).deltas, whole[some])


# ---- what is no number


@pytest.fixture(params=[1e30, 1e38])
def broken(request, case_of, plan_of, steps):
    """The second and the last client hold an item whose parameters have become so large that nothing comes of its scores."""
    return case_of(
        "embedding", (4, 3, 0, 5, 2), plan=plan_of(steps), local_steps=steps, rare=[1, 4], swell=request.param,
        objective={"name": "bce"},
    )  # fmt: skip


def refuses(case, client):
    """Whether the client's own device refuses to send."""
    try:
        case.only([client]).on_devices()
    except InputError:
        return True
    return False


def test_who_has_no_number_is_left_out(broken, agree):
    """And nothing of theirs is in the sum, their noise neither: it is that of the others alone."""
    each = broken.engine().each(broken.start, broken.cohort)
    total = broken.engine().total(broken.start, broken.cohort)
    bad = np.flatnonzero(~each.trained).tolist()
    assert bad
    assert set(bad) <= {1, 4}
    assert bad == [client for client in range(5) if refuses(broken, client)]
    assert np.array_equal(total.trained, each.trained)
    assert np.isfinite(total.deltas).all()
    assert np.isfinite(each.deltas).all()
    good = broken.only(np.flatnonzero(each.trained).tolist())
    assert len(each.deltas) == len(good.cohort)
    agree(each.deltas, good.on_devices())
    agree(total.deltas[0], good.on_devices().sum(axis=0))


@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_if_nobody_has_a_number_the_sum_is_nothing(case, poison):
    start = case.start
    start[: len(start) // 2] = poison
    total = case.engine().total(start, case.cohort)
    if total.trained.any():  # without privacy, who has no example changes nothing
        assert case.plan is None
        assert not case.cohort.counts[total.trained].any()
    assert not total.deltas.any()
    assert np.array_equal(case.engine().each(start, case.cohort).trained, total.trained)


def test_an_engine_that_met_no_number_serves_the_next_round(broken):
    engine, fine = broken.engine(), dataclasses.replace(broken, swell=1.0)
    engine.total(broken.start, broken.cohort)
    assert np.array_equal(both(engine, fine)[0], both(fine.engine(), fine)[0])


# ---- elsewhere


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_on_a_gpu(case_of, plan_of, steps, agree, variant, kind):
    case = case_of(variant, kind=kind, plan=plan_of(steps), local_steps=steps, dropout=0.3, proximal_mu=0.1)
    expected, found = both(case.engine(), case), both(case.engine(device=torch.device("cuda")), case)
    agree(found[0], expected[0], 1e-4)
    agree(found[1], expected[1], 1e-4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_no_number_on_a_gpu(broken, agree):
    expected = broken.engine().total(broken.start, broken.cohort)
    found = broken.engine(device=torch.device("cuda")).total(broken.start, broken.cohort)
    assert np.array_equal(found.trained, expected.trained)
    agree(found.deltas, expected.deltas, 1e-4)


def test_an_unknown_layer_is_refused_when_the_engine_is_made(case_of):
    case = case_of()
    model = case.model()
    model.user.extra = torch.nn.Bilinear(2, 2, 2)
    with pytest.raises(InputError, match="one-by-one"):
        CohortTrainer(model, case.config, case.layout, case.learning, None)
