"""The clip norm finds the quantile it is told, its count is as private as was accounted for, and updates get noise enough beside it."""

import math

import numpy as np
import pytest
import torch

from everbloom.privacy.adaptive_clip import AdaptiveClip

ADAPTIVE = {"name": "central", "adaptive_clip": {"quantile": 0.7, "learning_rate": 0.3, "noise": 0.2}}


def test_the_noise_is_split_and_adds_up_to_what_was_planned():
    """z^-2 = z_updates^-2 + (2 s)^-2: both releases together cost what one Gaussian of noise multiplier z does."""
    left = AdaptiveClip(noise=0.05).left_for_updates(1.5, 100)
    assert left > 1.5
    assert left**-2 + (2 * 0.05 * 100) ** -2 == pytest.approx(1.5**-2)


def test_it_finds_the_quantile(plan_for, noise):
    """A thousand devices with norms from 0 to 10, and a clip norm that begins at 0.1: 70% of the norms are within 7."""
    plan = plan_for(ADAPTIVE, {"population": 5000, "cohort": 1000}, clip_norm=0.1)
    state = plan.server.begin(2)
    rng = np.random.default_rng(0)
    bounds = []
    for n in range(60):
        bound = plan.server.bound(state)
        norms = rng.uniform(0, 10, 1000)
        deltas = torch.from_numpy(np.stack([norms, np.zeros(1000)], axis=1).astype(np.float32))
        sent = plan.release.finish(deltas, bound, [])
        assert sent.shape == (1000, 3)
        assert np.linalg.norm(sent[:, :2], axis=1).max() <= bound
        opened = plan.server.open(state, sent.sum(axis=0, dtype=np.float64), 1000, 2, n, noise(n))
        assert opened.record["clip_norm"] == pytest.approx(bound, rel=1e-5)
        state = opened.state
        bounds.append(bound)
    assert bounds[0] == pytest.approx(0.1)
    assert np.mean(bounds[-20:]) == pytest.approx(7.0, abs=1.5)


def test_a_device_moves_the_count_by_a_half(plan_for):
    release = plan_for(ADAPTIVE).release
    counts = release.finish(torch.tensor([[0.5, 0.0], [3.0, 0.0]]), 1.0, [])[:, 2]
    assert counts.tolist() == [0.5, -0.5]


def test_the_updates_noise_follows_the_clip_norm(plan_for, noise):
    plan = plan_for(ADAPTIVE)
    opened = [plan.server.open({"clip": np.array([c])}, np.zeros(2001), 0, 2000, 0, noise(1)).mean for c in (1.0, 3.0)]
    assert np.std(opened[1]) / np.std(opened[0]) == pytest.approx(3.0, rel=1e-5)
    wanted = AdaptiveClip(noise=0.2).left_for_updates(plan.noise_multiplier, 12)
    assert np.std(opened[0]) * 12 == pytest.approx(wanted, rel=0.08)
    assert math.isfinite(wanted)
