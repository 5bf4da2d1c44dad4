"""What is measured of a step: how good its lists are, whom they expose, and how far the clicks are from what people like.

Measures of the lists as shown (exploration included) carry their plain name; those of the model's own best lists, which say what the model has
become, begin with `model_`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from everbloom.data.events import NO_ITEM
from everbloom.evaluation.beyond_accuracy import coverage, gini, popularity_bias, popularity_percentile
from everbloom.evaluation.slices import head_items
from everbloom.feedback.exposure import (
    distribution_distance,
    exposure_bias,
    exposure_counts,
    rank_correlation,
    share_within,
)
from everbloom.feedback.homogeneity import homogeneity
from simulation.feedback.showing import Shown

MEASURES = {
    "ctr": "clicks per item shown",
    "utility": "mean attraction, P(click | looked at), of what is shown",
    "regret": "what utility lacks to the best lists there are",
    "coverage": "share of the catalogue that is shown to anybody",
    "gini": "inequality of exposure over items: 0 all alike, 1 all on one",
    "popularity": "mean percentile, in the warm start's popularity, of what is shown: 1/2 for random lists",
    "homogeneity": "mean Jaccard index of the lists of two people",
    "tail_exposure": "share of exposure on tail items, which hold a fifth of the warm start's events",
    "tail_clicks": "share of clicks on tail items",
    "tail_taste": "share of true attraction on tail items",
    "exposure_relevance": "rank correlation of exposure with true relevance, over items",
    "exposure_bias": "the same with popularity so far, among equally relevant items (partial correlation)",
    "taste_distance": "Jensen-Shannon distance of the clicks expected so far, over items, from true attraction",
    "model_utility": "utility of the model's own lists, without exploration",
    "model_coverage": "coverage of these",
    "model_gini": "gini of these",
    "model_popularity": "popularity of these",
    "model_homogeneity": "homogeneity of these",
}
"""The measures of a step, and what they say."""


@dataclass(eq=False)
class Meter:
    """Measures one loop, step after step. `start_counts` [items]: events of the warm start. Sums over steps [items] begin at zero."""

    available: NDArray[np.bool_]
    start_counts: NDArray[np.int64]

    def __post_init__(self) -> None:
        self._head = head_items(self.start_counts)
        self._percentile = popularity_percentile(self.start_counts, self.available)
        self._expected = np.zeros(len(self.available))
        self._relevance = np.zeros(len(self.available))

    def measure(
        self,
        shown: Shown,
        chances: NDArray[np.float64],
        clicks: NDArray[np.bool_],
        counts: NDArray[np.int64],
        rng: np.random.Generator,
    ) -> dict[str, float]:
        """All of `MEASURES`. `chances` and `clicks` [users, n]: P(click) and clicks on the lists; `counts` [items]: events before this step."""
        there = shown.lists.items != NO_ITEM
        listed = shown.lists.items[there]
        items = len(self.available)
        self._expected += np.bincount(listed, weights=chances[there], minlength=items)
        self._relevance += shown.relevance
        slots = max(int(there.sum()), 1)
        utility = float(shown.attraction.sum()) / slots
        clicked = np.bincount(shown.lists.items[clicks], minlength=items)
        exposure = exposure_counts(shown.lists.items, items)
        can = self.available
        return {
            "ctr": float(clicks.sum()) / slots,
            "utility": utility,
            "regret": float(shown.best_attraction.sum()) / slots - utility,
            **self._lists(shown.lists.items, rng, ""),
            "tail_exposure": share_within(exposure, ~self._head),
            "tail_clicks": share_within(clicked, ~self._head),
            "tail_taste": share_within(shown.relevance, ~self._head),
            "exposure_relevance": rank_correlation(exposure[can], shown.relevance[can]),
            "exposure_bias": exposure_bias(exposure[can], counts[can], shown.relevance[can]),
            "taste_distance": distribution_distance(self._expected, self._relevance),
            "model_utility": float(shown.model_attraction.sum()) / slots,
            **self._lists(shown.model, rng, "model_"),
        }

    def _lists(self, items: NDArray[np.int32], rng: np.random.Generator, prefix: str) -> dict[str, float]:
        return {
            f"{prefix}coverage": coverage(items, self.available),
            f"{prefix}gini": gini(items, self.available),
            f"{prefix}popularity": popularity_bias(items, self._percentile),
            f"{prefix}homogeneity": homogeneity(items, rng),
        }
