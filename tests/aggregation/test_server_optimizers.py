"""Server optimizers against references that know nothing of federation: torch's own, and the papers' formulas by hand."""

import numpy as np
import pytest
import torch

from everbloom.methods import SERVER_OPTIMIZERS, ServerOptimizer

ROUNDS = 12
PARAMETERS = 7


def deltas(seed: int = 0) -> list[np.ndarray]:
    """Mean updates of very different sizes, one coordinate always 0."""
    rng = np.random.default_rng(seed)
    scale = np.array([1e-3, 1e-2, 0.1, 1, 10, 1, 0])
    return [(rng.normal(0.2, 1, PARAMETERS) * scale).astype(np.float32) for _ in range(ROUNDS)]


def path(optimizer: ServerOptimizer) -> np.ndarray:
    """[rounds, params] parameters after each round, from ones."""
    parameters = np.ones(PARAMETERS, dtype=np.float32)
    state = optimizer.init(parameters)
    rows = []
    for delta in deltas():
        parameters, state = optimizer.apply(state, parameters, delta)
        rows.append(parameters)
    return np.stack(rows)


def torch_path(make: type[torch.optim.Optimizer], start: float = 1.0, **options: float) -> np.ndarray:
    """The same with one of torch's optimizers: minus the update is its gradient."""
    parameters = torch.nn.Parameter(torch.full((PARAMETERS,), start))
    optimizer = make([parameters], **options)
    rows = []
    for delta in deltas():
        parameters.grad = -torch.from_numpy(delta)
        optimizer.step()
        rows.append(parameters.detach().clone().numpy())
    return np.stack(rows)


def parsed(name: str, **options: float) -> ServerOptimizer:
    return SERVER_OPTIMIZERS.parse({"name": name, **options})


@pytest.mark.parametrize("tau", [1e-8, 1e-3, 0.1])
@pytest.mark.parametrize("beta2", [0.99, 0.9])
def test_fedadam_is_adam_on_minus_the_update(tau, beta2):
    found = path(parsed("fedadam", learning_rate=0.05, beta1=0.8, beta2=beta2, tau=tau))
    expected = torch_path(torch.optim.Adam, lr=0.05, betas=(0.8, beta2), eps=tau)
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-6)


def test_an_anchored_fedadam_is_adamw_around_the_start():
    """AdamW decays towards zero by lr * weight_decay a step; around the start that is the anchor."""
    found = path(parsed("fedadam", learning_rate=0.05, beta2=0.99, tau=1e-3, anchor=0.02))
    expected = torch_path(torch.optim.AdamW, start=0.0, lr=0.05, betas=(0.9, 0.99), eps=1e-3, weight_decay=0.02 / 0.05)
    np.testing.assert_allclose(found - 1, expected, rtol=2e-4, atol=2e-6)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_fedavgm_is_sgd_with_momentum(momentum):
    found = path(parsed("fedavgm", learning_rate=0.5, momentum=momentum))
    expected = torch_path(torch.optim.SGD, lr=0.5, momentum=momentum)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_fedavg_at_one_is_the_mean_of_the_clients_parameters():
    rng = np.random.default_rng(1)
    start = rng.normal(size=PARAMETERS).astype(np.float32)
    clients = rng.normal(size=(5, PARAMETERS)).astype(np.float32)
    moved, state = parsed("fedavg").apply({}, start, (clients - start).mean(axis=0))
    np.testing.assert_allclose(moved, clients.mean(axis=0), atol=1e-6)
    assert state == {}


def test_fedyogi_by_hand():
    """Algorithm 2 of Reddi et al., with the bias correction of Adam, in float64."""
    rate, b1, b2, tau = 0.05, 0.9, 0.99, 1e-3
    w, m, v = np.ones(PARAMETERS), np.zeros(PARAMETERS), np.zeros(PARAMETERS)
    rows = []
    for step, delta in enumerate(deltas(), start=1):
        d = delta.astype(np.float64)
        m = b1 * m + (1 - b1) * d
        v = v - (1 - b2) * d**2 * np.sign(v - d**2)
        w = w + rate * (m / (1 - b1**step)) / (np.sqrt(v / (1 - b2**step)) + tau)
        rows.append(w)
    found = path(parsed("fedyogi", learning_rate=rate, beta1=b1, beta2=b2, tau=tau))
    np.testing.assert_allclose(found, np.stack(rows), rtol=1e-4)


def test_fedyogi_forgets_a_large_round_more_slowly_than_it_came():
    """Yogi's second moment moves by (1 - b2) d^2 at most, Adam's falls geometrically."""
    large, small = np.full(1, 10, np.float32), np.full(1, 0.1, np.float32)
    left = {}
    for name in ("fedadam", "fedyogi"):
        optimizer = parsed(name, beta2=0.9)
        state = optimizer.init(large)
        for delta in [large, *[small] * 20]:
            _, state = optimizer.apply(state, np.zeros(1, np.float32), delta)
        left[name] = float(state["v"][0])
    assert left["fedyogi"] > 5 * left["fedadam"]


@pytest.mark.parametrize("name", ["fedadam", "fedyogi"])
def test_decay_lowers_the_rate_as_it_says(name):
    """1 / (1 + round / decay_rounds), counted from the first round."""
    steady, decayed = path(parsed(name)), path(parsed(name, decay_rounds=4))
    moves = np.diff(np.vstack([np.ones(PARAMETERS), decayed]), axis=0)
    steady_moves = np.diff(np.vstack([np.ones(PARAMETERS), steady]), axis=0)
    for round in (0, 4, 8):
        np.testing.assert_allclose(moves[round], steady_moves[round] / (1 + round / 4), rtol=5e-3, atol=1e-6)


@pytest.mark.parametrize("name", SERVER_OPTIMIZERS.names())
def test_an_optimizer_is_pure_and_keeps_float32(name):
    optimizer = parsed(name)
    parameters, delta = np.ones(3, dtype=np.float32), np.full(3, 0.5, dtype=np.float32)
    state = optimizer.init(parameters)
    before = {key: value.copy() for key, value in state.items()}
    moved, after = optimizer.apply(state, parameters, delta)
    again, _ = optimizer.apply(state, parameters, delta)
    assert np.array_equal(moved, again)
    assert (parameters == 1).all()
    assert (delta == 0.5).all()
    assert all(np.array_equal(state[key], before[key]) for key in before)
    assert moved.dtype == np.float32
    assert {key: (value.dtype, value.shape) for key, value in after.items()} == {
        key: (value.dtype, value.shape) for key, value in state.items()
    }
    assert (moved > parameters).all()  # towards the clients


@pytest.mark.parametrize("name", SERVER_OPTIMIZERS.names())
def test_nothing_learnt_moves_nothing(name):
    optimizer = parsed(name)
    parameters = np.ones(3, dtype=np.float32)
    moved, _ = optimizer.apply(optimizer.init(parameters), parameters, np.zeros(3, dtype=np.float32))
    assert np.array_equal(moved, parameters)
