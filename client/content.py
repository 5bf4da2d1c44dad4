"""What a device's model reads of the catalogue, and of the words that its owner searched for."""

from collections.abc import Sequence
from typing import NamedTuple

from everbloom.config import ModelConfig
from everbloom.data.catalog import Catalog
from everbloom.data.home import feature_cache
from everbloom.models.features.blocks import ItemFeatures
from everbloom.models.features.catalogue import features_of, with_searches
from everbloom.models.towers.states import TextStates, item_states
from everbloom.models.towers.told import ToldItems, told_items


class DeviceContent(NamedTuple):
    """In the order in which `build_recommender` takes them; None is what a model does not read."""

    features: ItemFeatures | None
    texts: TextStates | None
    told: ToldItems | None


def device_content(catalog: Catalog, text: str | None, model: ModelConfig, searches: Sequence[str]) -> DeviceContent:
    """`text`: the template of items' texts; `searches`: the owner's, of which nothing is cached. What follows from the catalogue alone is."""
    features = features_of(catalog, text, model.items, feature_cache(), _quiet)
    return DeviceContent(
        with_searches(features, searches, model, None, _quiet),
        item_states(catalog, text, model.items, feature_cache(), _quiet),
        told_items(catalog, text, model),
    )


def _quiet(done: int, total: int) -> None:
    return
