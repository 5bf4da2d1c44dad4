"""A clip norm that follows a quantile of the devices' norms, found privately (Andrew et al., 2021, arXiv 1905.03871)."""

import math
from typing import Annotated

import torch
from pydantic import Field, PositiveFloat

from everbloom.errors import PrivacyError
from everbloom.privacy.noise import NoiseSource
from everbloom.registry import Table


class AdaptiveClip(Table):
    """C <- C exp(-learning_rate (fraction of updates within C - quantile)); the fraction is counted with noise, which is accounted."""

    quantile: Annotated[float, Field(gt=0, lt=1)] = 0.5
    learning_rate: PositiveFloat = 0.2
    noise: PositiveFloat = 0.05
    """Standard deviation of the noise on the count, over the expected size of a cohort."""

    def left_for_updates(self, noise_multiplier: float, cohort: float) -> float:
        """The updates' noise multiplier that, with the count's, costs what `noise_multiplier` alone would (theorem 1 there):

        z_updates = (z^-2 - (2 s)^-2)^(-1/2), s the count's standard deviation, whose sensitivity is 1/2. Raises `PrivacyError` if nothing is left.
        """
        left = noise_multiplier**-2 - (2 * self.noise * cohort) ** -2
        if left <= 0:
            raise PrivacyError(
                f"privacy.mechanism.adaptive_clip.noise {self.noise:g}: so little noise on a count of {cohort:g} devices spends the whole budget; "
                f"it must be more than {noise_multiplier / (2 * cohort):.3g}"
            )
        return 1 / math.sqrt(left)

    def count_noise(self, cohort: int, source: NoiseSource) -> float:
        """What is added to the count."""
        return float(source.normal(torch.empty(1), self.noise * cohort)[0])

    def next_bound(self, bound: float, fraction: float) -> float:
        """The clip norm of the next round; `fraction` as counted, noise included."""
        return bound * math.exp(-self.learning_rate * (fraction - self.quantile))
