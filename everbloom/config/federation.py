"""The server's side."""

import math
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PositiveFloat, PositiveInt, SerializeAsAny

from everbloom.config.numbers import Fraction
from everbloom.methods import (
    AGGREGATION_RULES,
    COMPRESSIONS,
    SERVER_OPTIMIZERS,
    AggregationRule,
    Compression,
    ServerOptimizer,
)
from everbloom.registry import Table


class EarlyStopConfig(Table):
    """Stop a period when validation stops improving; the best parameters are kept."""

    patience: PositiveInt
    """Evaluations without improvement."""


class FederationConfig(Table):
    """The server's side."""

    rounds: PositiveInt = 100
    """Rounds of learning per period; those that a [model.prior] counts in come before them."""
    cohort: PositiveInt | Fraction = 1.0
    """Clients per round: a number, or a fraction of the population."""
    sampler: Literal["uniform", "poisson"] = "uniform"
    """A fixed-size cohort without replacement, or each client independently with probability cohort / population."""
    over_selection: Annotated[float, Field(ge=0)] = 0.0
    """So many more devices than `cohort` are asked, as a fraction of it; the round closes when `cohort` of them have answered. Favours the fast."""
    optimizer: Annotated[SerializeAsAny[ServerOptimizer], BeforeValidator(SERVER_OPTIMIZERS.parse)] = Field(
        default_factory=lambda: SERVER_OPTIMIZERS.parse({"name": "fedadam"})
    )
    average: Annotated[float, Field(gt=0, lt=1)] | None = None
    """What is measured, chosen and served is the running average of the rounds' models, which keeps this fraction of itself in a round and so reaches
    back over 1 / (1 - average) of them; devices train on the rounds' own models. Costs no privacy. None: the models themselves."""
    aggregation: Annotated[SerializeAsAny[AggregationRule], BeforeValidator(AGGREGATION_RULES.parse)] = Field(
        default_factory=lambda: AGGREGATION_RULES.parse("mean")
    )
    """How a round's updates become one; all but `mean` look at each device's update, and keep a cohort of them in memory."""
    min_replies: PositiveInt = 1
    """A round with fewer replies changes nothing."""
    reply_timeout: PositiveFloat = 600.0
    """The deadline of a round, in seconds: who has not answered by then has failed. Simulated seconds where there is a [population]."""
    checkpoint_every: PositiveInt = 1
    """Rounds between checkpoints."""
    early_stop: EarlyStopConfig | None = None
    compression: Annotated[SerializeAsAny[Compression], BeforeValidator(COMPRESSIONS.parse)] | None = None
    """What updates become on their way to the server; None: four bytes a parameter."""

    def cohort_size(self, population: int) -> int:
        """The (expected) number of clients of a round; at least one."""
        if isinstance(self.cohort, int):
            return min(self.cohort, population)
        return max(1, round(self.cohort * population))

    def asked_size(self, population: int) -> int:
        """The (expected) number of clients that are asked, so that `cohort` of them answer."""
        wanted = self.cohort_size(population)
        more = math.ceil(round(wanted * self.over_selection, 6))  # 0.1 of 30 is 3, in floating point too
        return min(wanted + more, population)
