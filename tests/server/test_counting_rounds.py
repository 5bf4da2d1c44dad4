"""What the server makes of votes: their unit is the mechanism's noise, older ones fade, several rounds are one with less noise."""

import numpy as np
import pytest
import torch

from everbloom.config import LearningConfig, ModelConfig, PriorConfig, PrivacyConfig
from everbloom.privacy.course import Course
from everbloom.privacy.noise import SeededNoise
from everbloom.privacy.plan import build_plan
from server.counting import Counting

PARAMETERS, COHORT = 20_000, 50
PLACE = slice(0, PARAMETERS)
EVERY = np.arange(PARAMETERS)


def plan_of(mechanism: str, clip_norm: float):
    sampler = "poisson" if mechanism == "central" else "uniform"
    course = Course(rounds=10, population=500, cohort=COHORT, sampler=sampler)
    privacy = PrivacyConfig.model_validate(
        {
            "unit": "user", "mechanism": {"name": mechanism}, "noise_multiplier": 1.7, "delta": 1e-5, "clip_norm": clip_norm,
        }
    )  # fmt: skip
    return build_plan(privacy, LearningConfig(), ModelConfig(), course, PARAMETERS)


@pytest.mark.parametrize("rounds", [1, 4])
@pytest.mark.parametrize("smoothing", [2 / 3, 1.0, 1.5])
def test_the_unit_is_a_standard_deviation_of_the_noise(rounds, smoothing):
    """Where nobody votes; a unit of two thirds or three halves of it would be told apart."""
    plan = plan_of("central", clip_norm=0.3)
    counting = Counting.of(PriorConfig(rounds=rounds, smoothing=smoothing), PLACE, plan, PARAMETERS, COHORT)
    counts, noise = np.zeros(PARAMETERS, dtype=np.float32), SeededNoise(torch.Generator().manual_seed(1))
    for round in range(1, rounds + 1):
        opened = plan.server.open({}, np.zeros(PARAMETERS), COHORT, PARAMETERS, round, noise)
        counts = counting.counted(counts, opened.mean, round, EVERY)
    assert (abs(counts.std() - 1) < 0.03) == (smoothing == 1)


def test_an_adapted_bound_changes_the_unit_with_it():
    plan = plan_of("central", clip_norm=0.3)
    counting = Counting.of(PriorConfig(), PLACE, plan, PARAMETERS, COHORT)
    mean, nothing = np.full(PARAMETERS, 0.01, dtype=np.float32), np.zeros(PARAMETERS, dtype=np.float32)
    plain = counting.counted(nothing, mean, 1, EVERY)
    np.testing.assert_allclose(counting.counted(nothing, 2 * mean, 1, EVERY, bound=0.6), plain, rtol=1e-5)


def test_without_privacy_counts_are_people_of_the_cohort_and_fade():
    counting = Counting.of(PriorConfig(rounds=2, decay=0.25), slice(1, 4), None, 5, cohort=10)
    start = np.array([9, 4, 0, 8, 9], dtype=np.float32)
    mean = np.array([7, 0.1, 0.5, 0, 7], dtype=np.float32)  # of 10 devices 1 and 5 want two of the items
    there = np.arange(3)
    first = counting.counted(start, mean, 1, there)
    np.testing.assert_allclose(first, [9, 2, 5, 2, 9], rtol=1e-6)
    np.testing.assert_allclose(counting.counted(first, mean, 2, there), [9, 3, 10, 2, 9], rtol=1e-6)


def test_what_is_yet_to_come_gets_the_middle():
    counting = Counting.of(PriorConfig(), slice(0, 4), None, 4, cohort=10)
    found = counting.counted(
        np.zeros(4, dtype=np.float32), np.array([0.3, 0.0, 0.0, -5], dtype=np.float32), 1, np.arange(2)
    )
    np.testing.assert_allclose(found, [3, 0, 1, 1], rtol=1e-5)  # (log 4 + log 1) / 2 = log 2


def test_what_was_counted_is_put_back():
    counting = Counting.of(PriorConfig(), slice(1, 3), None, 4, cohort=10)
    before, after = np.arange(4, dtype=np.float32), np.full(4, 9, dtype=np.float32)
    assert counting.kept(before, after).tolist() == [9, 1, 2, 9]
    assert after.tolist() == [9, 9, 9, 9]
