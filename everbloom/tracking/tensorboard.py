"""TensorBoard: event files in the run's directory, for `tensorboard --logdir RUN/tensorboard`."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from everbloom.methods import Tracker

if TYPE_CHECKING:
    from everbloom.experiment import Experiment


class TensorBoard(Tracker):
    """Event files in `RUN/tensorboard`. Extra: `tensorboard`."""

    package: ClassVar[str] = "tensorboard"
    name: Literal["tensorboard"]

    def open(self, run: Path, experiment: "Experiment", step: int) -> "EventFiles":
        """What an interrupted run logged after `step` is purged."""
        return EventFiles(run / "tensorboard", experiment.to_toml(), step)


class EventFiles:
    """See `Tracking`."""

    def __init__(self, folder: Path, experiment: str, step: int) -> None:
        from torch.utils.tensorboard.writer import SummaryWriter

        self._writer: Any = SummaryWriter(str(folder), purge_step=step + 1 if step else None)
        if not step:
            self._writer.add_text("experiment", "\n".join(f"    {line}" for line in experiment.splitlines()), 0)

    def log(self, values: Mapping[str, float], step: int) -> None:
        """One point a name."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self, summary: Mapping[str, Any] | None) -> None:
        """Flushes; an event file has no place for a summary but its last points."""
        self._writer.close()
