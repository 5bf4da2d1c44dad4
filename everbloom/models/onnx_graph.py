"""A recommender's user encoder and score as an ONNX graph: what a device without Python needs to rank a catalogue."""

import importlib.util
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from everbloom.errors import ConfigError
from everbloom.models.recommender import CatalogueVectors, Recommender
from everbloom.models.users import Circumstances

OPSET = 18
"""Of the graph."""


class RankingGraph(nn.Module):
    """scores = f(history, what is known beside it, catalogue) of a settled model, for one user at a time.

    Items enter as rows of `vectors`, `bias` and `features`, so that items can be added without a new graph.
    """

    def __init__(self, model: Recommender) -> None:
        super().__init__()
        self.model = model
        self.names = graph_names(model)

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """The inputs of `graph_inputs` in order -> scores [1, items]."""
        given = dict(zip(self.names, inputs, strict=True))
        history, vectors = given["history"], given["vectors"]
        own = nn.functional.embedding(history, vectors)
        length = torch.full((1, 1), history.shape[1], dtype=torch.int64)
        beside = Circumstances(given.get("behaviour", history), given.get("gap"))
        users = self.model.user(own, beside, None, length)
        if "personal" in given:
            users = users + given["personal"].unsqueeze(1)
        scores: torch.Tensor = self.model.score(users, vectors.unsqueeze(0), given["bias"].unsqueeze(0)).squeeze(1)
        if self.model.content is not None:
            scores = scores + self._matched(history, given["features"])
        return scores

    def _matched(self, history: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """[1, items] of the content match, as `ContentMatch.pooled` has it."""
        content = self.model.content
        assert content is not None
        back = history.shape[1] - 1 - torch.arange(content.lags)
        read = nn.functional.embedding(history[0, back.clamp(min=0)], features) * (back >= 0).unsqueeze(1)
        return content.weight.weight @ read @ features.T


def graph_names(model: Recommender) -> tuple[str, ...]:
    """What the graph of a model is given: the history's items first, as rows of the catalogue."""
    asked = {
        "history": True,
        "behaviour": model.user.behaviour is not None,
        "gap": model.user.gap is not None,
        "personal": model.personal is not None,
        "vectors": True,
        "bias": True,
        "features": model.content is not None,
    }
    return tuple(name for name, needed in asked.items() if needed)


def graph_inputs(
    model: Recommender,
    items: torch.Tensor,
    circumstances: Circumstances,
    catalogue: CatalogueVectors,
    personal: torch.Tensor | None = None,
) -> dict[str, torch.Tensor]:
    """name -> tensor: `history` [1, events] int64 rows of the catalogue; if the model reads them `behaviour` [1, events] and `gap` [1, events + 1]
    int64 codes; `personal` [1, dim] float32; `vectors` [items, dim], `bias` [items] and, for a content match, `features` [items, width] float32.
    """
    offset = torch.zeros((1, catalogue.vectors.shape[1])) if personal is None else personal
    known = {
        "history": items,
        "behaviour": circumstances.behaviour,
        "gap": circumstances.gap,
        "personal": offset,
        "vectors": catalogue.vectors,
        "bias": catalogue.bias,
        "features": catalogue.features,
    }
    found = {}
    for name in graph_names(model):
        value = known[name]
        assert value is not None, f"a model that reads {name} has it"
        found[name] = value
    return found


def check_exporter() -> None:
    """Raises `ConfigError` if the packages that write ONNX are missing."""
    if any(importlib.util.find_spec(name) is None for name in ("onnx", "onnxscript")):
        raise ConfigError(
            "export: ONNX needs packages that are not installed; run `pip install 'everbloom[export]'`, or leave it out with --no-onnx"
        )


def write_onnx(model: Recommender, path: Path) -> None:
    """Exports a settled model. Raises `ConfigError` if the packages for it are missing, or if the model reads no history."""
    check_exporter()
    if model.history < 2:
        raise ConfigError("model.user.history: a model that reads no event has no graph; leave it out with --no-onnx")
    example, shapes = _example(model)
    with warnings.catch_warnings(), _quiet("torch.onnx"):
        warnings.simplefilter("ignore")  # of the exporter about itself
        program = torch.onnx.export(
            RankingGraph(model).eval(),
            tuple(example.values()),
            input_names=list(example),
            output_names=["scores"],
            opset_version=OPSET,
            dynamo=True,
            dynamic_shapes=(tuple(shapes[name] for name in example),),
            verbose=False,
        )
    assert program is not None
    for node in program.model.graph:  # where on this machine the code stands that made it
        node.metadata_props.clear()
    program.save(path, external_data=False)


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Within, a logger tells errors alone."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _example(model: Recommender) -> tuple[dict[str, torch.Tensor], dict[str, dict[int, Any]]]:
    """Inputs to trace with, and which of their axes vary."""
    events = min(3, model.history - 1)
    with torch.no_grad():
        catalogue = CatalogueVectors(*(None if part is None else part.clone() for part in model.catalogue()))  # type: ignore[arg-type]
    beside = Circumstances(torch.zeros((1, events), dtype=torch.int64), torch.zeros((1, events + 1), dtype=torch.int64))
    example = graph_inputs(model, torch.zeros((1, events), dtype=torch.int64), beside, catalogue)
    length = torch.export.Dim("events", min=1, max=model.history - 1) if model.history > 2 else None
    rows = torch.export.Dim("items", min=2)
    along: dict[str, dict[int, Any]] = {
        "history": {1: length} if length else {},
        "behaviour": {1: length} if length else {},
        "gap": {1: length + 1} if length else {},
        "vectors": {0: rows},
        "bias": {0: rows},
        "features": {0: rows},
        "personal": {},
    }
    return example, along
