"""What `everbloom export` writes."""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console

from everbloom.data.events import BEHAVIOURS
from everbloom.errors import ConfigError, InputError
from everbloom.models.exported import CATALOGUE, CONFIG, ITEMS, NAMES, PARAMETERS, save_exported
from everbloom.models.features.language_model import LanguageModelFeatures
from everbloom.models.onnx_graph import OPSET, check_exporter, graph_names, write_onnx
from everbloom.models.recommender import Recommender, compared_by
from everbloom.models.settled import settled
from everbloom.models.towers.peft_format import save_adapters
from server.model_card import model_card
from server.run_directory import RunDirectory
from simulation.trained import Trained, open_trained

GRAPH, TOWER, CARD = "recommender.onnx", "item_tower", "README.md"


def export_run(run: Path, out: Path, onnx: bool, console: Console, progress: Console) -> None:
    """Writes the served model of a run into a new folder, which appears whole or not at all.

    Raises `InputError` if `out` exists, `CheckpointError` if there is no model, `ConfigError` if ONNX is asked for and cannot be made.
    """
    if out.exists():
        raise InputError(f"{out}: exists, and nothing is written over; give another --out")
    if onnx:
        check_exporter()
    if RunDirectory.open(run, "to export").experiment.model.user.tower is not None:
        raise ConfigError(
            "model.user.tower: a model whose histories are read by a language model has no export; export one with the usual user encoder, "
            "or use the run's checkpoint"
        )
    trained = open_trained(run, progress, "to export")
    if trained.study.copies is not None:
        raise ConfigError(
            f"learning.algorithm: {trained.study.copies.number} models were learnt side by side, and an export holds one; use `everbloom recommend`, "
            "or the run's checkpoint"
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        files = _write(trained, draft, onnx)
        for path in draft.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)  # for others, as any file that is made
        draft.chmod(0o755)
        draft.rename(out)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    for name, content in files.items():
        console.print(f"{out / name}: {content}", highlight=False, markup=False, soft_wrap=True)


def _write(trained: Trained, folder: Path, onnx: bool) -> dict[str, str]:
    """name -> what it holds, of all files written."""
    study, model = trained.study, settled(trained.model)
    experiment, catalog = study.experiment, study.dataset.catalog
    titles = catalog.fields.get("title", catalog.item_ids)
    files = {
        PARAMETERS: "the shared parameters by name",
        ITEMS: "what the model reads of the items' content",
        CATALOGUE: "every item as it is scored: `vectors` [items, dim], `bias` [items]"
        + (" and `features` [items, width]" if compared_by(model) is not None else ""),
        NAMES: "the items' ids and titles, a line each, in the order of all of these",
        CONFIG: "how the model is put together",
    }
    about = _about(trained, model, onnx)
    save_exported(model, experiment.model, study.features, folder, catalog.item_ids, titles, about)
    if onnx:
        write_onnx(model, folder / GRAPH)
        files[GRAPH] = f"user encoder and score (ONNX, opset {OPSET})"
    if trained.model.item.tower is not None:
        files |= _adapters(trained, folder)
    (folder / CARD).write_text(model_card(study, _summary(trained), files, onnx), encoding="utf-8")
    return {CARD: "the model card", **files}


def _about(trained: Trained, model: Recommender, onnx: bool) -> dict[str, Any]:
    """What `config.json` says beyond the model itself."""
    experiment = trained.study.experiment
    about: dict[str, Any] = {
        "name": experiment.name,
        "text": experiment.data.text,
        "trained_as": experiment.model.model_dump(mode="json", exclude_none=True),
        "behaviours": BEHAVIOURS,
    }
    if onnx:
        about["onnx"] = {"opset": OPSET, "inputs": graph_names(model), "events": [1, model.history - 1]}
    return about


def _adapters(trained: Trained, folder: Path) -> dict[str, str]:
    tower, features = trained.model.item.tower, trained.study.experiment.model.items.features
    assert tower is not None
    assert isinstance(features, LanguageModelFeatures)
    if save_adapters(tower.model, features.model, folder / TOWER):
        return {f"{TOWER}/": "the language model's adapters: `peft.PeftModel.from_pretrained(language_model, ...)`"}
    return {
        f"{TOWER}/": "the language model's bottleneck adapters, by the paths of their layers; PEFT has none of this kind"
    }


def _summary(trained: Trained) -> dict[str, Any] | None:
    path = trained.run.path / "summary.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
