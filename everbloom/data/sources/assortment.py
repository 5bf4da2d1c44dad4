"""The synthetic items: what topics they are of, and which are there how popular in each step."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from everbloom.errors import DataError
from everbloom.seeding import numpy_generator

if TYPE_CHECKING:
    from everbloom.data.sources.synthetic import Synthetic


@dataclass(frozen=True, eq=False)
class Assortment:
    """`topic` [items] main topics, `mixture` [items, topics] shares of the topics in an item (sum 1), `popularity` [steps, items]
    weights, `there` [steps, items] whether an item can be chosen in a step.
    """

    topic: NDArray[np.int64]
    mixture: NDArray[np.float64]
    popularity: NDArray[np.float64]
    there: NDArray[np.bool_]

    def cumulative(self, step: int) -> NDArray[np.float64]:
        """[items, topics] cumulative probabilities of the items within each topic."""
        cumulative = np.cumsum(self._weights(step), axis=0)
        return np.asarray(cumulative / cumulative[-1])

    def given_topic(self, step: int) -> NDArray[np.float64]:
        """[items, topics] probability that an event of a topic is with an item; columns sum to 1."""
        weights = self._weights(step)
        return np.asarray(weights / weights.sum(axis=0))

    def _weights(self, step: int) -> NDArray[np.float64]:
        return np.asarray(self.popularity[step][:, None] * self.mixture * self.there[step][:, None])


def draw_assortment(config: "Synthetic") -> Assortment:
    """The items of a synthetic population; those that arrive later have higher ids."""
    draw = numpy_generator(config.seed, "synthetic-items")
    count, topics = config.item_count, config.latent_dim
    topic = draw.integers(topics, size=count)
    mixture = draw.dirichlet(np.full(topics, 0.3), size=count) * 0.3
    mixture[np.arange(count), topic] += 0.7
    popularity = np.asarray(1.0 / (1.0 + draw.permutation(count)) ** config.popularity, dtype=np.float64)
    there = _presence(config, _arrivals(config, draw))
    return Assortment(topic, mixture, _popularities(config, popularity, there), there)


def _arrivals(config: "Synthetic", draw: np.random.Generator) -> NDArray[np.float64]:
    """[items] seconds after the start, ascending."""
    late = draw.uniform(config.step_seconds, config.seconds, size=int(config.new_item_rate * config.item_count))
    bursts = [
        np.full(int(shift.introduce * config.item_count), shift.at * config.step_seconds) for shift in config.shifts
    ]
    arriving = np.sort(np.concatenate([late, *bursts]))
    return np.concatenate([np.zeros(config.item_count - len(arriving)), arriving])


def _presence(config: "Synthetic", arrival: NDArray[np.float64]) -> NDArray[np.bool_]:
    """[steps, items] arrived by the beginning of the step, not over and not retired; at least one item is there in each step. Raises `DataError`
    if none would be."""
    start = (np.arange(config.periods) * config.step_seconds)[:, None]
    there = arrival <= start
    if config.lifetime_days is not None:
        there &= start < arrival + config.lifetime_days * 86_400
        empty = np.flatnonzero(~there.any(axis=1))
        if len(empty):
            raise DataError(
                f"data.source: no item is left in step {empty[0]} of the synthetic data; raise items, new_item_rate or lifetime_days"
            )
    for shift in config.shifts:
        before = np.flatnonzero(there[shift.at - 1])
        draw = numpy_generator(config.seed, "synthetic-retired-items", period=shift.at)
        chosen = draw.choice(before, size=int(shift.retire * len(before)), replace=False)
        there[shift.at : shift.returns, chosen] = False
    return there


def _popularities(
    config: "Synthetic", popularity: NDArray[np.float64], there: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """[steps, items]; the weights that there are stay, and change hands."""
    if not any(shift.popularity for shift in config.shifts):
        return np.broadcast_to(popularity, there.shape)
    steps = np.tile(popularity, (config.periods, 1))
    for shift in config.shifts:
        present = np.flatnonzero(there[shift.at])
        draw = numpy_generator(config.seed, "synthetic-popularity", period=shift.at)
        chosen = draw.choice(present, size=int(shift.popularity * len(present)), replace=False)
        steps[shift.at :, chosen] = steps[shift.at, draw.permutation(chosen)]
    return steps
