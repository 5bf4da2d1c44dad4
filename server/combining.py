"""A round's updates on their way to one: added up as they come, or kept apart where the aggregation rule looks at each."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from everbloom.aggregation.updates import Updates
from everbloom.errors import SchemaError
from everbloom.methods import AggregationRule
from everbloom.wire import Update

Arrays = Mapping[str, NDArray[np.float32]]


class Combining(Protocol):
    """One round's."""

    def add(self, update: Update, node: int) -> None:
        """An update that was checked, from the device on this node. Raises `SchemaError` if it cannot be used."""
        ...

    def total(self) -> tuple[NDArray[Any], Arrays]:
        """([numbers] what is opened as a sum over the updates added, the rule's state after it)."""
        ...


@dataclass
class Adding:
    """One sum, whose memory does not grow with the cohort."""

    sum: NDArray[Any]
    state: Arrays

    def add(self, update: Update, node: int) -> None:
        """See `Combining`."""
        self.sum += update.delta

    def total(self) -> tuple[NDArray[Any], Arrays]:
        """See `Combining`."""
        return self.sum, self.state


class Keeping:
    """Every update by itself: [cohort, params] float32. They are combined in the order of clients' numbers, whatever order they come in."""

    def __init__(
        self, rule: AggregationRule, state: Arrays, cohort: Mapping[int, int], rows: NDArray[np.int64], parameters: int
    ) -> None:
        """`cohort`: client number -> node id; `rows`: see `Updates`."""
        self.rule = rule
        self.state = state
        self.rows = rows
        self._place = {cohort[client]: place for place, client in enumerate(sorted(cohort))}
        self._deltas = np.empty((len(cohort), parameters), dtype=np.float32)
        self._came = np.zeros(len(cohort), dtype=np.bool_)

    def add(self, update: Update, node: int) -> None:
        """See `Combining`."""
        place = self._place.get(node)
        if update.clients != 1 or place is None or self._came[place]:
            raise SchemaError(
                f"node {node} sent an update for {update.clients} clients where aggregation rule {self.rule.name!r} takes one of each device asked"
            )
        self._deltas[place], self._came[place] = update.delta, True

    def total(self) -> tuple[NDArray[Any], Arrays]:
        """See `Combining`."""
        deltas = self._deltas if self._came.all() else self._deltas[self._came]
        combined, state = self.rule.combine(self.state, Updates(deltas, self.rows))
        return combined.astype(np.float64) * len(deltas), state
