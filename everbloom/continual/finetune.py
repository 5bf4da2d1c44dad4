"""Fine-tuning: every period goes on from the last one's model, on the period's events alone."""

from typing import ClassVar, Literal

from everbloom.methods import ContinualMethod


class Finetune(ContinualMethod):
    """Nothing is done against forgetting: what every other method is held against."""

    name: Literal["finetune"]
    privacy_cost: ClassVar[str] = "none: this is what the others are measured by"
