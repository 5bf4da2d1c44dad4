"""The model of the warm start, never updated: what a recommender loses that does not learn on."""

from typing import ClassVar, Literal

from everbloom.methods import ContinualMethod


class Frozen(ContinualMethod):
    """No rounds after period 0, so the whole privacy budget is spent there."""

    name: Literal["frozen"]
    privacy_cost: ClassVar[str] = "none, and nothing is spent after period 0"

    def rounds(self, period: int, rounds: int, warm_rounds: int) -> int:
        """See `ContinualMethod`."""
        return 0 if period else warm_rounds
