"""From values to places in a picture, and the values worth a tick."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """Values in [low, high] to places in [start, end], linear or logarithmic."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """The place of a value."""
        low, high, at = (math.log(number) if self.log else number for number in (self.low, self.high, value))
        share = 0.5 if high == low else (at - low) / (high - low)
        return self.start + share * (self.end - self.start)


def nice_ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten that lie in [low, high] (Heckbert, "Nice numbers for graph labels", Graphics Gems, 1990)."""
    if not high > low:
        return [low]
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(place * step, 12) for place in range(first, math.floor(high / step + 1e-9) + 1)]


def whole_ticks(low: float, high: float, about: int = 6) -> list[float]:
    """The same among whole numbers: rounds, periods."""
    return [tick for tick in nice_ticks(low, high, about) if tick == int(tick)] or [low]


def headroom(values: Sequence[float]) -> tuple[float, float]:
    """From zero (or the lowest value below it) to a little above the highest."""
    low, high = min(0.0, *values, 0.0), max(0.0, *values, 0.0)
    return low * 1.08, (high * 1.08 if high > 0 else 1.0)


def short(value: float) -> str:
    """A tick's label: 0.25, 1,000, 1.5M."""
    size = abs(value)
    for limit, sign in ((1e9, "G"), (1e6, "M")):
        if size >= limit:
            return f"{value / limit:g}{sign}"
    return f"{value:,.0f}" if size >= 1000 else f"{value:g}"
