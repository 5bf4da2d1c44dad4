"""The recommender, put together."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt, model_validator

from everbloom.config.items import ItemModelConfig
from everbloom.config.scores import ContentConfig, CooccurrenceConfig, PriorConfig
from everbloom.config.users import UserModelConfig
from everbloom.registry import Table


class ModelConfig(Table):
    """The recommender."""

    dim: PositiveInt = 64
    items: ItemModelConfig = ItemModelConfig()
    user: UserModelConfig = UserModelConfig()
    content: ContentConfig | None = None
    prior: PriorConfig | None = None
    cooccurrence: CooccurrenceConfig | None = None
    score: Literal["dot", "mlp"] = "dot"
    """`dot`: u . i. `mlp`: W [u, i] with one hidden layer (a purely linear W over the pair would rank items alike for every user)."""
    personal_layers: tuple[Annotated[str, Field(pattern=r"^(user|score|content|cooccurrence)\.")], ...] = ()
    """Layers that stay on each device, by how their parameters' names begin (`user.`, `score.`, `user.blocks.1.`; FedPer, Arivazhagan et al., 2019):
    they are learnt there with `learning.personal_rate`, kept from round to round and never sent."""

    @model_validator(mode="after")
    def _consistent(self) -> "ModelConfig":
        if self.dim % self.user.heads:
            raise ValueError(f"dim {self.dim} must be a multiple of user.heads {self.user.heads}")
        if not self.items.described and not self.items.embedding:
            raise ValueError(
                "items need features or an embedding; set items.embedding = true or give [model.items.features]"
            )
        if not self.items.described and (self.items.feature_dim or self.items.bias == "features" or self.content):
            raise ValueError(
                'items.feature_dim, items.bias = "features" and [model.content] need [model.items.features] or modalities'
            )
        self._check_user_tower()
        encoder = self.items.text_encoder
        if self.user.searches and not (encoder is not None and encoder.of_each_text_alone):
            raise ValueError(
                "user.searches needs items whose texts are encoded one by one, so that a device can encode what was searched for; "
                'set items.features = { name = "lm" }'
            )
        if self.items.tower is not None and not (self.items.features is not None and self.items.features.tunable):
            raise ValueError('[model.items.tower] fine-tunes a language model; set items.features = { name = "lm" }')
        return self

    def counts_in(self, round: int) -> bool:
        """Whether devices count in this round of a period (from 1), and do not learn."""
        return self.prior is not None and round <= self.prior.rounds

    def _check_user_tower(self) -> None:
        tower, user = self.user.tower, self.user
        if tower is None:
            return
        if user.gaps or user.searches or (user.behaviours and tower.reads == "text"):
            key = "gaps" if user.gaps else "searches" if user.searches else "behaviours"
            raise ValueError(f"[model.user.tower] does not read user.{key}; leave it out")
        if tower.reads == "text" and tower.blocks is not None:
            raise ValueError('user.tower.blocks goes with reads = "items": a text is read by the whole model')
        if tower.reads == "text" and user.text.layout != "chronological":
            raise ValueError(
                'user.text.layout = "grouped" tells no order, so there is no place of an event in it; use "chronological" with [model.user.tower]'
            )
