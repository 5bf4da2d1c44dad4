"""Which parameters are frozen, shared or personal, and the one flat vector that the shared ones travel as."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from everbloom.errors import SchemaError

Group = Literal["frozen", "shared", "personal"]


@dataclass(frozen=True)
class Slot:
    """One parameter: its name, shape and group, and where the flat vector of its group holds it."""

    name: str
    shape: tuple[int, ...]
    group: Group
    start: int
    end: int


@dataclass(frozen=True)
class ParameterLayout:
    """The order of a model's parameters; equal `schema` on two sides means that flat vectors mean the same."""

    slots: tuple[Slot, ...]

    @classmethod
    def of(cls, model: nn.Module, personal: Iterable[str] = ()) -> "ParameterLayout":
        """Groups: `requires_grad` false is frozen; names that start with one of `personal` are personal; the rest is shared."""
        prefixes = tuple(personal)
        slots, used = [], {"frozen": 0, "shared": 0, "personal": 0}
        for name, parameter in model.named_parameters():
            group: Group = (
                "frozen"
                if not parameter.requires_grad
                else "personal"
                if prefixes and name.startswith(prefixes)
                else "shared"
            )
            start = used[group]
            used[group] = start + parameter.numel()
            slots.append(Slot(name, tuple(parameter.shape), group, start, used[group]))
        return cls(tuple(slots))

    def names(self, group: Group) -> tuple[str, ...]:
        """The parameters of a group, in order."""
        return tuple(slot.name for slot in self.slots if slot.group == group)

    def size(self, group: Group = "shared") -> int:
        """Number of parameters in a group."""
        return max((slot.end for slot in self.slots if slot.group == group), default=0)

    @property
    def schema(self) -> str:
        """Hash of names, shapes and groups in order."""
        rows = [(slot.name, slot.shape, slot.group) for slot in self.slots]
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]

    def check(self, schema: str, whose: str) -> None:
        """Raises `SchemaError` if the other side's schema is not ours."""
        if schema != self.schema:
            raise SchemaError(
                f"{whose} has parameter schema {schema}, this model has {self.schema}: [model] or the catalogue differ"
            )

    def flat(self, model: nn.Module, group: Group = "shared") -> NDArray[np.float32]:
        """[params] float32 copy of a group's parameters."""
        named = dict(model.named_parameters())
        pieces = [named[slot.name].detach().reshape(-1) for slot in self.slots if slot.group == group]
        return torch.cat(pieces).to(torch.float32).cpu().numpy().copy() if pieces else np.zeros(0, dtype=np.float32)

    def bind(self, model: nn.Module, group: Group = "shared") -> torch.Tensor:
        """Makes a group's parameters views of one flat tensor [params] and returns it: to load or read all of them is then one copy."""
        vector = torch.from_numpy(self.flat(model, group))
        named = dict(model.named_parameters())
        for slot in self.slots:
            if slot.group == group:
                named[slot.name].data = vector[slot.start : slot.end].view(slot.shape)
        return vector
