"""A device's budget as a privacy filter: it decides, charge by charge, whether one more release keeps the whole within (epsilon, delta).

Terms may change from round to round and depend on what was released before, so costs are added up by a rule that allows for that. Privacy loss
distributions are not such a rule: they plan a run whose steps are fixed; they do not decide whether one more step is allowed.

- `gdp`: sum of mu^2 up to mu_B^2, where mu_B-GDP is (epsilon, delta)-DP (Smith and Thakurta, 2022, arXiv 2210.17520): no loss against fixed terms.
- `rdp`: sum of Renyi divergences at ONE order, fixed when the budget is made (Feldman and Zrnic, 2021, arXiv 2008.11193).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal, Self

from everbloom.errors import PrivacyError
from everbloom.privacy.accounting.gaussian import gaussian_epsilon, gaussian_mu
from everbloom.privacy.accounting.renyi import (
    ORDERS,
    epsilon_at,
    gaussian_rdp,
    poisson_rdp,
    rdp_between,
    rdp_within,
)

ROUNDING = 1e-6
"""Relative: a budget is kept to six digits. Noise calibrated to a budget returns to it through root finding, and must not miss its last round."""


@dataclass(frozen=True)
class Cost:
    """What one charge costs, under the budget's unit and relation. Made by `gaussian`, `sampled` or `renyi`; never by data."""

    mu_squared: float | None = None
    """Exact, when the release is Gaussian and unsampled: steps x (sensitivity / deviation)^2. Else None."""
    sampled_steps: tuple[float, float, int] | None = None
    """(noise multiplier, sample rate, steps) of Poisson-sampled Gaussian steps."""
    curve: tuple[tuple[float, float], ...] = ()
    """(order, divergence) pairs, for anything else."""

    def __post_init__(self) -> None:
        kinds = [self.mu_squared is not None, self.sampled_steps is not None, bool(self.curve)]
        _require(sum(kinds) == 1, "cost", self.to_dict() if any(kinds) else None, "one of gaussian, sampled and renyi")

    @classmethod
    def gaussian(cls, mu_squared: float) -> Self:
        """Gaussian releases that read everything. T steps of noise multiplier s and sensitivity C: T / s^2."""
        _require(math.isfinite(mu_squared) and mu_squared >= 0, "mu_squared", mu_squared, "a finite number, 0 or more")
        return cls(mu_squared=float(mu_squared))

    @classmethod
    def sampled(cls, noise_multiplier: float, sample_rate: float, steps: int) -> Self:
        """Poisson-sampled Gaussian steps, add or remove one. At rate 1 the same as `gaussian`."""
        proper = math.isfinite(noise_multiplier) and noise_multiplier > 0
        _require(proper, "noise_multiplier", noise_multiplier, "a finite number above 0")
        _require(0 < sample_rate <= 1, "sample_rate", sample_rate, "above 0 and at most 1")
        _require(steps >= 0 and steps == int(steps), "steps", steps, "a whole number, 0 or more")
        if sample_rate == 1:
            return cls.gaussian(steps / noise_multiplier**2)
        return cls(sampled_steps=(float(noise_multiplier), float(sample_rate), int(steps)))

    @classmethod
    def renyi(cls, orders: Sequence[float], values: Sequence[float]) -> Self:
        """A mechanism known by its divergences at some orders, such as a discrete one. Between orders it is bounded by convexity."""
        _require(
            len(orders) == len(values) > 0, "orders", len(orders), f"as many as values ({len(values)}), at least one"
        )
        for order, value in zip(orders, values, strict=True):
            _require(math.isfinite(order) and order > 1, "orders", order, "finite numbers above 1")
            _require(math.isfinite(value) and value >= 0, "values", value, "finite numbers, 0 or more")
        _require(len(set(orders)) == len(orders), "orders", list(orders), "each once")
        return cls(curve=tuple(sorted(zip(map(float, orders), map(float, values), strict=True))))

    def rdp(self, order: float) -> float:
        """Renyi divergence at `order` > 1, in nats. Raises `PrivacyError` above the largest order of a `renyi` cost."""
        if self.mu_squared is not None:
            return gaussian_rdp(self.mu_squared, order)
        if self.sampled_steps is not None:
            noise_multiplier, sample_rate, steps = self.sampled_steps
            return steps * poisson_rdp(noise_multiplier, sample_rate, order) if steps else 0.0
        return rdp_between(order, *zip(*self.curve, strict=True))

    def known_at(self, order: float) -> bool:
        """Whether `rdp` can say anything at this order."""
        return not self.curve or order <= self.curve[-1][0]

    def to_dict(self) -> dict[str, Any]:
        """For JSON; `from_dict` is the inverse."""
        if self.mu_squared is not None:
            return {"gaussian": {"mu_squared": self.mu_squared}}
        if self.sampled_steps is not None:
            return {"sampled": dict(zip(("noise_multiplier", "sample_rate", "steps"), self.sampled_steps, strict=True))}
        orders, values = zip(*self.curve, strict=True)
        return {"renyi": {"orders": list(orders), "values": list(values)}}

    @classmethod
    def from_dict(cls, table: dict[str, Any]) -> Self:
        """The inverse of `to_dict`. Raises `PrivacyError` on anything else."""
        makers: dict[str, Callable[..., Self]] = {"gaussian": cls.gaussian, "sampled": cls.sampled, "renyi": cls.renyi}
        try:
            ((kind, numbers),) = table.items()
            return makers[kind](**numbers)
        except (AttributeError, KeyError, TypeError, ValueError):
            raise PrivacyError(
                f"cost: {table!r} is none; expected one of {', '.join(makers)} with its numbers"
            ) from None


