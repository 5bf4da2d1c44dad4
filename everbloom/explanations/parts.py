"""What of an item raised its score: its text, each field of it, what is known of it from behaviour, its popularity."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.func import functional_call
from torch.nn import functional

from everbloom.models.features.reduction import project_like
from everbloom.models.recommender import CatalogueVectors, Recommender

TEXT, COLLABORATIVE, POPULARITY = "text", "collaborative", "popularity"
"""The whole text; the vector that was learnt of the item itself; its bias."""


@dataclass(frozen=True)
class Parts:
    """`catalogues[p]` [items]: what items would be without the part `names[p]`; the one that is a field of the text is called `field:NAME`."""

    names: tuple[str, ...]
    catalogues: tuple[CatalogueVectors, ...]

    def beside(self, whole: CatalogueVectors, which: torch.Tensor) -> CatalogueVectors:
        """[items (1 + parts)] the items at these positions as they are, then all of them without each part in turn: scored in one go."""
        taken = [catalogue.take(which) for catalogue in (whole, *self.catalogues)]
        features = (
            None if whole.features is None else torch.cat([one.features for one in taken if one.features is not None])
        )
        return CatalogueVectors(
            torch.cat([one.items for one in taken]),
            torch.cat([one.vectors for one in taken]),
            torch.cat([one.bias for one in taken]),
            features,
        )

    def contributions(self, scores: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """([..., items], [parts, ..., items]) from scores [..., items (1 + parts)] of `beside`: the scores, and how much each part raised them."""
        whole, *others = np.split(scores, 1 + len(self.names), axis=-1)
        return whole, np.stack([whole - other for other in others]) if others else np.zeros(
            (0, *whole.shape), np.float32
        )


def parts_of(
    model: Recommender,
    features: NDArray[np.float32] | None,
    without_fields: Mapping[str, NDArray[np.float32]],
) -> Parts:
    """The parts that a model's items have, for its present parameters. `features` [items, width]: whole ones; `without_fields`: see
    `features_without_fields`.

    What a part adds is what the score loses without it: exact, whatever the score's form. The parts need not add up to the score.
    """
    names, catalogues = [], []
    with torch.inference_mode():
        for name, changed, unit in _changes(model, features, without_fields):
            index = torch.arange(model.item.items)
            vectors, bias = functional_call(model.item, changed, (index,))
            names.append(name)
            catalogues.append(CatalogueVectors(index, vectors, bias, unit))
    return Parts(tuple(names), tuple(catalogues))


def _changes(
    model: Recommender, features: NDArray[np.float32] | None, without_fields: Mapping[str, NDArray[np.float32]]
) -> Iterator[tuple[str, dict[str, torch.Tensor], torch.Tensor | None]]:
    """(part, what the item encoder has in place of its own, what a content match reads) for each part."""
    tensors = {**dict(model.item.named_parameters()), **dict(model.item.named_buffers())}
    unit = None if model.content is None else model.content.features
    if model.item.features is not None and features is not None:
        for field, other in without_fields.items():
            own = {"features": torch.from_numpy(project_like(features, model.feature_dim, other))}
            seen = None if unit is None else functional.normalize(torch.from_numpy(other), dim=1)
            yield f"field:{field}", own, seen
        yield (
            TEXT,
            {"features": torch.zeros_like(model.item.features)},
            None if unit is None else torch.zeros_like(unit),
        )
    if "embedding.weight" in tensors:
        yield COLLABORATIVE, {"embedding.weight": torch.zeros_like(tensors["embedding.weight"])}, unit
    biases = {name: torch.zeros_like(value) for name, value in tensors.items() if name.endswith("_bias.weight")}
    if biases:
        yield POPULARITY, biases, unit
