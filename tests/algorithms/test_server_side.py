"""Server sides of federated algorithms against the papers' formulas, over rounds of devices that are known exactly."""

import numpy as np
import pytest

from everbloom.config import LearningConfig
from everbloom.methods import ALGORITHMS

PARAMETERS, DEVICES, ETA, STEPS = 6, 8, 0.25, 4


@pytest.fixture(params=ALGORITHMS.names())
def learning(request):
    """[learning] with each registered algorithm."""
    return LearningConfig(algorithm=request.param, local_steps=STEPS, learning_rate=ETA)


def rounds_of_deltas(count=5):
    """Per round: (which devices took part, their deltas [clients, params])."""
    rng = np.random.default_rng(1)
    for _ in range(count):
        some = rng.choice(DEVICES, size=rng.integers(1, DEVICES), replace=False)
        yield some, rng.normal(size=(len(some), PARAMETERS)).astype(np.float32)


def test_it_is_pure_and_of_float32(learning):
    algorithm = learning.algorithm
    memory = algorithm.begin(np.zeros(PARAMETERS, dtype=np.float32))
    for some, deltas in rounds_of_deltas():
        mean, before = deltas.mean(axis=0), {key: value.copy() for key, value in memory.items()}
        kept = mean.copy()
        twice = [algorithm.combined(memory, mean, len(some) / DEVICES, learning) for _ in range(2)]
        assert np.array_equal(twice[0][0], twice[1][0])
        assert np.array_equal(mean, kept)
        assert all(np.array_equal(memory[key], before[key]) for key in before)
        update, memory = twice[0]
        assert {update.dtype, *(value.dtype for value in memory.values())} == {np.dtype(np.float32)}
        assert all(value.shape == (PARAMETERS,) for value in (update, *memory.values()))
        assert (algorithm.sent(memory) is not None) == algorithm.sends


def test_the_servers_control_variate_is_the_mean_of_the_devices():
    """Though nobody sends its own: c = mean of c_i over all devices, in every round."""
    torch = pytest.importorskip("torch")
    learning = LearningConfig(algorithm="scaffold", local_steps=STEPS, learning_rate=ETA)
    scaffold, own = learning.algorithm, np.zeros((DEVICES, PARAMETERS), dtype=np.float32)
    memory = scaffold.begin(own[0])
    for some, deltas in rounds_of_deltas():
        sent = torch.from_numpy(scaffold.sent(memory))
        own[some] = scaffold.remembered(torch.from_numpy(own[some]), torch.from_numpy(deltas), sent, learning).numpy()
        update, memory = scaffold.combined(memory, deltas.mean(axis=0), len(some) / DEVICES, learning)
        np.testing.assert_array_equal(update, deltas.mean(axis=0))
        np.testing.assert_allclose(memory["c"], own.mean(axis=0), atol=1e-5)


def test_feddyns_server_is_its_paper():
    """h <- h - alpha / m sum of (theta_k - theta); theta <- mean of theta_k - h / alpha; and h is the mean of what devices remember."""
    alpha, theta = 0.3, np.zeros(PARAMETERS)
    learning = LearningConfig(algorithm={"name": "feddyn", "alpha": alpha}, local_steps=STEPS, learning_rate=ETA)
    h, memory, found = np.zeros(PARAMETERS), learning.algorithm.begin(np.zeros(PARAMETERS, np.float32)), theta.copy()
    for some, deltas in rounds_of_deltas():
        h = h - alpha / DEVICES * deltas.sum(axis=0)
        theta = (theta + deltas).mean(axis=0) - h / alpha
        update, memory = learning.algorithm.combined(memory, deltas.mean(axis=0), len(some) / DEVICES, learning)
        found = found + update
        np.testing.assert_allclose(found, theta, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(memory["h"], h, atol=1e-5)
