"""What of an item raised its score: its text, each field of it, what is known of it from behaviour, its popularity."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.func import functional_call

from everbloom.models.other_texts import OtherTexts
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


def parts_of(model: Recommender, without_fields: Mapping[str, OtherTexts]) -> Parts:
    """The parts that a settled model's items have, for its present parameters; `without_fields`: see `texts_without_fields`.

    What a part adds is what the score loses without it: exact, whatever the score's form. The parts need not add up to the score.
    """
    names, catalogues = [], []
    with torch.inference_mode():
        for name, changed, unit in _changes(model, without_fields):
            index = torch.arange(model.item.items)
            vectors, bias = functional_call(model.item, changed, (index,))
            names.append(name)
            catalogues.append(CatalogueVectors(index, vectors, bias, unit))
    return Parts(tuple(names), tuple(catalogues))


def _changes(
    model: Recommender, without_fields: Mapping[str, OtherTexts]
) -> Iterator[tuple[str, dict[str, torch.Tensor], torch.Tensor | None]]:
    """(part, what the item encoder has in place of its own, what a content match reads) for each part."""
    own = dict(model.item.named_parameters())
    unit = model.catalogue().features
    if model.item.features is not None:
        for field, texts in without_fields.items():
            yield f"field:{field}", {"features": texts.read}, None if unit is None else texts.unit
        nothing = {"features": torch.zeros_like(model.item.features)}
        yield TEXT, nothing, None if unit is None else torch.zeros_like(unit)
    if "embedding.weight" in own:
        yield COLLABORATIVE, {"embedding.weight": torch.zeros_like(own["embedding.weight"])}, unit
    biases = {name: torch.zeros_like(value) for name, value in own.items() if name.endswith("_bias.weight")}
    if biases:
        yield POPULARITY, biases, unit
