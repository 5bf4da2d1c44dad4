"""How an item becomes a vector."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PositiveFloat, PositiveInt, SerializeAsAny, model_validator

from everbloom.config.language_model import TowerConfig
from everbloom.methods import FEATURE_ENCODERS, MODALITIES, FeatureEncoder, Modality
from everbloom.registry import Table


def _modalities(tables: Any) -> Any:
    """Those that are switched off are left out; a table without `name` is the method that its key names."""
    if not isinstance(tables, Mapping):
        return tables
    there = {key: table for key, table in tables.items() if table is not None and table != "none"}
    known = MODALITIES.names()
    return {
        key: {"name": key, **table} if key in known and isinstance(table, Mapping) else table
        for key, table in there.items()
    }


ModalityKey = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$")]


class ItemModelConfig(Table):
    """Item vector = adapter(frozen features) + embedding; and a bias."""

    features: Annotated[SerializeAsAny[FeatureEncoder], BeforeValidator(FEATURE_ENCODERS.parse)] | None = None
    """Of the items' texts: one kind of content, which needs no list of modalities."""
    modalities: Annotated[
        dict[ModalityKey, Annotated[SerializeAsAny[Modality], BeforeValidator(MODALITIES.parse)]],
        BeforeValidator(_modalities),
    ] = Field(default_factory=dict)
    """Instead of `features`: several kinds of content, each a table of its own with a name of your choice, `[model.items.modalities.price]`. Where
    that is a method's, `name` may be left out; `-s model.items.modalities.price=none` switches one off."""
    fusion: Literal["gated", "linear"] = "gated"
    """How modalities become one vector. `gated`: an adapter each, mixed by weights that depend on the item's content; `linear`: one adapter over all
    of them, which is where the gated one starts from. Either way an item that lacks a modality has a vector of the usual length."""
    feature_dim: PositiveInt | None = None
    """Public reduction (PCA over the catalogue) of the features to this width; None keeps them whole."""
    tower: TowerConfig | None = None
    """Fine-tune the language model of `features` itself: an item's features are then what it makes of the text with its adapters, which change
    nothing at first. None: features stay frozen."""
    train_adapter: bool = True
    """False: the adapter stays the orthogonal map it begins as and is not sent, so that of the items' texts nothing is learnt."""
    embedding: bool = True
    """A collaborative vector per item, added to the adapted features."""
    embedding_scale: PositiveFloat = 1.0
    """Unit of the collaborative vectors' parameters. Under a clip norm it decides how much of a gradient's norm, hence of the privacy budget, goes to
    what is known of items beyond their text."""
    bias: Literal["item", "features", "none"] = "item"
    """Popularity bias: one parameter per item, a linear function of the features, or none."""
    bias_scale: PositiveFloat = 1.0
    """Unit of the bias parameters. Under a clip norm it decides how much of a gradient's norm, hence of the privacy budget, goes to popularity."""

    @property
    def described(self) -> bool:
        """Whether items have features of their content."""
        return self.features is not None or bool(self.modalities)

    @property
    def text_block(self) -> int:
        """Which of the modalities is that of texts (the first, if several are); -1: none is."""
        if self.features is not None:
            return 0
        return next((place for place, kind in enumerate(self.modalities.values()) if kind.text_encoder is not None), -1)

    @property
    def text_encoder(self) -> FeatureEncoder | None:
        """What encodes the items' texts."""
        if self.features is not None or self.text_block < 0:
            return self.features
        return list(self.modalities.values())[self.text_block].text_encoder

    @model_validator(mode="after")
    def _one_way_to_say_it(self) -> "ItemModelConfig":
        if self.features is not None and self.modalities:
            raise ValueError(
                "features is the one modality of a model without a list of them; give [model.items.modalities] or features, not both"
            )
        if self.modalities and self.feature_dim is not None:
            raise ValueError("feature_dim belongs to features; give a modality its own dims")
        return self
