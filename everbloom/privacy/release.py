"""The device's side of a mechanism that protects users: what is done to a finished update before it leaves.

Sensitivity rests on what is here: whatever training has made of a device's data, what leaves has a norm of at most the bound.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from everbloom.privacy.discrete.encoding import Encoding
from everbloom.privacy.noise import NoiseSource

_ROUNDING = 1e-6
"""Room for what float32 adds to a norm: a clipped vector of 2^24 parameters is still no longer than its bound."""


def clip_factors(norms: torch.Tensor, bound: float) -> torch.Tensor:
    """[clients] float64: what updates of these norms (float64) are multiplied with, so that none is longer than `bound`. 0 where it is not finite."""
    factors = (bound * (1 - _ROUNDING) / norms).clamp(max=1.0)
    return torch.where(norms.isfinite(), factors, torch.zeros_like(factors))


@dataclass(frozen=True)
class UpdateRelease:
    """Clip; then, depending on the mechanism, say whether there was anything to clip, add noise, or encode for a sum of integers."""

    tells_clipping: bool = False
    """A number follows the update inside the sum: 1/2 if its norm was within the bound, else -1/2 (Andrew et al., 2021, arXiv 1905.03871)."""
    noise_multiplier: float = 0.0
    """The device's own noise: its standard deviation over the bound."""
    encoding: Encoding | None = None

    @property
    def draws_noise(self) -> bool:
        """Whether each device needs a source of noise."""
        return self.noise_multiplier > 0 or self.encoding is not None

    @property
    def only_clips(self) -> bool:
        """Whether what leaves is bounded and not noised: whatever is done to it after that must keep the bound."""
        return not self.draws_noise

    @property
    def summable(self) -> bool:
        """Whether a simulation may add up clipped updates without laying out each: nothing else is done to them one by one."""
        return not self.draws_noise

    def finish(self, deltas: torch.Tensor, bound: float, sources: Sequence[NoiseSource]) -> NDArray[Any]:
        """[clients, params] float32 updates, changed in place -> what leaves the devices [clients, numbers]."""
        norms = norms_of(deltas)
        deltas[~norms.isfinite()] = 0.0  # 0 times infinity is no number
        if self.encoding is not None:
            rows = zip(deltas.cpu().numpy(), sources, strict=True)
            encoded = [self.encoding.encode(delta[None], source) for delta, source in rows]
            return np.concatenate([np.zeros((0, self.encoding.padded), dtype=self.encoding.dtype), *encoded])
        deltas *= clip_factors(norms, bound).unsqueeze(1).to(deltas.dtype)
        if self.noise_multiplier:
            own = torch.empty(deltas.shape[1])
            for delta, source in zip(deltas, sources, strict=True):
                delta += source.normal(own, self.noise_multiplier * bound).to(deltas.device)
        if self.tells_clipping:
            deltas = torch.cat([deltas, within(norms, bound).unsqueeze(1).to(deltas.dtype)], dim=1)
        finished: NDArray[np.float32] = deltas.cpu().numpy()
        return finished


def norms_of(deltas: torch.Tensor) -> torch.Tensor:
    """[clients] float64 L2 norms of [clients, params]."""
    norms: torch.Tensor = torch.linalg.vector_norm(deltas, dim=1, dtype=torch.float64)
    return norms


def within(norms: torch.Tensor, bound: float) -> torch.Tensor:
    """[clients] 1/2 where a norm is within the bound, else -1/2: adding or removing a client then moves the sum by no more than 1/2."""
    return (norms <= bound).to(torch.float64) - 0.5
