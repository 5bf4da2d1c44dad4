"""The feedback loop: who is shown what, and who reacts how."""

from abc import abstractmethod
from typing import TYPE_CHECKING

from everbloom.registry import Method, Registry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from everbloom.feedback.lists import Lists
    from everbloom.seeding import PublicDraws


class UserModel(Method):
    """How a person reacts to a ranked list (a click model): who is looked at, and who of these is clicked."""

    @abstractmethod
    def probabilities(self, attraction: "NDArray[np.float64]") -> "NDArray[np.float64]":
        """[users, n] P(click at each rank), from `attraction` [users, n] = P(click | looked at); 0 where there is no item."""

    @abstractmethod
    def clicks(self, attraction: "NDArray[np.float64]", draws: "NDArray[np.float64]") -> "NDArray[np.bool_]":
        """[users, n] one reaction of each user; `draws` [users, 2n] are uniform in [0, 1) and all the randomness there is."""


USER_MODELS: Registry[UserModel] = Registry(
    "user model",
    UserModel,  # type: ignore[type-abstract]
    {
        "position-biased": "everbloom.feedback.users.position_biased:PositionBased",
        "cascade": "everbloom.feedback.users.cascade:Cascade",
        "dependent-click": "everbloom.feedback.users.dependent_click:DependentClick",
        "rank-biased": "everbloom.feedback.users.rank_biased:RankBiased",
    },
)


class Exploration(Method):
    """How lists are made of scores."""

    @abstractmethod
    def lists(
        self, scores: "NDArray[np.float32]", n: int, counts: "NDArray[np.int64]", draws: "PublicDraws"
    ) -> "Lists":
        """Lists of `n` different items from `scores` [users, items], minus infinity where an item must not be shown.

        `counts` [items]: interactions so far. Each user's list depends on that user's scores and draws alone.
        """


EXPLORATIONS: Registry[Exploration] = Registry(
    "exploration",
    Exploration,  # type: ignore[type-abstract]
    {
        "greedy": "everbloom.feedback.exploration.greedy:Greedy",
        "epsilon-greedy": "everbloom.feedback.exploration.epsilon_greedy:EpsilonGreedy",
        "softmax": "everbloom.feedback.exploration.softmax:Softmax",
        "popularity-penalised": "everbloom.feedback.exploration.popularity_penalised:PopularityPenalised",
        "random": "everbloom.feedback.exploration.uniform:UniformLists",
    },
)
