"""A recommender as files: its parameters by name, what it knows of the items, and the table that says how it is put together."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from everbloom.config import ModelConfig
from everbloom.errors import CheckpointError
from everbloom.models.recommender import CatalogueVectors, Recommender, build_recommender, layout_of

FORMAT = 1
PARAMETERS, ITEMS, CATALOGUE, CONFIG = "model.safetensors", "items.safetensors", "catalogue.safetensors", "config.json"
NAMES = "items.jsonl"
_SCORED = ("vectors", "bias", "features")


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
    folder: Path,
    items: Iterable[str],
    titles: Iterable[str],
    more: dict[str, Any],
) -> None:
    """Writes a settled model into a folder; `config` is what it was trained as, and `more` is added to `config.json`.

    What devices keep to themselves is not in it.
    """
    layout = layout_of(model)
    named = dict(model.named_parameters())
    shared = {name: named[name].detach().contiguous() for name in layout.names("shared")}
    frozen = {name: named[name].detach().contiguous() for name in layout.names("frozen")}
    save_file({**shared, **frozen}, folder / PARAMETERS)
    save_file({} if model.item.features is None else {"features": model.item.features.contiguous()}, folder / ITEMS)
    with torch.no_grad():
        catalogue = model.catalogue()._asdict()
    scored = {name: catalogue[name].contiguous() for name in _SCORED if catalogue[name] is not None}
    save_file(scored, folder / CATALOGUE)
    with (folder / NAMES).open("w", encoding="utf-8") as stream:
        for item, title in zip(items, titles, strict=True):
            stream.write(json.dumps({"item": item, "title": title}, ensure_ascii=False) + "\n")
    header = {
        "format": FORMAT,
        "items": model.item.items,
        "parameters": layout.size(),
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
        read, scored = load_file(folder / ITEMS).get("features"), load_file(folder / CATALOGUE)
        model = _rebuilt(ModelConfig.model_validate(header["model"]), header["items"], read, scored.get("features"))
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


def _rebuilt(config: ModelConfig, items: int, read: torch.Tensor | None, matched: torch.Tensor | None) -> Recommender:
    """A model with what its item encoder and its content match read of the items' texts."""
    model = build_recommender(items, None if read is None else read.numpy(), config, seed=0).eval()
    if model.content is not None:
        if matched is None:
            raise KeyError("features")
        model.content.features = matched
    return model


def _fill(model: Recommender, parameters: dict[str, torch.Tensor], path: Path) -> None:
    """Gives a model its parameters by name."""
    own = {name: parameter for name, parameter in model.named_parameters() if not name.startswith("personal.")}
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