@dataclass(frozen=True)
class Budget:
    """What one device may release altogether: (epsilon, delta) by one unit and neighbouring relation, kept by one filter.

    Formal guarantee: if every release is charged its cost before it is made, and made only if `allows` says so, everything released together is
    (epsilon, delta)-DP, also when terms, rounds and whether to go on are chosen from earlier outputs.
    """

    unit: str
    relation: str
    epsilon: float
    delta: float
    filter: Literal["gdp", "rdp"]
    order: float | None = None
    """Of the `rdp` filter. Chosen without data and never changed: the best order in hindsight would not be a valid filter."""

    def __post_init__(self) -> None:
        _require(math.isfinite(self.epsilon) and self.epsilon > 0, "epsilon", self.epsilon, "a finite number above 0")
        _require(0 < self.delta < 1, "delta", self.delta, "between 0 and 1")
        _require(self.filter in ("gdp", "rdp"), "filter", self.filter, "gdp or rdp")
        if self.filter == "gdp":
            _require(self.order is None, "order", self.order, "none with the gdp filter")
        else:
            proper = self.order is not None and math.isfinite(self.order) and self.order > 1
            _require(proper, "order", self.order, "a finite number above 1 with the rdp filter")
            _require(self.limit > 0, "epsilon", self.epsilon, f"more, at order {self.order} and delta {self.delta:g}")

    @classmethod
    def suited_to(cls, nominal: Cost, unit: str, relation: str, epsilon: float, delta: float) -> Self:
        """The budget under which `nominal` may be charged most often: `gdp` if it is Gaussian, else `rdp` at the order best for it.

        The nominal cost only chooses the filter; what is charged later may cost anything. Raises `PrivacyError` if no order will do.
        """
        if nominal.mu_squared is not None:
            return cls(unit, relation, epsilon, delta, "gdp")
        orders = [order for order in ORDERS if rdp_within(order, epsilon, delta) > 0 and nominal.known_at(order)]
        _require(
            len(orders) > 0, "epsilon", epsilon, f"more, at delta {delta:g}: no order of a Renyi filter can keep it"
        )
        best = max(orders, key=lambda order: rdp_within(order, epsilon, delta) / max(nominal.rdp(order), 1e-300))
        return cls(unit, relation, epsilon, delta, "rdp", best)

    @classmethod
    def of_rounds(cls, cost: Cost, rounds: int, unit: str, relation: str, delta: float, epsilon: float = 0.0) -> Self:
        """The smallest budget, at least `epsilon`, whose filter allows `rounds` charges of `cost`.

        With sampling its epsilon is above that of a privacy loss distribution, which is the price of a filter (s=1, q=.25, T=40: 12.6 for 11.3).
        """
        if cost.mu_squared is not None:
            needed = gaussian_epsilon(math.sqrt(rounds * cost.mu_squared), delta)
            return cls(unit, relation, max(needed, epsilon), delta, "gdp")
        orders = [order for order in ORDERS if cost.known_at(order)]
        _require(len(orders) > 0, "cost", cost.curve[-1:], f"known at an order of at least {ORDERS[0]}")
        needed = min(epsilon_at(order, rounds * cost.rdp(order), delta) for order in orders)
        return cls.suited_to(cost, unit, relation, max(needed, epsilon), delta)

    @cached_property
    def limit(self) -> float:
        """What charges may add up to: mu_B^2, or the Renyi divergence at `order`."""
        if self.order is None:
            return gaussian_mu(self.epsilon, self.delta) ** 2
        return rdp_within(self.order, self.epsilon, self.delta)

    def charge(self, cost: Cost) -> float:
        """A cost in the filter's own unit, that of `limit`. Raises `PrivacyError` on a cost that this filter cannot add up."""
        if self.order is not None:
            return cost.rdp(self.order)
        if cost.mu_squared is None:
            raise PrivacyError(
                "this budget adds up Gaussian releases that read everything (filter gdp), and this one is sampled or not Gaussian; "
                "only a budget with filter rdp can take it"
            )
        return cost.mu_squared

    def spent(self, costs: Sequence[Cost]) -> float:
        """The sum of their charges."""
        return math.fsum(self.charge(cost) for cost in costs)

    def allows(self, spent: Sequence[Cost], new: Cost, share: float = 1.0) -> bool:
        """Whether `new` may be released after `spent` within `share` of the budget. False too for a cost that the filter cannot add up."""
        try:
            return self.spent(spent) + self.charge(new) <= share * self.limit * (1 + ROUNDING)
        except PrivacyError:
            return False

    def spent_epsilon(self, costs: Sequence[Cost]) -> float:
        """Epsilon at `delta` of what was charged, for display: what the filter would have had to be set to, never a smaller order's."""
        total = self.spent(costs)
        if self.order is None:
            return gaussian_epsilon(math.sqrt(total), self.delta)
        return epsilon_at(self.order, total, self.delta) if total else 0.0

    def remaining(self, spent: Sequence[Cost]) -> float:
        """The share of `limit` that is left, 0 to 1."""
        return min(1.0, max(0.0, 1 - self.spent(spent) / self.limit))

    def charges_left(self, spent: Sequence[Cost], cost: Cost) -> int:
        """How often `cost` could still be charged; 0 too if the filter cannot add it up. A cost of nothing is charged without end: -1."""
        if not self.allows(spent, cost):
            return 0
        each = self.charge(cost)
        return int((self.limit * (1 + ROUNDING) - self.spent(spent)) / each) if each else -1

    def to_dict(self) -> dict[str, Any]:
        """For JSON; `from_dict` is the inverse."""
        return asdict(self)

    @classmethod
    def from_dict(cls, table: dict[str, Any]) -> Self:
        """The inverse of `to_dict`. Raises `PrivacyError` on anything else."""
        try:
            return cls(**table)
        except TypeError:
            raise PrivacyError(
                f"budget: {table!r} is none; expected unit, relation, epsilon, delta, filter and order"
            ) from None


def _require(holds: bool, name: str, value: object, expected: str) -> None:
    if not holds:
        raise PrivacyError(f"{name} = {value!r}: expected {expected}")
