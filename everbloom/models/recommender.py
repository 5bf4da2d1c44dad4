"""The recommender: item encoder, user encoder, score; and beside them a content match, a popularity prior and co-occurrence where asked for."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from everbloom.config import ModelConfig
from everbloom.errors import ConfigError
from everbloom.models.content import ContentMatch
from everbloom.models.cooccurrence import Cooccurrence
from everbloom.models.features.blocks import ItemFeatures
from everbloom.models.features.reduction import PrincipalMap
from everbloom.models.fusion import GatedFusion
from everbloom.models.items import ItemEncoder
from everbloom.models.layout import ParameterLayout
from everbloom.models.prior import PopularityPrior
from everbloom.models.scores import SCORES
from everbloom.models.towers.states import TextStates
from everbloom.models.towers.told import ToldItems
from everbloom.models.towers.user import SequenceUserEncoder, TextUserEncoder
from everbloom.models.users import Circumstances, UserEncoder
from everbloom.seeding import derive

Features = ItemFeatures | NDArray[np.float32]


class CatalogueVectors(NamedTuple):
    """What is scored of items, all or some of them: indices, vectors [items, dim] and biases [items], computed once for given parameters, and the
    features [items, width] that a content match and co-occurrence read.
    """

    items: torch.Tensor
    vectors: torch.Tensor
    bias: torch.Tensor
    features: torch.Tensor | None = None
    whole: bool = False
    """Whether these are all items as they are, in order: then histories' items can be looked up among them."""

    def take(self, which: torch.Tensor) -> "CatalogueVectors":
        """The items at these positions."""
        features = None if self.features is None else self.features[which]
        return CatalogueVectors(self.items[which], self.vectors[which], self.bias[which], features)


class Signals(NamedTuple):
    """What the components beside the encoders know of the candidates, before their few weights; None where there is no such component.

    content [examples, scored, columns, lags], prior [examples, columns, 1], cooccurrence [examples, scored, columns, signals].
    """

    content: torch.Tensor | None = None
    prior: torch.Tensor | None = None
    cooccurrence: torch.Tensor | None = None


