"""Where the numbers of a run go beside its JSON lines."""

import importlib.util
from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from everbloom.errors import ConfigError
from everbloom.registry import Method, Registry

if TYPE_CHECKING:
    from everbloom.experiment import Experiment
    from everbloom.tracking.tracking import Tracking


class Tracker(Method):
    """Where the numbers of a run's records go beside its JSON lines. It changes no result."""

    package: ClassVar[str]
    """What must be installed."""

    def check(self) -> None:
        """Raises `ConfigError` if the package is not installed."""
        if importlib.util.find_spec(self.package) is None:
            raise ConfigError(
                f"tracking.trackers: {self.package} is not installed; pip install 'everbloom[{self.name}]'"
            )

    @abstractmethod
    def open(self, run: Path, experiment: "Experiment", step: int) -> "Tracking":
        """A run that begins in the directory `run`, or goes on after `step` rounds."""


TRACKERS: Registry[Tracker] = Registry(
    "tracker",
    Tracker,  # type: ignore[type-abstract]
    {
        "tensorboard": "everbloom.tracking.tensorboard:TensorBoard",
        "mlflow": "everbloom.tracking.mlflow:MLflow",
        "wandb": "everbloom.tracking.wandb:WeightsAndBiases",
    },
)
