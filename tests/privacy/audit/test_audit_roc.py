"""Curves and areas against scikit-learn, and intervals against what they promise."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from everbloom.privacy.audit import roc


@pytest.fixture
def scores() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    # Rounded, so that there are ties within and between.
    return rng.normal(size=200).round(1), (rng.normal(size=80) + 0.8).round(1)


def test_the_curve_is_scikit_learns(scores):
    negatives, positives = scores
    labels = np.repeat([0, 1], [len(negatives), len(positives)])
    expected = roc_curve(labels, np.concatenate(scores), drop_intermediate=False)
    found = roc.curve(negatives, positives)
    assert np.allclose(found[0], expected[0])
    assert np.allclose(found[1], expected[1])


def test_the_area_is_scikit_learns(scores):
    negatives, positives = scores
    marked = np.repeat([False, True], [len(negatives), len(positives)])
    together = np.concatenate(scores)
    expected = roc_auc_score(marked, together)
    found = roc.area(negatives, positives)
    assert found.value == pytest.approx(expected)
    assert found.low < expected < found.high
    assert roc.area_of_marked(together, marked) == pytest.approx(expected)


def test_the_interval_covers(scores):
    """95% of 200 times, within its own chance; the true area of two unit normals one apart is Phi(1 / sqrt 2)."""
    rng, truth = np.random.default_rng(1), 0.7602499
    found = [roc.area(rng.normal(size=60), rng.normal(size=60) + 1) for _ in range(200)]
    assert 180 <= sum(area.low < truth < area.high for area in found) <= 199


def test_the_mean_of_clients_areas():
    found = roc.mean_area(np.array([0.5, 0.7, 0.6, 0.8]))
    assert found.value == pytest.approx(0.65)
    assert found.high - found.value == pytest.approx(1.96 * np.std([0.5, 0.7, 0.6, 0.8], ddof=1) / 2, abs=1e-3)


def test_power_at_few_false_alarms():
    negatives, positives = np.arange(100.0), np.array([98.5, 99.5, 97.5, 3.0])
    assert roc.power_at(negatives, positives, 0.0) == 0.25
    assert roc.power_at(negatives, positives, 0.01) == 0.5
    assert roc.power_at(negatives, positives, 0.02) == 0.75
