"""MLflow: a run in a store of the run's directory, or on a server that is named."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from everbloom.methods import Tracker
from everbloom.tracking.tracking import kept_id

if TYPE_CHECKING:
    from everbloom.experiment import Experiment


class MLflow(Tracker):
    """An MLflow run, named like the directory, in the MLflow experiment named like the experiment. Extra: `mlflow`."""

    package: ClassVar[str] = "mlflow"
    name: Literal["mlflow"]
    uri: str | None = None
    """The tracking server or store; default: `mlflow.db` in the run's directory. With a server, the run's records leave this machine."""

    def open(self, run: Path, experiment: "Experiment", step: int) -> "MLflowRun":
        """An interrupted run goes on under its id."""
        uri = self.uri or f"sqlite:///{(run / 'mlflow.db').resolve()}"
        return MLflowRun(run, uri, experiment)


class MLflowRun:
    """See `Tracking`."""

    def __init__(self, run: Path, uri: str, experiment: "Experiment") -> None:
        from mlflow import MlflowClient

        self._client: Any = MlflowClient(tracking_uri=uri)
        kept = run / "mlflow-run"
        new = "" if kept.exists() else self._created(run, experiment.name)
        self._id = kept_id(kept, new)
        if new:
            from mlflow.entities import Param

            tables = _flat(experiment.model_dump(mode="json", exclude_none=True))
            self._client.log_batch(self._id, params=[Param(key, value) for key, value in tables.items()])

    def _created(self, run: Path, name: str) -> str:
        there = self._client.get_experiment_by_name(name)
        files = (run / "mlflow").resolve().as_uri()
        place = there.experiment_id if there else self._client.create_experiment(name, artifact_location=files)
        return str(self._client.create_run(place, run_name=run.name).info.run_id)

    def log(self, values: Mapping[str, float], step: int) -> None:
        """One point a name; `@` is no character of a name there."""
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        metrics = [Metric(name.replace("@", "_at_"), float(value), now, step) for name, value in values.items()]
        self._client.log_batch(self._id, metrics=metrics)

    def close(self, summary: Mapping[str, Any] | None) -> None:
        """FINISHED, or KILLED where the run stopped before its end."""
        if summary is not None:
            self._client.set_tag(self._id, "privacy", summary["privacy"]["statement"])
        self._client.set_terminated(self._id, "FINISHED" if summary is not None else "KILLED")


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in table.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": str(value)}
    return flat
