"""Which parameters are frozen, shared or personal, and the one flat vector that the shared ones travel as."""

import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from everbloom.errors import SchemaError

Group = Literal["frozen", "shared", "personal", "counted"]
"""`counted`: travels in the vector of the shared ones, but devices count it and do not learn it."""


@dataclass(frozen=True)
class Slot:
    """One parameter: its name, shape and group, and where the flat vector of its group holds it."""

    name: str
    shape: tuple[int, ...]
    group: Group
    start: int
    end: int

    @property
    def vector(self) -> Group:
        """Whose flat vector holds it."""
        return "shared" if self.group == "counted" else self.group


@dataclass(frozen=True)
class ParameterLayout:
    """The order of a model's parameters; equal `schema` on two sides means that flat vectors mean the same."""

    slots: tuple[Slot, ...]

    @classmethod
    def of(cls, model: nn.Module, personal: Iterable[str] = (), counted: Iterable[str] = ()) -> "ParameterLayout":
        """Groups: the names `counted`; else, `requires_grad` false is frozen; names that start with one of `personal` are personal; the rest is
        shared."""
        prefixes, names = tuple(personal), frozenset(counted)
        rows: list[tuple[str, tuple[int, ...], Group]] = []
        for name, parameter in model.named_parameters():
            group: Group = (
                "counted"
                if name in names
                else "frozen"
                if not parameter.requires_grad
                else "personal"
                if prefixes and name.startswith(prefixes)
                else "shared"
            )
            rows.append((name, tuple(parameter.shape), group))
        return cls.described(rows)

    def names(self, group: Group) -> tuple[str, ...]:
        """The parameters of a group, in order."""
        return tuple(slot.name for slot in self.slots if slot.group == group)

    def size(self, group: Group = "shared") -> int:
        """Number of parameters in a group's vector."""
        return max((slot.end for slot in self.slots if slot.vector == group), default=0)

    @property
    def counted(self) -> slice:
        """Where the shared vector holds what is counted; empty if nothing is."""
        found = [slice(slot.start, slot.end) for slot in self.slots if slot.group == "counted"]
        return found[0] if found else slice(0, 0)

    def description(self) -> list[tuple[str, list[int], str]]:
        """(name, shape, group) of each parameter, for JSON."""
        return [(slot.name, list(slot.shape), slot.group) for slot in self.slots]

    @classmethod
    def described(cls, rows: Sequence[tuple[str, Sequence[int], Group]]) -> "ParameterLayout":
        """The inverse of `description`."""
        slots, used = [], {"frozen": 0, "shared": 0, "personal": 0}
        for name, shape, group in rows:
            slot = Slot(name, tuple(shape), group, 0, 0)
            start = used[slot.vector]
            used[slot.vector] = start + math.prod(slot.shape)
            slots.append(Slot(name, slot.shape, group, start, used[slot.vector]))
        return cls(tuple(slots))

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
        pieces = [named[slot.name].detach().reshape(-1) for slot in self.slots if slot.vector == group]
        return torch.cat(pieces).to(torch.float32).cpu().numpy().copy() if pieces else np.zeros(0, dtype=np.float32)

    def bind(self, model: nn.Module, group: Group = "shared") -> torch.Tensor:
        """Makes a group's parameters views of one flat tensor [params] and returns it: to load or read all of them is then one copy."""
        vector = torch.from_numpy(self.flat(model, group))
        named = dict(model.named_parameters())
        for slot in self.slots:
            if slot.vector == group:
                named[slot.name].data = vector[slot.start : slot.end].view(slot.shape)
        return vector
