"""Branches beside the chosen linear layers of a model's blocks. The layers that are trained always see [examples, rows, width]: so a device's Opacus
takes their gradients example by example, and a cohort gives each client's rows its own weights in one batched product."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from everbloom.config import AdaptersConfig
from everbloom.errors import DataError
from everbloom.models.towers.blocks import Entered, Keys, adapted_blocks, blocks_of


class Grouping:
    """How many examples (or clients) the rows of the current pass come from, in equal parts one after the other."""

    def __init__(self) -> None:
        self.examples = 1


class Adapted(nn.Module):
    """A frozen layer and the branch beside it."""

    def __init__(self, base: nn.Module, branch: nn.Module, grouping: Grouping) -> None:
        super().__init__()
        self.base = base
        self.branch = branch
        self.grouping = grouping

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[rows, tokens, met] -> [rows, tokens, out]."""
        out: torch.Tensor = self.base(x)
        examples = self.grouping.examples
        with torch.autocast(x.device.type, enabled=False):
            added: torch.Tensor = self.branch(
                x.float().reshape(examples, -1, x.shape[-1]), out.float().reshape(examples, -1, out.shape[-1])
            )
        return out + added.view(out.shape).to(out.dtype)


def adapt(model: Any, tower: AdaptersConfig, grouping: Grouping, keys: Keys) -> None:
    """Puts branches into the model's blocks, in place. Raises `DataError` if a layer that is named is not there."""
    blocks = blocks_of(model, keys.model)
    names = tower.modules or tower.adapter.targets(model.config.model_type)
    numbers = adapted_blocks(tower.layers, len(blocks), keys)
    known = dict(_linear_layers(_inner(blocks[numbers[-1]])))
    missing = [name for name in names if not any(_is(name, layer) for layer in known)]
    if missing or not names:
        what = f"no layer of a block is called {missing[0]!r}" if names else "this architecture has no usual ones"
        raise DataError(f"{keys.tower}.modules: {what}; name some of: {', '.join(known)}")
    for number in numbers:
        block = _inner(blocks[number])
        for path, layer in _linear_layers(block):
            if any(_is(name, path) for name in names):
                parent, _, last = path.rpartition(".")
                branch = tower.adapter.branch(*_widths(layer))
                setattr(block.get_submodule(parent), last, Adapted(layer, branch, grouping))


def branches(model: nn.Module) -> Iterator[tuple[str, Adapted]]:
    """(path, layer with its branch) of all that are adapted."""
    for path, module in model.named_modules():
        if isinstance(module, Adapted):
            yield path, module


def _inner(block: nn.Module) -> nn.Module:
    return block.block if isinstance(block, Entered) else block


def _is(name: str, path: str) -> bool:
    """As PEFT matches `target_modules`."""
    return path == name or path.endswith(f".{name}")


def _linear_layers(block: nn.Module) -> list[tuple[str, nn.Module]]:
    """Paths and layers; GPT-2 calls its own kind `Conv1D`."""
    return [
        (path, module)
        for path, module in block.named_modules()
        if isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"
    ]


def _widths(layer: Any) -> tuple[int, int]:
    """(met, out)."""
    if isinstance(layer, nn.Linear):
        return layer.in_features, layer.out_features
    met, out = layer.weight.shape
    return int(met), int(out)
