"""What a sweep found: `sweep.csv`, `sweep.json`, and `best.toml`, an experiment that `everbloom run` takes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

from everbloom.errors import ConfigError
from everbloom.intervals import Estimate
from everbloom.seeding import derive
from server.run_directory import RunDirectory
from simulation.campaign.written import write_comparison
from simulation.sweep.file import Sweep
from simulation.sweep.history import REASON, VALUES
from simulation.sweep.space import Suggested

PRIVATE_SEARCH = (
    "A search over private data costs privacy that no epsilon here covers: which trial is best tells of the people whose events it was measured on "
    "(Papernot & Steinke, ICLR 2022)."
)
_STATUS = {TrialState.COMPLETE: "done", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}
_NEEDED = 4
"""Finished trials without which importances say nothing."""


@dataclass(frozen=True)
class TrialResult:
    """One trial."""

    number: int
    status: str
    values: Mapping[str, Suggested]
    runs: Sequence[float]
    """What each finished run is worth."""
    last_round: int | None
    last: float | None
    """What the first run was worth when it was last judged."""
    reason: str

    @classmethod
    def of(cls, trial: FrozenTrial) -> "TrialResult":
        """From Optuna's record."""
        last_round, last = max(trial.intermediate_values.items(), default=(None, None))
        runs, reason = trial.user_attrs.get(VALUES, []), trial.user_attrs.get(REASON, "")
        return cls(trial.number, _STATUS[trial.state], trial.params, runs, last_round, last, reason)

    @property
    def estimate(self) -> Estimate | None:
        """Mean and interval over seeds; None unless the trial reached its end."""
        return Estimate.of(self.runs) if self.status == "done" else None

    @property
    def value(self) -> float | None:
        """Mean over seeds."""
        return None if self.estimate is None else self.estimate.mean


@dataclass(frozen=True)
class Results:
    """All trials in their order, and what matters."""

    sweep: Sweep
    trials: Sequence[TrialResult]
    importance: Mapping[str, float]
    """Key -> share of the variance between trials that it explains (fANOVA; Hutter et al., ICML 2014); empty for few trials."""

    @property
    def ranked(self) -> list[TrialResult]:
        """Those that reached their end, the best first."""
        sign = -1 if self.sweep.config.objective.direction == "maximize" else 1
        done = [trial for trial in self.trials if trial.value is not None]
        return sorted(done, key=lambda trial: sign * (trial.value or 0.0))

    @property
    def best(self) -> TrialResult | None:
        """None before any trial reached its end."""
        return next(iter(self.ranked), None)

    @property
    def notes(self) -> list[str]:
        """What must be said beside the result."""
        privacy = self.sweep.base.privacy
        if privacy.unit == "none":
            return [PRIVATE_SEARCH]
        return [
            PRIVATE_SEARCH,
            f"Each run keeps its own claim (unit {privacy.unit}); the {len(self.trials)} trials together, and the choice among them, do not. "
            "Search on public or synthetic data, or on people whose privacy is not promised, and train the best with the claim.",
        ]

    def write(self, folder: Path) -> None:
        """Creates or replaces the files; equal sweeps give equal files."""
        told = {
            "experiment": self.sweep.base.name,
            "metric": self.sweep.config.objective.metric,
            "direction": self.sweep.config.objective.direction,
            "seeds": list(self.sweep.seeds),
            "best": None if self.best is None else self.best.number,
            "importance": {key: round(share, 6) for key, share in self.importance.items()},
            "notes": self.notes,
            "trials": [
                {
                    "trial": trial.number,
                    "status": trial.status,
                    "value": None if trial.value is None else round(trial.value, 6),
                    "runs": list(trial.runs),
                    "values": dict(trial.values),
                    **({"reason": trial.reason} if trial.reason else {}),
                }
                for trial in self.trials
            ],
        }
        space = self.sweep.config.space
        write_comparison(folder, "sweep", ("trial", "status", "value", *space, "reason"), map(_row, self.trials), told)
        if self.best is not None:
            RunDirectory(folder).write("best.toml", self._best(self.best))

    def _best(self, best: TrialResult) -> str:
        """With the experiment's own seed, which no trial had: its run is none of those that it was chosen by."""
        metric = self.sweep.config.objective.metric
        head = [
            f"# {named(best.values)}: trial {best.number}, the best of {len(self.trials)}.",
            f"# Validation {metric} {best.estimate} over {len(best.runs)} seed(s), and being the best of many, rather too good.",
            *(f"# {note}" for note in self.notes),
            "#   everbloom run best.toml",
        ]
        return "\n".join(head) + "\n" + self.sweep.experiment(best.values).to_toml()


def collect(sweep: Sweep, trials: Sequence[FrozenTrial]) -> Results:
    """From Optuna's records."""
    return Results(sweep, [TrialResult.of(trial) for trial in trials], _importance(sweep, trials))


def check_outcome(results: Results) -> None:
    """Raises `ConfigError` if all trials failed."""
    if results.trials and all(trial.status == "failed" for trial in results.trials):
        first = results.trials[0]
        raise ConfigError(f"all {len(results.trials)} trials failed; the first ({named(first.values)}): {first.reason}")


def named(values: Mapping[str, Suggested]) -> str:
    """Values by the last words of their keys that tell them apart: learning_rate 0.0123, dim 32."""
    return ", ".join(f"{short(key, values)} {_number(value)}" for key, value in values.items())


def short(key: str, keys: Mapping[str, object]) -> str:
    """The shortest tail of a key that no other one ends with."""
    words = key.split(".")
    for length in range(1, len(words)):
        tail = ".".join(words[-length:])
        if not any(other != key and (other == tail or other.endswith(f".{tail}")) for other in keys):
            return tail
    return key


def shown(value: float | None) -> str:
    """To four decimals; - for None."""
    return "-" if value is None else f"{value:.4f}"


def _number(value: Suggested) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _importance(sweep: Sweep, trials: Sequence[FrozenTrial]) -> dict[str, float]:
    done = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    if len(done) < _NEEDED or len({trial.value for trial in done}) == 1:
        return {}
    study = optuna.create_study(direction=sweep.config.objective.direction)
    study.add_trials(done)
    seed = derive(sweep.base.seed, "sweep-importance") % 2**32
    return dict(get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=seed)))


def _row(trial: TrialResult) -> dict[str, Any]:
    value = "" if trial.value is None else round(trial.value, 6)
    return {**trial.values, "trial": trial.number, "status": trial.status, "value": value, "reason": trial.reason}
