"""Where a federation runs, and where its numbers go."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, PositiveInt, SerializeAsAny

from everbloom.methods import TRACKERS, Tracker
from everbloom.registry import Table


class RuntimeConfig(Table):
    """Where clients run; never changes a result beyond floating-point tolerance."""

    name: Literal["in-process", "ray", "flower"] = "in-process"
    clients: Literal["together", "unfolded", "one-by-one"] = "together"
    """in-process and ray: train a cohort in batched operations and answer with sums (`together`) or with one update a client (`unfolded`);
    `one-by-one`: each device through the ClientApp and Opacus, as in a deployment."""
    workers: PositiveInt | Literal["cores"] = 1
    """in-process: processes that clients are spread over; 1 trains them in this one. ray: workers, each with a CPU of its own; `cores`: all CPUs
    of the cluster."""
    memory_mb: PositiveInt | None = None
    """All processes of a simulation together hold at most about so many MB; default: no limit. ray: those of all machines, and without Ray's own."""
    device: Literal["cpu", "cuda", "auto"] = "cpu"
    """Where cohorts are trained; `auto`: on a GPU if there is one."""
    masks: bool = False
    """in-process: under the distributed mechanism, exchange keys and masks as devices do on Flower, device by device. The sums are the same to the
    bit: this tests the protocol, and slows everything down."""
    address: str | None = None
    """ray: an existing cluster, "auto" or e.g. "10.0.0.1:6379"; default: one is started on this machine for the run."""


class TrackingConfig(Table):
    """Where a run's numbers go beside its JSON lines, which are always written; never changes a result."""

    trackers: tuple[Annotated[SerializeAsAny[Tracker], BeforeValidator(TRACKERS.parse)], ...] = ()
    """Names, or tables with a name and options. `everbloom run --track NAME` sets it."""
