"""What devices do with their examples, and how learning goes on from period to period."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PositiveFloat, PositiveInt, SerializeAsAny

from everbloom.methods import (
    ALGORITHMS,
    CONTINUAL_METHODS,
    OBJECTIVES,
    ContinualMethod,
    FederatedAlgorithm,
    Objective,
)
from everbloom.registry import Table


class LearningConfig(Table):
    """What a client does with its examples. The privacy plan counts `local_steps` and states what an example is."""

    objective: Annotated[SerializeAsAny[Objective], BeforeValidator(OBJECTIVES.parse)] = Field(
        default_factory=lambda: OBJECTIVES.parse({"name": "sampled-softmax"})
    )
    examples: Literal["windows", "next-item"] = "windows"
    """`windows`: pieces of the history of `model.user.history` events, one example each. `next-item`: one example per positive, with the
    `model.user.history - 1` events before it; many more examples, but an event lies in as many as `model.user.history` of them."""
    max_examples: PositiveInt | None = None
    """A client trains on at most this many of its examples a round, drawn anew each round (without privacy only: it would change sensitivity)."""
    negatives: PositiveInt = 256
    """Items drawn uniformly from the catalogue, shared by all examples of a client in a round."""
    local_steps: PositiveInt = 1
    learning_rate: PositiveFloat = 1.0
    personal_rate: PositiveFloat = 0.3
    """With `model.user.personal`, `model.personal_layers` or a model of each device's own: the learning rate of what a device keeps to itself."""
    proximal_mu: Annotated[float, Field(ge=0)] = 0.0
    """FedProx (Li et al., 2020): mu/2 |w - w_global|^2 is added to the local loss."""
    algorithm: Annotated[SerializeAsAny[FederatedAlgorithm], BeforeValidator(ALGORITHMS.parse)] | None = None
    """What devices and server do beyond averaging local gradient steps; none: nothing (FedAvg, under whatever `federation.optimizer`)."""

    @property
    def pull(self) -> float:
        """Strength of the pull towards the parameters that a round begins with, FedProx's and the algorithm's."""
        return self.proximal_mu + (0.0 if self.algorithm is None else self.algorithm.proximal)

    def moves(self, step: int) -> tuple[bool, bool]:
        """Whether a round's local step (from 0) moves the shared parameters, and the personal ones."""
        return (True, True) if self.algorithm is None else self.algorithm.moves(step)

    @property
    def steered(self) -> bool:
        """Whether every step moves every parameter, touched or not."""
        return self.algorithm is not None and self.algorithm.steers

    @property
    def own(self) -> "LearningConfig | None":
        """How a device trains a model for itself beside the shared one: FedProx from where it last was. None: it has no such model."""
        if self.algorithm is None or self.algorithm.own_pull is None:
            return None
        changed = {"algorithm": None, "learning_rate": self.personal_rate, "proximal_mu": self.algorithm.own_pull}
        return self.model_copy(update=changed)


class ContinualConfig(Table):
    """Learning on from period to period, and measuring what is gained and forgotten. Needs the timeline protocol."""

    method: Annotated[SerializeAsAny[ContinualMethod], BeforeValidator(CONTINUAL_METHODS.parse)] = Field(
        default_factory=lambda: CONTINUAL_METHODS.parse("finetune")
    )
    warm_rounds: PositiveInt | None = None
    """Rounds of period 0; default: `federation.rounds`, as in every other period."""
    optimizer: Literal["fresh", "carried"] = "fresh"
    """Whether the server's optimizer starts each period afresh, or goes on with what it knows (never where the model begins anew)."""
    panel: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """This share of the users, drawn by the seed, never trains: what a model remembers of a past period is measured on them. With 0 everybody
    trains, and it is measured on what was learnt."""
    deletion_rate: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """In each period this share of the users known so far deletes all data, for good: they neither train nor are measured from then on."""
