"""Everything a federation's future depends on: what a checkpoint holds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass
class Best:
    """The parameters that did best on validation in the current period."""

    value: float
    round: int
    parameters: NDArray[np.float32]


@dataclass
class Totals:
    """What the run has cost so far."""

    rounds: int = 0
    clients: int = 0
    failed: int = 0
    unneeded: int = 0
    """Asked beyond the cohort, and not waited for."""
    measurements: int = 0
    """On devices; each is charged like a round."""
    seconds: float = 0.0
    bytes_up: int = 0
    bytes_down: int = 0

    @property
    def charges(self) -> int:
        """What a plan calls rounds."""
        return self.rounds + self.measurements

    def add_round(
        self, *, clients: int, seconds: float, bytes_up: int, bytes_down: int, failed: int = 0, unneeded: int = 0
    ) -> None:
        """Counts one more round that cost this."""
        self.rounds += 1
        self.clients += clients
        self.failed += failed
        self.unneeded += unneeded
        self.seconds += seconds
        self.bytes_up += bytes_up
        self.bytes_down += bytes_down


@dataclass
class FederationState:
    """`round` rounds of `period` are done. [population] int32: `participations`, how often each client was asked; `before`, how often before this
    period; `last_asked`, in which round of the run (from 1; 0 for never).
    """

    parameters: NDArray[np.float32]
    optimizer: dict[str, NDArray[np.float32]]
    participations: NDArray[np.int32]
    before: NDArray[np.int32]
    last_asked: NDArray[np.int32]
    mechanism: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """What the plan's server side knows from round to round."""
    aggregation: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    """What the aggregation rule knows from round to round."""
    memory: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    """What the continual method keeps from period to period."""
    algorithm: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    """What the federated algorithm's server side remembers."""
    period: int = 0
    round: int = 0
    best: Best | None = None
    stale: int = 0
    """Evaluations since the best."""
    stopped: bool = False
    """The current period stopped early."""
    test: list[dict[str, float | int | str]] = field(default_factory=list)
    """Test records over all users so far."""
    clock: float | None = None
    """Simulated seconds since the run began, at the close of the last round; None where time is not simulated."""
    totals: Totals = field(default_factory=Totals)

    def next_period(self) -> None:
        """Moves on to the next period; its rounds begin with a fresh optimizer, unless that is carried on."""
        self.period, self.round, self.best, self.stale, self.stopped = self.period + 1, 0, None, 0, False
