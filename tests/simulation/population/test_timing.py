"""Speeds and bandwidths: the distributions they are said to have, one draw a device."""

import math

import numpy as np
import pytest
from scipy import stats

from everbloom.config import BandwidthConfig, SpeedConfig
from simulation.population.timing import normals, seconds_per_example, transfer_seconds

MANY = np.arange(20_000)


@pytest.mark.parametrize("sigma", [0.2, 0.7])
def test_speeds_are_log_normal_and_a_wrong_sigma_would_be_seen(sigma):
    found = seconds_per_example(SpeedConfig(seconds_per_example=0.02, sigma=sigma), 1, MANY)

    def fits(median: float, spread: float) -> bool:
        return stats.kstest(found, stats.lognorm(s=spread, scale=median).cdf).pvalue > 1e-4

    assert fits(0.02, sigma)
    for wrong in (2 / 3, 3 / 2):
        assert not fits(0.02, sigma * wrong)
        assert not fits(0.02 * wrong, sigma)


def test_a_device_keeps_its_speed_whoever_else_is_asked():
    speed = SpeedConfig(seconds_per_example=1, sigma=1)
    whole = seconds_per_example(speed, 1, MANY)
    assert np.array_equal(seconds_per_example(speed, 1, MANY[[7, 3]]), whole[[7, 3]])
    assert not np.array_equal(seconds_per_example(speed, 2, MANY), whole)


def test_speed_and_bandwidth_are_drawn_apart():
    assert abs(
        np.corrcoef(normals(1, "device-speed", MANY), normals(1, "device-bandwidth", MANY))[0, 1]
    ) < 5 / math.sqrt(len(MANY))


def test_transfer_by_hand():
    even = BandwidthConfig(download=1000, upload=100)
    assert transfer_seconds(even, 1, MANY[:2], 500).tolist() == [5.5, 5.5]
    assert transfer_seconds(None, 1, MANY[:2], 500).tolist() == [0, 0]
    assert seconds_per_example(None, 1, MANY[:2]).tolist() == [0, 0]
    uneven = transfer_seconds(BandwidthConfig(download=1000, upload=100, sigma=0.5), 1, MANY, 500)
    assert stats.kstest(uneven, stats.lognorm(s=0.5, scale=5.5).cdf).pvalue > 1e-4
