"""What is measured, and pooled training to measure against."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from everbloom.registry import Table


class DeviceEvaluationConfig(Table):
    """Devices measure the global model on their own held-out events and send sums; under a plan noised, and charged like a round."""

    every: PositiveInt = 10
    """Rounds between measurements; a period's last round is always measured."""
    measures: Annotated[tuple[str, ...], Field(min_length=1)] = ("hr@10", "ndcg@10")
    """At cut-offs of `evaluation.k`. They and a count share the noise: the fewer, the less on each."""

    def times(self, rounds: int) -> int:
        """How often a period of so many rounds is measured."""
        return -(-rounds // self.every)

    def due(self, round: int, rounds: int) -> bool:
        """Whether it is after this round (from 1) of so many."""
        return round % self.every == 0 or round == rounds


class EvaluationConfig(Table):
    """Central evaluation."""

    every: PositiveInt = 10
    """Rounds between evaluations on validation."""
    k: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (5, 10, 20)
    select: str = "ndcg@10"
    """Validation measure that chooses the parameters which are tested."""
    select_protocol: Literal["full", "sampled-99"] = "full"
    """Which ranking `select` is measured by; `sampled-99`, as in papers, needs `candidates`."""
    candidates: str | None = None
    """File of stored candidates in the data set's folder, or "drawn", 99 items for each user that the user never met, the same in every run: adds
    the sampled-99 protocol, for comparison with papers only."""
    max_users: PositiveInt | None = None
    """Validate on a seeded sample of so many users."""
    max_test_users: PositiveInt | None = None
    """Test on a seeded sample of so many users, where ranking for everybody would take too long; default: all, as published figures want it."""
    slices: bool = True
    devices: DeviceEvaluationConfig | None = None
    """Measure on the devices, too; without it no device is asked how good the model is."""

    @model_validator(mode="after")
    def _consistent(self) -> "EvaluationConfig":
        if self.select_protocol == "sampled-99" and self.candidates is None:
            raise ValueError(
                'select_protocol: "sampled-99" needs evaluation.candidates, a file of them or "drawn"; set it, or select_protocol = "full"'
            )
        return self


class CentralConfig(Table):
    """`everbloom central`: the same model on pooled data, the upper bound."""

    epochs: PositiveInt = 100
    batch: PositiveInt = 64
    """Examples per step."""
    own_negatives: bool = False
    """Every example draws `learning.negatives` of its own; by default a step's examples share them, as a client's do in a round."""
    weighting: Literal["client", "example", "position"] = "client"
    """`client`: every user counts the same, as in a federation; `example`: every example does; `position`: every target does, by its weight."""
    learning_rate: PositiveFloat = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    patience: PositiveInt = 10
    """Epochs without improvement on validation."""
