"""Co-occurrence: its signals, counted by hand in loops; nothing at or after a position is read."""

import math

import numpy as np
import pytest
import torch

from everbloom.config import CooccurrenceConfig
from everbloom.models.cooccurrence import Cooccurrence

ITEMS = 8


def by_hand(history, candidate, config, vectors):
    """The signals of one candidate after one history, as the docstring of the module has them."""
    t = len(history)
    repeats = sum(item == candidate for item in history)
    recency = sum(config.decay ** (t - 1 - s) for s in range(t) if history[s] == candidate)

    def weight(s, alike):
        return sum(
            config.decay ** (t - 1 - p) * alike(history[p], history[r])
            for p in range(max(0, t - config.recent), t)
            for r in range(p)
            if 0 < abs(r - s) <= config.window
        )

    companions = sum(weight(s, lambda a, b: float(a == b)) for s in range(t) if history[s] == candidate)
    found = [math.log1p(repeats), math.log1p(recency), math.log1p(companions)]
    if vectors is not None:
        cosine = (vectors @ vectors.T).tolist()
        weights = [weight(s, lambda a, b: max(cosine[a][b], 0) ** config.sharpness) for s in range(t)]
        read = sum(w * cosine[item][candidate] for w, item in zip(weights, history, strict=True))
        found.append(read / (1 + sum(weights)))
    return found


@pytest.mark.parametrize("features", [False, True])
@pytest.mark.parametrize(("window", "recent", "decay"), [(1, 1, 1.0), (2, 3, 0.5), (9, 9, 0.9)])
def test_signals_by_hand(features, window, recent, decay):
    config = CooccurrenceConfig(window=window, recent=recent, decay=decay, sharpness=3.0)
    rng = np.random.default_rng(1)
    vectors = torch.nn.functional.normalize(torch.from_numpy(rng.normal(size=(ITEMS, 4))).float(), dim=1)
    model = Cooccurrence(vectors if features else None, config)
    items = torch.from_numpy(rng.integers(0, ITEMS, (4, 9)))
    negatives = torch.from_numpy(rng.integers(0, ITEMS, (2, 3)))
    place = torch.arange(9).expand(4, 9)
    signals = model.signals(items, place, negatives)
    for example in range(4):
        candidates = items[example].tolist() + negatives[example // 2].tolist()
        for t in range(9):
            history = items[example, :t].tolist()
            expected = [by_hand(history, c, config, vectors if features else None) for c in candidates]
            np.testing.assert_allclose(signals[example, t].numpy(), np.array(expected), rtol=1e-4, atol=1e-6)
    last = model.signals(items, place[:, 5:6], negatives)
    torch.testing.assert_close(last, signals[:, 5:6])


def test_a_pair_that_came_together_raises_the_one_when_the_other_is_met_again():
    model = Cooccurrence(None, CooccurrenceConfig(window=1, recent=1))
    items = torch.tensor([[1, 2, 5, 3, 4, 6, 1]])
    with torch.no_grad():
        model.weight.weight[:] = torch.tensor([[0.0, 0.0, 1.0]])
        scores = model.ranked(items, torch.tensor([7]), ITEMS, torch.arange(ITEMS), None)[0]
    assert scores.argmax() == 2
    assert (scores > 0).sum() == 1


def test_what_is_fixed_is_not_sent():
    assert not Cooccurrence(None, CooccurrenceConfig(learn=False)).weight.weight.requires_grad
    assert Cooccurrence(None, CooccurrenceConfig()).weight.weight.requires_grad
