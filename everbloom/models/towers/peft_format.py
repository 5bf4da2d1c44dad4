"""Low-rank adapters of a tower as PEFT writes them: `PeftModel.from_pretrained(language_model, folder)` reads them."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from everbloom.config import PACKAGED, FreshModel
from everbloom.models.towers.adapted import Adapted, branches
from everbloom.models.towers.adapters.low_rank import LowRankBranch
from everbloom.models.towers.blocks import Entered

_HUB = {PACKAGED: "sentence-transformers/all-MiniLM-L6-v2"}
"""Where others find what comes as a package."""


def save_adapters(model: nn.Module, base: str | FreshModel, folder: Path) -> bool:
    """Writes the adapters of a tower's language model, cut as it is, into `folder`; `base`: which model it is.

    False, and plain safetensors without `adapter_config.json`, if PEFT has no such adapters (bottlenecks).
    """
    folder.mkdir(parents=True)
    found = dict(_by_own_path(model))
    low_rank = {path: layer for path, layer in found.items() if isinstance(layer.branch, LowRankBranch)}
    if len(low_rank) < len(found):
        tensors = {
            f"{path}.{name}": value.detach().contiguous()
            for path, layer in found.items()
            for name, value in layer.branch.named_parameters()
        }
        save_file(tensors, folder / "adapters.safetensors")
        return False
    tensors = {}
    for path, layer in low_rank.items():
        tensors[f"base_model.model.{path}.lora_A.weight"] = _weight(layer.branch, "a")
        tensors[f"base_model.model.{path}.lora_B.weight"] = _weight(layer.branch, "b")
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    _lora_config(low_rank, base).save_pretrained(str(folder))
    return True


def _lora_config(layers: dict[str, Adapted], base: str | FreshModel) -> Any:
    """How PEFT puts them back: the layers by their full paths."""
    from peft import LoraConfig, TaskType

    one = next(iter(layers.values()))
    branch = one.branch
    assert isinstance(branch, LowRankBranch)
    rank = branch.a.out_features
    return LoraConfig(
        task_type=TaskType.FEATURE_EXTRACTION,
        inference_mode=True,
        r=rank,
        lora_alpha=branch.scale * rank,
        lora_dropout=0.0,
        bias="none",
        target_modules=sorted(layers),
        fan_in_fan_out=type(one.base).__name__ == "Conv1D",
        base_model_name_or_path=_HUB.get(base, base) if isinstance(base, str) else base.model_dump_json(),
    )


def _by_own_path(model: nn.Module) -> list[tuple[str, Adapted]]:
    """(path in the language model as it was before it was cut, layer)."""
    entered = [path for path, module in model.named_modules() if isinstance(module, Entered)]
    found = []
    for path, layer in branches(model):
        for wrapper in entered:
            if path.startswith(f"{wrapper}.block."):
                path = f"{wrapper}.{path.removeprefix(f'{wrapper}.block.')}"
        found.append((path, layer))
    return found


def _weight(branch: nn.Module, name: str) -> torch.Tensor:
    weight = getattr(branch, name).weight
    assert isinstance(weight, torch.Tensor)
    return weight.detach().contiguous()
