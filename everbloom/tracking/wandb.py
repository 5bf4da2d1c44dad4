"""Weights & Biases: offline in the run's directory, unless the experiment says otherwise."""

import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from everbloom.methods import Tracker
from everbloom.tracking.tracking import kept_id

if TYPE_CHECKING:
    from everbloom.experiment import Experiment


class WeightsAndBiases(Tracker):
    """A run in the project named like the experiment, kept in `RUN/wandb`; `wandb sync` uploads it, if ever. Extra: `wandb`."""

    package: ClassVar[str] = "wandb"
    name: Literal["wandb"]
    mode: Literal["offline", "online"] = "offline"
    """`online` sends the run's records to the service as they come."""

    def open(self, run: Path, experiment: "Experiment", step: int) -> "WandbRun":
        """An interrupted run goes on under its id."""
        return WandbRun(run, self.mode, experiment)


class WandbRun:
    """See `Tracking`."""

    def __init__(self, run: Path, mode: str, experiment: "Experiment") -> None:
        import wandb

        self._run: Any = wandb.init(
            project=experiment.name,
            name=run.name,
            id=kept_id(run / "wandb-run", uuid.uuid4().hex[:8]),
            resume="allow" if mode == "online" else None,
            mode=mode,
            dir=str(run),
            config=experiment.model_dump(mode="json", exclude_none=True),
            settings=wandb.Settings(silent=True, console="off", disable_git=True, save_code=False),
        )

    def log(self, values: Mapping[str, float], step: int) -> None:
        """All of a step together."""
        self._run.log(dict(values), step=step)

    def close(self, summary: Mapping[str, Any] | None) -> None:
        """The service marks a run that stopped before its end as failed."""
        if summary is not None:
            self._run.summary["privacy"] = summary["privacy"]["statement"]
        self._run.finish(exit_code=0 if summary is not None else 1)
