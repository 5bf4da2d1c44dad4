"""Several models in one vector: some parameters once, the others in a copy for each, under an algorithm that learns such (IFCA)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from everbloom.errors import ConfigError
from everbloom.methods import FederatedAlgorithm
from everbloom.models.layout import Group, ParameterLayout


class Copies:
    """`layout` is that of the vector of all copies: first the model's own order, which is the first copy's, then what each further copy has for
    itself. What is counted, personal or frozen is there once."""

    def __init__(self, model: ParameterLayout, number: int, layers: Sequence[str] = ()) -> None:
        """`model`: of one of them. `layers`: names of parameters of which there is a copy each begin so; none: all that are shared.

        Raises `ConfigError` if a layer is none of the model's that is learnt together.
        """
        shared = model.names("shared")
        for layer in layers:
            if not any(name.startswith(layer) for name in shared):
                raise ConfigError(
                    f"learning.algorithm.layers: no parameter that is learnt together begins with {layer!r}; they are: {', '.join(shared)}"
                )
        apart = {name for name in shared if not layers or name.startswith(tuple(layers))}
        rows: list[tuple[str, Sequence[int], Group]] = [
            (_named(slot.name, 0) if slot.name in apart else slot.name, slot.shape, slot.group) for slot in model.slots
        ]
        copied = [slot for slot in model.slots if slot.name in apart]
        rows += [(_named(slot.name, copy), slot.shape, slot.group) for copy in range(1, number) for slot in copied]
        self.model = model
        self.number = number
        self.layout = ParameterLayout.described(rows)
        starts = {slot.name: slot.start for slot in self.layout.slots}
        self._places = np.empty((number, model.size()), dtype=np.int32)
        for slot in model.slots:
            if slot.vector == "shared":
                for copy in range(number):
                    start = starts[_named(slot.name, copy) if slot.name in apart else slot.name]
                    self._places[copy, slot.start : slot.end] = np.arange(start, start + slot.end - slot.start)

    @classmethod
    def of(cls, model: ParameterLayout, algorithm: FederatedAlgorithm | None) -> "Copies | None":
        """Those that an algorithm learns; None if it learns one model."""
        if algorithm is None or algorithm.copies == 1:
            return None
        return cls(model, algorithm.copies, algorithm.copied)

    def taken(self, vector: NDArray[np.float32], copy: int) -> NDArray[np.float32]:
        """[model's params] of one copy, out of [params]."""
        found: NDArray[np.float32] = vector[self._places[copy]]
        return found

    def put(self, vector: NDArray[np.float32], copy: int, values: NDArray[np.float32]) -> None:
        """Writes one copy's [model's params] into [params], in place; what all share becomes this one's."""
        vector[self._places[copy]] = values

    def add(self, vectors: NDArray[np.float32], copy: int, values: NDArray[np.float32]) -> None:
        """Adds [..., model's params] of one copy to [..., params], in place."""
        vectors[..., self._places[copy]] += values

    def rows(self, starts: NDArray[np.int64]) -> NDArray[np.int64]:
        """[rows] where they begin in the vector of all copies, of `starts` [rows] in a model's."""
        found: NDArray[np.int64] = np.unique(self._places[:, starts]).astype(np.int64)
        return found


def _named(name: str, copy: int) -> str:
    return f"cluster{copy}.{name}"
