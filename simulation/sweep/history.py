"""The trials so far, in Optuna's SQLite storage, so that its own tools read them; and the next batch, chosen from what came before it.

Choosing goes on in memory: Optuna's storage knows whole batches alone, in their order. What a batch is given is a function of earlier batches and of
seeds, so that a sweep which was killed within a batch chooses the same again.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import InMemoryStorage, RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from everbloom.errors import InputError
from everbloom.seeding import derive
from simulation.sweep.file import Sweep
from simulation.sweep.space import Suggested
from simulation.sweep.trial import Outcome

FILE = "trials.db"
VALUES, REASON = "values", "reason"
"""What a trial's user attributes hold: the value of each run; why it failed."""
_STATES = {"done": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}


class Batch:
    """Trials that run at the same time."""

    def __init__(self, sweep: Sweep, before: Sequence[FrozenTrial], size: int, rounds: int, every: int) -> None:
        """Chooses their values. `rounds`: of a run; `every`: rounds between measurements."""
        self.first = len(before)
        self._study = optuna.create_study(
            storage=InMemoryStorage(),
            study_name=sweep.base.name,
            direction=sweep.config.objective.direction,
            pruner=sweep.config.pruner.open(rounds, every),
        )
        self._study.add_trials(before)
        self._trials: list[optuna.Trial] = []
        space = {key: dimension.distribution for key, dimension in sweep.config.space.items()}
        for number in range(self.first, self.first + size):
            self._study.sampler = sweep.config.sampler.open(derive(sweep.base.seed, "sweep", round=number + 1) % 2**32)
            self._trials.append(self._study.ask(space))

    @property
    def values(self) -> dict[int, Mapping[str, Suggested]]:
        """What each trial is given."""
        return {trial.number: trial.params for trial in self._trials}

    def judge(self, number: int, rounds: int, value: float) -> bool:
        """Whether to give a trial up whose first run has this value after so many rounds."""
        trial = self._trials[number - self.first]
        trial.report(value, rounds)
        return trial.should_prune()

    def ended(self, outcomes: Sequence[Outcome]) -> list[FrozenTrial]:
        """The batch with what became of it."""
        for trial, outcome in zip(self._trials, outcomes, strict=True):
            trial.set_user_attr(VALUES, list(outcome.values))
            if outcome.reason:
                trial.set_user_attr(REASON, outcome.reason)
            value = outcome.value if outcome.status == "done" else None
            self._study.tell(trial, value, state=_STATES[outcome.status])
        return self._study.get_trials()[self.first :]


class History:
    """What stands in the storage."""

    def __init__(self, study: optuna.Study) -> None:
        self._study = study

    @property
    def trials(self) -> list[FrozenTrial]:
        """Those that ended, in their order."""
        return self._study.get_trials()

    def batch(self, sweep: Sweep, trials: int, rounds: int, every: int) -> Batch:
        """The next one of a sweep of so many trials; after a kill between its first trial's record and its last one's, that one again."""
        known = self.trials
        first = len(known) // sweep.config.workers * sweep.config.workers
        return Batch(sweep, known[:first], min(sweep.config.workers, trials - first), rounds, every)

    def add(self, ended: Sequence[FrozenTrial]) -> None:
        """Those that are new."""
        known = len(self.trials)
        self._study.add_trials([trial for trial in ended if trial.number >= known])


@contextmanager
def open_history(folder: Path, sweep: Sweep) -> Iterator[History]:
    """Creates the file if it is not there. Raises `InputError` if it is damaged."""
    path = folder / FILE
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            storage = RDBStorage(f"sqlite:///{path}")
        study = optuna.create_study(
            storage=storage,
            study_name=sweep.base.name,
            direction=sweep.config.objective.direction,
            load_if_exists=True,
        )
    except (SQLAlchemyError, StorageInternalError) as error:
        told = str(error).splitlines()[0]
        raise InputError(
            f"{path}: damaged ({told}); remove it, and finished runs in {folder / 'cells'} are read instead of run again"
        ) from None
    try:
        yield History(study)
    finally:
        storage.remove_session()
        storage.engine.dispose()
