"""What a process needs to train under given terms: model, layout, plan. Built once and used for every round (in a simulation: for every client)."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from client.scoring import Scoring
from everbloom.compression.codec import Codec
from everbloom.config import LearningConfig
from everbloom.errors import SchemaError
from everbloom.learning.clustered import clustered_update
from everbloom.learning.examples import Examples
from everbloom.learning.local import Draws, LocalTrainer
from everbloom.learning.places import check_places
from everbloom.learning.steering import kept_size
from everbloom.models.compressing import codec_of
from everbloom.models.copies import Copies
from everbloom.models.features.blocks import ItemFeatures
from everbloom.models.layout import ParameterLayout
from everbloom.models.recommender import Recommender, build_recommender, layout_of
from everbloom.models.towers.states import TextStates
from everbloom.models.towers.told import ToldItems
from everbloom.privacy.plan import PrivacyPlan, build_plan
from everbloom.privacy.soundness import check_algorithm, check_compression, check_model
from everbloom.wire import Task, Terms


@dataclass(frozen=True)
class Workbench:
    """`first_seen` [items] of the catalogue. `plan` is the device's own, computed from the terms: the server's word for the noise counts for
    nothing."""

    terms: Terms
    first_seen: NDArray[np.int64]
    model_layout: ParameterLayout
    copies: Copies | None
    plan: PrivacyPlan | None
    model: Recommender

    @property
    def layout(self) -> ParameterLayout:
        """Of what travels: the model's parameters, or those of all copies of it that are learnt side by side."""
        return self.model_layout if self.copies is None else self.copies.layout

    @property
    def kept(self) -> int:
        """Numbers that a device keeps from round to round."""
        return kept_size(self.layout, self.terms.learning)

    @cached_property
    def trainer(self) -> LocalTrainer:
        """Trains one client after another; takes the model for itself."""
        method = self.terms.continual
        distillation = None if method is None else method.distillation
        return LocalTrainer(self.model, self.model_layout, self.learning, self.plan, distillation)

    @property
    def learning(self) -> LearningConfig:
        """What training one model follows: which of several is chosen before."""
        learning = self.terms.learning
        return learning if self.copies is None else learning.model_copy(update={"algorithm": None})

    def update(
        self,
        task: Task,
        examples: Examples,
        negatives: torch.Tensor,
        draws: Draws,
        kept: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """One client's delta [params] of a round. See `LocalTrainer.update`."""
        self.trainer.learn_from(task.teacher)
        if self.copies is None:
            return self.trainer.update(task.parameters, examples, negatives, draws, kept, task.sent)
        return clustered_update(self.trainer, self.copies, task.parameters, examples, negatives, draws, kept)

    @cached_property
    def scoring(self) -> Scoring:
        """Measures for one client after another, with the trainer's model."""
        return Scoring(self.trainer, self.copies)

    @cached_property
    def codec(self) -> Codec | None:
        """What makes updates shorter; None: nothing."""
        return codec_of(self.layout, self.terms.compression)

    def check(self, task: Task) -> None:
        """Raises `SchemaError` if the server's model is another, or what the algorithm has it send beside the model is not there."""
        self.layout.check(task.schema, "the server")
        algorithm = self.terms.learning.algorithm
        if (algorithm is not None and algorithm.sends) != (task.sent is not None):
            raise SchemaError(
                f"the server sent {'no' if task.sent is None else 'a'} vector beside the model, which does not go with its learning.algorithm"
            )
        for vector in (task.parameters, *(extra for extra in (task.teacher, task.sent) if extra is not None)):
            if vector.dtype != np.float32 or vector.shape != (self.layout.size(),):
                raise SchemaError(
                    f"the server sent {vector.dtype} parameters of shape {vector.shape}, "
                    f"this model has float32 of shape ({self.layout.size()},)"
                )


def build_workbench(
    terms: Terms,
    first_seen: NDArray[np.int64],
    features: ItemFeatures | None,
    texts: TextStates | None = None,
    told: ToldItems | None = None,
) -> Workbench:
    """`first_seen` [items]; `texts` where the language model of the items is fine-tuned, `told` where one reads histories.

    Raises `PrivacyError` if the terms' claim cannot be kept, `ConfigError` if the model cannot be asked for the examples' positions.
    """
    model = build_recommender(len(first_seen), features, terms.model, terms.seed, texts, told)
    check_places(model, terms.learning)
    model_layout = layout_of(model)
    copies = Copies.of(model_layout, terms.learning.algorithm)
    layout = model_layout if copies is None else copies.layout
    plan = build_plan(terms.privacy, terms.learning, terms.model, terms.course, layout.size(), terms.continual)
    check_compression(terms.compression, plan, terms.model, terms.learning)
    if plan is not None:
        check_algorithm(plan, terms.learning.algorithm)
        check_model(plan, model, layout.names("personal"))
    return Workbench(terms, first_seen, model_layout, copies, plan, model)