class Recommender(nn.Module):
    """score(user's history, item)."""

    def __init__(
        self,
        items: int,
        features: Features | None,
        config: ModelConfig,
        texts: TextStates | None = None,
        told: ToldItems | None = None,
    ) -> None:
        """`features`: the frozen ones of the items' content, whole; an array [items, width] is that of their texts. `texts`: their hidden states,
        where the language model is fine-tuned. `told`: how histories are told, where a language model reads them."""
        super().__init__()
        self.history = config.user.history
        self.personal_layers = config.personal_layers
        whole = ItemFeatures.of(features) if isinstance(features, np.ndarray) else features
        reduced, reduction, fusion = whole, None, None
        if whole is not None and config.items.feature_dim is not None:
            reduction = PrincipalMap.of(whole.matrix[: whole.founding], config.items.feature_dim)
            reduced = ItemFeatures.of(reduction.apply(whole.matrix))
        self.reduction = reduction
        """From whole features to those that the item encoder reads; None: they are the same."""
        if reduced is not None and config.items.modalities and config.items.fusion == "gated":
            fusion = GatedFusion(reduced, config.dim)
        fused = None if reduced is None else torch.from_numpy(reduced.fused())
        self.item = ItemEncoder(items, config.dim, fused, config.items, texts, reduction, fusion)
        self.user = _user_encoder(config, _searches(whole, config, reduction), told)
        if self.user.search is not None and whole is not None:
            _begin_as_items(self.user.search, self.item, whole, config)
        self.score = SCORES[config.score](config.dim)
        self.content = (
            ContentMatch(torch.from_numpy(whole.fused()), config.content)
            if config.content is not None and whole is not None
            else None
        )
        self.prior = None if config.prior is None else PopularityPrior(items, config.prior)
        self.cooccurrence = None
        if config.cooccurrence is not None:
            unit = None if whole is None else functional.normalize(torch.from_numpy(whole.fused()), dim=1)
            self.cooccurrence = Cooccurrence(
                unit if self.content is None else self.content.features, config.cooccurrence
            )
        self.personal = nn.Embedding(1, config.dim) if config.user.personal else None
        """One device's offset of its user vectors; where nobody's device is, that of somebody who has learnt nothing yet."""
        if self.personal is not None:
            nn.init.zeros_(self.personal.weight)

    def forward(
        self,
        items: torch.Tensor,
        circumstances: Circumstances,
        negatives: torch.Tensor,
        place: torch.Tensor | None = None,
        masks: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Scores of the candidates at the scored positions: the example's own items, then the negatives.

        items [examples, positions] int64 (padding at the end), circumstances of these, negatives [groups, k] int64 (examples come in equal groups),
        place [examples, scored] int64 (None: every position), masks: see `UserEncoder` -> [examples, scored, positions + k]. Position t has read
        the items before t only.
        """
        if place is None:
            place = torch.arange(items.shape[1], device=items.device).expand(items.shape)
        own, own_bias = self.item(items)
        users = self.read(own, circumstances, place, masks)
        scores = torch.cat([self.score(users, own, own_bias), self.score(users, *self.item(negatives))], dim=-1)
        return self.mixed(scores, self.signals(items, place, negatives))

    def signals(self, items: torch.Tensor, place: torch.Tensor, negatives: torch.Tensor) -> Signals:
        """Of the candidates of `forward`; they hold no parameter that is learnt."""
        return Signals(
            content=None if self.content is None else self.content.similarities(items, place, negatives),
            prior=None if self.prior is None else self.prior.signals(items, negatives),
            cooccurrence=None if self.cooccurrence is None else self.cooccurrence.signals(items, place, negatives),
        )

    def mixed(self, scores: torch.Tensor, signals: Signals) -> torch.Tensor:
        """Scores [examples, scored, columns] of the encoders, and what each component adds to them."""
        if self.content is not None:
            scores = scores + self.content(signals.content)
        if self.prior is not None:
            scores = scores + self.prior(signals.prior).unsqueeze(1)
        if self.cooccurrence is not None:
            scores = scores + self.cooccurrence(signals.cooccurrence)
        return scores

    def read(
        self, own: torch.Tensor, circumstances: Circumstances, place: torch.Tensor, masks: torch.Tensor | None
    ) -> torch.Tensor:
        """User vectors [examples, scored, dim] at `place` after the vectors `own` [examples, positions, dim] of the items before it."""
        every = place.shape[1] == own.shape[1]
        users: torch.Tensor = self.user(own[:, :-1], circumstances, masks, None if every else place)
        return users if self.personal is None else users + self.personal(_first_row(users))

    def catalogue(self) -> CatalogueVectors:
        """All items' vectors."""
        vectors, bias = self.item.catalogue()
        items = torch.arange(len(vectors), device=vectors.device)
        return CatalogueVectors(items, vectors, bias, compared_by(self), whole=True)

    def rank_catalogue(
        self,
        items: torch.Tensor,
        circumstances: Circumstances,
        length: torch.Tensor,
        catalogue: CatalogueVectors,
        personal: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Scores [users, items] of the catalogue, or of some of it, after histories [users, events] of which the first `length` [users] are real.
        `personal` [users, dim]: their offsets; None: the model's own is everybody's.
        """
        circumstances = circumstances._replace(item=items, length=length)
        users = self.user(self._histories(items, catalogue), circumstances, None, length.unsqueeze(1))
        if personal is not None:
            users = users + personal.unsqueeze(1)
        elif self.personal is not None:
            users = users + self.personal(_first_row(users))
        scores: torch.Tensor = self.score(users, catalogue.vectors.unsqueeze(0), catalogue.bias.unsqueeze(0)).squeeze(1)
        if self.content is not None:
            assert catalogue.features is not None, "a model with a content match has its features"
            scores = scores + self.content.pooled(items, length) @ catalogue.features.T
        if self.prior is not None:
            scores = scores + self.prior.catalogue()[catalogue.items]
        if self.cooccurrence is not None:
            scores = scores + self.cooccurrence.ranked(
                items, length, self.item.items, catalogue.items, catalogue.features
            )
        return scores

    def _histories(self, items: torch.Tensor, catalogue: CatalogueVectors) -> torch.Tensor:
        """Vectors [users, events, dim] of histories' items; a tower's, which are dear, come from the catalogue's where that is whole."""
        if self.item.tower is None or not catalogue.whole:
            vectors: torch.Tensor = self.item(items)[0]
            return vectors
        return functional.embedding(items, catalogue.vectors)


def _user_encoder(
    config: ModelConfig, searches: torch.Tensor | None, told: ToldItems | None
) -> UserEncoder | TextUserEncoder | SequenceUserEncoder:
    tower = config.user.tower
    if tower is None:
        return UserEncoder(config.dim, config.user, searches)
    if tower.reads == "items":
        return SequenceUserEncoder(config)
    assert told is not None, "how histories are told comes with [model.user.tower]"
    return TextUserEncoder(config, told)


def compared_by(model: Recommender) -> torch.Tensor | None:
    """[items, width] the features by which a content match or co-occurrence compares items; None: nothing does."""
    compared = model.cooccurrence if model.content is None else model.content
    return None if compared is None else compared.features


PERSONAL = ("personal.",)
"""Names of a recommender's parameters that never leave a device begin so."""

COUNTED = ("prior.counts",)
"""Those that devices count and do not learn."""


def _searches(
    features: ItemFeatures | None, config: ModelConfig, reduction: PrincipalMap | None
) -> torch.Tensor | None:
    """[texts, width] of what was searched for, if the model reads it; reduced as the items' are."""
    if not config.user.searches:
        return None
    assert features is not None, "the features of searches come with those of items"
    assert features.searches is not None, "the features of searches come with those of items"
    return torch.from_numpy(features.searches if reduction is None else reduction.apply(features.searches))


def _begin_as_items(search: nn.Linear, item: ItemEncoder, features: ItemFeatures, config: ModelConfig) -> None:
    """A search begins as the item of that text: where both read the same features, by the same adapter."""
    block = config.items.text_block
    start = sum(features.widths[:block])
    with torch.no_grad():
        weight = item.fusion.adapters[block].weight if item.fusion is not None else None
        if item.adapter is not None:
            weight = item.adapter.weight[:, start : start + features.widths[block]]
        if isinstance(weight, torch.Tensor) and weight.shape == search.weight.shape:
            search.weight.copy_(weight)
        else:  # the modality's dims reduce the items' features alone
            nn.init.orthogonal_(search.weight)


def _first_row(users: torch.Tensor) -> torch.Tensor:
    """[users, 1] indices of a table's only row."""
    return torch.zeros((len(users), 1), dtype=torch.int64, device=users.device)


def layout_of(model: Recommender) -> ParameterLayout:
    """Which of its parameters are shared, counted, personal and frozen. Raises `ConfigError` if a personal layer is none of the model's."""
    learnt = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    for layer in model.personal_layers:
        if not any(name.startswith(layer) for name in learnt):
            raise ConfigError(
                f"model.personal_layers: no parameter that is learnt begins with {layer!r}; they are: {', '.join(learnt)}"
            )
    layout = ParameterLayout.of(model, (*PERSONAL, *model.personal_layers), COUNTED)
    if not layout.names("shared"):
        raise ConfigError("model.personal_layers: nothing is left to be shared; name fewer layers")
    return layout


def build_recommender(
    items: int,
    features: Features | None,
    config: ModelConfig,
    seed: int,
    texts: TextStates | None = None,
    told: ToldItems | None = None,
) -> Recommender:
    """A freshly initialised recommender; the same on every side that has the same catalogue, configuration and seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "initialise"))
        return Recommender(items, features, config, texts, told)
