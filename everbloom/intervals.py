"""Mean and interval over the seeds of an experiment (and over people), for one thing measured or for the difference of two with the same seeds."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds and half the width of its 95% interval, None for one seed.

    `of` and `paired`, mean +- t_{n-1} s / sqrt(n), tell of training's randomness (initial parameters, cohorts, negatives, noise) for these people,
    and nothing of other people; `of_people` tells of both.
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

    @classmethod
    def of_people(cls, values: Sequence[float], deviation: float) -> "Estimate | None":
        """For other seeds and other people: `values`, one a seed, and the standard deviation of their mean over resampled users (all seeds of a user
        together).

        Where users and seeds are crossed, the variance of the mean is that of users over their number, plus that of seeds over theirs, plus that of
        both together over the product. The bootstrap's is the first and the last, the seeds' s^2 / n the second and the last; their sum counts the
        last twice, so the interval is rather too wide. It is mean +- t_f sqrt(sum), with the degrees of freedom f of Satterthwaite (1946), few where
        the seeds' part is large. None without values, no interval for one.
        """
        if len(values) < 2:
            return cls.of(values)
        n, users = len(values), deviation**2
        seeds = float(np.var(values, ddof=1)) / n if min(values) < max(values) else 0.0
        if users + seeds == 0:
            return cls(float(np.mean(values)), 0.0)
        freedom = math.inf if seeds == 0 else (users + seeds) ** 2 * (n - 1) / seeds**2
        return cls(float(np.mean(values)), float(stdtrit(freedom, (1 + CONFIDENCE) / 2)) * math.sqrt(users + seeds))

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
