"""How long devices take: log-normal over devices, drawn for those who are asked, the same in every round."""

import numpy as np
from numpy.typing import NDArray

from everbloom.config import BandwidthConfig, SpeedConfig
from everbloom.seeding import uniforms


def normals(seed: int, purpose: str, clients: NDArray[np.int64]) -> NDArray[np.float64]:
    """[clients] one standard normal draw a device (Box and Muller, 1958)."""
    draws = uniforms(seed, purpose, clients, 2)
    found: NDArray[np.float64] = np.sqrt(-2 * np.log1p(-draws[:, 0])) * np.cos(2 * np.pi * draws[:, 1])
    return found


def seconds_per_example(speed: SpeedConfig | None, seed: int, clients: NDArray[np.int64]) -> NDArray[np.float64]:
    """[clients]"""
    if speed is None:
        return np.zeros(len(clients))
    return speed.seconds_per_example * np.exp(speed.sigma * normals(seed, "device-speed", clients))


def transfer_seconds(
    bandwidth: BandwidthConfig | None, seed: int, clients: NDArray[np.int64], size: int
) -> NDArray[np.float64]:
    """[clients] seconds to fetch `size` bytes and to send as many."""
    if bandwidth is None:
        return np.zeros(len(clients))
    median = size / bandwidth.download + size / bandwidth.upload
    return median * np.exp(-bandwidth.sigma * normals(seed, "device-bandwidth", clients))
