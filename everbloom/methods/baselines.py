"""What a result is compared with: reference recommenders, fitted at once."""

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from everbloom.registry import Method, Registry

if TYPE_CHECKING:
    from everbloom.evaluation.evaluator import Scorer
    from everbloom.evaluation.past import Past


class Baseline(Method):
    """A reference recommender: fitted at once to what was there before a measurement, without rounds, devices or privacy."""

    reads: ClassVar[str]
    """Whose events it reads: `everybody`'s in one place, or less; two or three words for a table."""

    def unfit(self, past: "Past") -> str | None:
        """Why it cannot be fitted to this data, in one line; None: it can."""
        return None

    @abstractmethod
    def fit(self, past: "Past") -> "Scorer":
        """What scores the catalogue for cases measured after `past`; deterministic, and nothing later is read. Raises `DataError` with what `unfit`
        says."""


BASELINES: Registry[Baseline] = Registry(
    "baseline",
    Baseline,  # type: ignore[type-abstract]
    {
        "popularity": "everbloom.evaluation.baselines.popularity:PopularityBaseline",
        "recent-popularity": "everbloom.evaluation.baselines.recent_popularity:RecentPopularityBaseline",
        "item-text-knn": "everbloom.evaluation.baselines.item_text_knn:ItemTextKnnBaseline",
        "markov": "everbloom.evaluation.baselines.markov:MarkovBaseline",
        "item-knn": "everbloom.evaluation.baselines.item_knn:ItemKnnBaseline",
        "ease": "everbloom.evaluation.baselines.ease:EaseBaseline",
    },
)
