"""Mean and interval over the seeds of an experiment, for one thing measured or for the difference of two measured with the same seeds."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """Mean over seeds and half the width of its 95% interval, None for one seed: mean +- t_{n-1} s / sqrt(n).

    It tells of training's randomness (initial parameters, cohorts, negatives, noise) for these people; nothing of other people.
    """

    mean: float
    half: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> "Estimate | None":
        """None without values."""
        if not values:
            return None
        n = len(values)
        half = None if n == 1 else 0.0
        if min(values) < max(values):  # equal ones have no spread, whatever rounding makes of it
            half = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2) * np.std(values, ddof=1)) / math.sqrt(n)
        return cls(float(np.mean(values)), half)

    @classmethod
    def paired(cls, values: Mapping[int, float], reference: Mapping[int, float]) -> "Estimate | None":
        """Of `values - reference`, seed by seed, over the seeds that both have (seed -> value): what a seed does to both falls out.

        None without such a seed.
        """
        return cls.of([value - reference[seed] for seed, value in values.items() if seed in reference])

    @property
    def low(self) -> float | None:
        """The interval's lower end; None for one seed."""
        return None if self.half is None else self.mean - self.half

    @property
    def high(self) -> float | None:
        """The interval's upper end; None for one seed."""
        return None if self.half is None else self.mean + self.half

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval leaves 0 out. False for one seed, and where no seed changes anything."""
        return self.half is not None and self.half > 0 and abs(self.mean) > self.half

    def rounded(self) -> dict[str, float | None]:
        """mean, low, high to 6 decimals, for a JSON file."""
        ends = {"mean": self.mean, "low": self.low, "high": self.high}
        return {name: None if end is None else round(end, 6) for name, end in ends.items()}

    def __str__(self) -> str:
        """An interval of no width (popularity's, which no seed changes) is left out."""
        return f"{self.mean:.4f} ± {self.half:.4f}" if self.half else f"{self.mean:.4f}"

    def short(self) -> str:
        """The same for a narrow column: 0.1446±.0123."""
        return f"{self.mean:.4f}" + (f"±{self.half:.4f}".replace("±0.", "±.") if self.half else "")

    def difference(self) -> str:
        """As a difference for a narrow column, marked where its interval excludes 0: +0.0123±.0100*."""
        sign = "+" if self.mean >= 0 else ""
        return f"{sign}{self.short()}{'*' if self.excludes_zero else ''}"
