"""A recommender as files: its parameters by name, what it knows of the items, and the table that says how it is put together."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from everbloom.config import ModelConfig
from everbloom.errors import CheckpointError
from everbloom.models.features.blocks import ItemFeatures
from everbloom.models.onnx_graph import scored_bias
from everbloom.models.recommender import PERSONAL, CatalogueVectors, Recommender, build_recommender, layout_of

FORMAT = 1
PARAMETERS, ITEMS, CATALOGUE, CONFIG = "model.safetensors", "items.safetensors", "catalogue.safetensors", "config.json"
NAMES = "items.jsonl"


@dataclass(frozen=True, eq=False)
class Exported:
    """What `load_exported` gives: `model` with its parameters, `items` [items] the ids of its items in order, `titles` [items], and `catalogue`, the
    items' vectors.
    """

    model: Recommender
    items: tuple[str, ...]
    titles: tuple[str, ...]
    catalogue: CatalogueVectors


def save_exported(
    model: Recommender,
    config: ModelConfig,
    features: ItemFeatures | None,
    folder: Path,
    items: Iterable[str],
    titles: Iterable[str],
    more: dict[str, Any],
) -> None:
    """Writes a settled model into a folder; `config` is what it was trained as, `features` are whole, and `more` is added to `config.json`.

    What devices keep to themselves is not in it, nor what anybody searched for.
    """
    named = {name: value.detach().contiguous() for name, value in model.named_parameters() if not _kept(name)}
    save_file(named, folder / PARAMETERS)
    save_file(_read(model, features), folder / ITEMS)
    with torch.no_grad():
        catalogue = model.catalogue()
        scored = {"vectors": catalogue.vectors.contiguous(), "bias": scored_bias(model, catalogue).contiguous()}
    if catalogue.features is not None:
        scored["features"] = catalogue.features.contiguous()
    save_file(scored, folder / CATALOGUE)
    with (folder / NAMES).open("w", encoding="utf-8") as stream:
        for item, title in zip(items, titles, strict=True):
            stream.write(json.dumps({"item": item, "title": title}, ensure_ascii=False) + "\n")
    header = {
        "format": FORMAT,
        "items": model.item.items,
        "parameters": layout_of(model).size(),
        "widths": None if features is None else features.widths,
        "search_width": None if model.user.search is None else model.user.search.in_features,
        "model": _settled_config(config).model_dump(mode="json", exclude_none=True),
        **more,
    }
    (folder / CONFIG).write_text(json.dumps(header, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def load_exported(folder: Path) -> Exported:
    """The model that `everbloom export` wrote; needs neither the data set nor the language model that read its texts.

    Raises `CheckpointError` if there is none, or it is damaged or of another version.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise CheckpointError(
            f"{folder}: no exported model here ({CONFIG} is missing); expected what `everbloom export` wrote"
        )
    try:
        header = json.loads(path.read_text(encoding="utf-8"))
        if header["format"] != FORMAT:
            raise CheckpointError(
                f"{path}: written by another version (format {header['format']}); export the run again"
            )
        read, scored = load_file(folder / ITEMS), load_file(folder / CATALOGUE)
        model = _rebuilt(ModelConfig.model_validate(header["model"]), header, read, scored.get("features"))
        _fill(model, load_file(folder / PARAMETERS), path)
        names = [json.loads(line) for line in (folder / NAMES).read_text(encoding="utf-8").splitlines()]
    except (OSError, KeyError, ValueError, TypeError, SafetensorError, ValidationError) as error:
        raise CheckpointError(f"{folder}: damaged export ({_line(error)}); export the run again") from None
    with torch.no_grad():
        catalogue = model.catalogue()
    return Exported(model, tuple(name["item"] for name in names), tuple(name["title"] for name in names), catalogue)


def _settled_config(config: ModelConfig) -> ModelConfig:
    """How a settled model is put together: what it reads of texts is with it."""
    return config.model_copy(update={"items": config.items.model_copy(update={"tower": None, "feature_dim": None})})


def _read(model: Recommender, features: ItemFeatures | None) -> dict[str, torch.Tensor]:
    """What a settled model's item encoder reads: of several modalities every one, else the one as it is reduced, or made by a tower."""
    if features is None or model.item.features is None:
        return {}
    if len(features.names) > 1:
        return {"features": torch.from_numpy(features.matrix), "present": torch.from_numpy(features.present)}
    return {"features": model.item.features.contiguous()}


def _rebuilt(
    config: ModelConfig, header: dict[str, Any], read: dict[str, torch.Tensor], compared: torch.Tensor | None
) -> Recommender:
    """A model with what its item encoder reads of the items, and what it compares them by."""
    features = None
    if "features" in read:
        features = ItemFeatures.of(read["features"].numpy())
    if "present" in read:
        modalities = config.items.modalities
        features = ItemFeatures(
            matrix=read["features"].numpy(),
            names=tuple(modalities),
            widths=tuple(header["widths"]),
            weights=tuple(modality.weight for modality in modalities.values()),
            present=read["present"].numpy(),
        )
    if features is not None and header["search_width"] is not None:
        features = replace(features, searches=np.zeros((0, header["search_width"]), dtype=np.float32))
    model = build_recommender(header["items"], features, config, seed=0).eval()
    for part in (model.content, model.cooccurrence):
        if part is not None and part.features is not None:
            if compared is None:
                raise KeyError("features")
            part.features = compared
    return model


def _kept(name: str) -> bool:
    """Whether a parameter never leaves a device."""
    return name.startswith(PERSONAL)


def _fill(model: Recommender, parameters: dict[str, torch.Tensor], path: Path) -> None:
    """Gives a model its parameters by name."""
    own = {name: parameter for name, parameter in model.named_parameters() if not _kept(name)}
    shapes = {name: tuple(parameter.shape) for name, parameter in own.items()}
    differing = sorted({*shapes.items()} ^ {(name, tuple(value.shape)) for name, value in parameters.items()})
    if differing:
        name, shape = differing[0]
        raise CheckpointError(
            f"{path}: {PARAMETERS} does not fit it, they differ in {name!r} {list(shape)}; export the run again"
        )
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(parameters[name])


def _line(error: Exception) -> str:
    return " ".join(repr(error).splitlines()[:1])[:200]
