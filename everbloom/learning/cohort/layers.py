"""Layers that take one set of parameters for everybody, or one set for each client; and taps on what goes in and out of them.

The recommender is written for one client. `Layers` changes how its leaf layers compute, not what: a batch holds the rows of its clients one after the
other, so a parameter with a leading client dimension meets its own client's rows in one batched product.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from everbloom.errors import InputError


@dataclass(frozen=True, eq=False)
class Tap:
    """One use of a layer: its name, what its parameters met [examples, ..., in] (for a table: indices), and what came out [examples, ..., out]."""

    layer: str
    met: torch.Tensor
    out: torch.Tensor


class Layers:
    """The leaf layers of one model, whose parameters are replaced for each pass."""

    def __init__(self, model: nn.Module, tables: frozenset[str]) -> None:
        """`tables`: embedding layers of which a pass holds the touched rows only. Takes the model's parameters away, but for frozen ones: `install`
        gives it others.

        Raises `InputError` if a layer with parameters is of a kind that is not known here.
        """
        self.modules: dict[str, nn.Module] = {}
        self.taps: list[Tap] | None = None
        """Uses of layers are added here while it is a list."""
        for name, module in model.named_modules():
            own = [key for key, value in module.named_parameters(recurse=False) if value.requires_grad]
            if not own:
                continue
            forward = _rows_as_installed if name in tables else _FORWARD.get(type(module))
            if forward is None:
                raise InputError(
                    f"model: a whole cohort cannot be trained at once through {name} ({type(module).__name__}); "
                    'set runtime.clients = "one-by-one"'
                )
            self.modules[name] = module
            module.forward = partial(forward, module, self, name)
            for key in own:
                del module._parameters[key]

    def install(self, values: Mapping[str, torch.Tensor]) -> None:
        """Parameters by name: `shape` for everybody or [clients, *shape]; of a table the rows in the order in which they will be asked for."""
        for name, value in values.items():
            layer, _, key = name.rpartition(".")
            setattr(self.modules[layer], key, value)

    def tap(self, layer: str, met: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        """Records a use, if anybody listens; what came out then has a gradient."""
        if self.taps is not None:
            if not out.requires_grad:
                out.requires_grad_()
            self.taps.append(Tap(layer, met, out))
        return out


def _linear(module: Any, layers: Layers, name: str, x: torch.Tensor) -> torch.Tensor:
    weight, bias = module.weight, module.bias
    if weight.dim() == 2:
        return layers.tap(name, x, functional.linear(x, weight, bias))
    rows = x.reshape(len(weight), -1, x.shape[-1])
    out = (
        rows @ weight.transpose(1, 2)
        if bias is None
        else torch.baddbmm(bias.unsqueeze(1), rows, weight.transpose(1, 2))
    )
    return layers.tap(name, x, out.view(*x.shape[:-1], weight.shape[1]))


def _layer_norm(module: Any, layers: Layers, name: str, x: torch.Tensor) -> torch.Tensor:
    weight, bias = module.weight, module.bias
    if weight.dim() == 1 and layers.taps is None:
        return functional.layer_norm(x, module.normalized_shape, weight, bias, module.eps)
    normal = functional.layer_norm(x, module.normalized_shape, None, None, module.eps)
    if weight.dim() == 1:
        return layers.tap(name, normal, normal * weight + bias)
    rows = normal.reshape(len(weight), -1, x.shape[-1])
    return layers.tap(name, normal, torch.addcmul(bias.unsqueeze(1), rows, weight.unsqueeze(1)).view(x.shape))


def _embedding(module: Any, layers: Layers, name: str, index: torch.Tensor) -> torch.Tensor:
    weight = module.weight
    if weight.dim() == 2:
        return layers.tap(name, index, functional.embedding(index, weight))
    clients, rows, width = weight.shape
    offset = torch.arange(clients, device=index.device).unsqueeze(1) * rows
    flat = (index.reshape(clients, -1) + offset).view(index.shape)
    return layers.tap(name, index, functional.embedding(flat, weight.reshape(-1, width)))


def _rows_as_installed(module: Any, layers: Layers, name: str, index: torch.Tensor) -> torch.Tensor:
    """The rows that `index` names were gathered when they were installed."""
    assert module.weight.shape[:-1] == index.shape
    return layers.tap(name, index, module.weight)


_FORWARD: dict[type[nn.Module], Callable[..., torch.Tensor]] = {
    nn.Linear: _linear,
    nn.LayerNorm: _layer_norm,
    nn.Embedding: _embedding,
}
