"""What of an item raised its score: its text, each field of it, what is known of it from behaviour, its popularity."""

from collections.abc import Iterator, Mapping
from copy import copy
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.func import functional_call

from everbloom.evaluation.model_scorer import ModelScorer
from everbloom.models.other_content import OtherContent
from everbloom.models.recommender import CatalogueVectors, Recommender, compared_by

CONTENT, COLLABORATIVE, POPULARITY = "content", "collaborative", "popularity"
"""All that is known of the item from its content; the vector that was learnt of the item itself; its bias."""


@dataclass(frozen=True)
class Parts:
    """`catalogues[p]` [items]: what items would be without the part `names[p]`; a field of the text is called `field:NAME`,
    one of several modalities `modality:NAME`."""

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


def parts_of(model: Recommender, without: Mapping[str, OtherContent]) -> Parts:
    """The parts that a settled model's items have, for its present parameters; `without`: part -> the items' content without it, of `TextReader` and
    `without_modalities`.

    What a part adds is what the score loses without it: exact, whatever the score's form. The parts need not add up to the score.
    """
    names, catalogues = [], []
    with torch.inference_mode():
        for name, changed, unit in _changes(model, without):
            index = torch.arange(model.item.items)
            vectors, bias = functional_call(model.item, changed, (index,))
            names.append(name)
            catalogues.append(CatalogueVectors(index, vectors, bias, unit))
    return Parts(tuple(names), tuple(catalogues))


def _changes(
    model: Recommender, without: Mapping[str, OtherContent]
) -> Iterator[tuple[str, dict[str, torch.Tensor], torch.Tensor | None]]:
    """(part, what the item encoder has in place of its own, what items are compared by) for each part."""
    own = dict(model.item.named_parameters())
    unit = compared_by(model)
    if model.item.features is not None:
        for name, content in without.items():
            yield name, content.buffers(), None if unit is None else content.unit
        nothing = {"features": torch.zeros_like(model.item.features)}
        if model.item.fusion is not None:
            nothing["fusion.present"] = torch.zeros_like(model.item.fusion.present)
        yield CONTENT, nothing, None if unit is None else torch.zeros_like(unit)
    if "embedding.weight" in own:
        yield COLLABORATIVE, {"embedding.weight": torch.zeros_like(own["embedding.weight"])}, unit
    biases = {name: torch.zeros_like(value) for name, value in own.items() if name.endswith("_bias.weight")}
    if biases:
        yield POPULARITY, biases, unit


COMPONENTS = {"content": "content match", "prior": "popularity prior", "cooccurrence": "co-occurrence"}
"""What may stand beside the encoders: a model's attribute -> what it is called."""


def components_of(scorer: ModelScorer) -> dict[str, ModelScorer]:
    """component -> the same model without it: what it adds to a score is the difference, exactly."""
    found = {}
    for name, called in COMPONENTS.items():
        if getattr(scorer.model, name) is not None:
            model = copy(scorer.model)
            model._modules = {**scorer.model._modules, name: None}
            found[called] = scorer.with_model(model)
    return found
