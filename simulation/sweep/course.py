"""`everbloom sweep`: check everything, run what is left batch by batch, show what was found."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from everbloom.config import RuntimeConfig
from everbloom.errors import ConfigError
from everbloom.study import Study
from simulation.campaign.pictures import drawn
from simulation.campaign.running import checked_study, trained_events
from simulation.campaign.runtime import fastest_runtime
from simulation.commands import study_with_progress
from simulation.sweep.crew import Crew, crew
from simulation.sweep.file import Sweep, load_sweep
from simulation.sweep.history import History, open_history
from simulation.sweep.live import SweepConsole
from simulation.sweep.picture import draw_sweep
from simulation.sweep.record import Record
from simulation.sweep.results import Results, check_outcome, collect
from simulation.sweep.space import Suggested
from simulation.sweep.table import print_results
from simulation.sweep.trial import Outcome, Trial


def run_sweep(path: Path, overrides: Iterable[str], trials: int | None, out: Path | None, console: Console) -> Results:
    """Everything is checked before the first trial runs and before anything is written. The same call again continues; more `trials` extend."""
    sweep = load_sweep(path, overrides)
    wanted = sweep.config.trials if trials is None else trials
    if wanted < 1:
        raise ConfigError(f"--trials {wanted}: expected 1 or more")
    folder = out or Path("runs") / f"{path.stem}-sweep"
    study = checked_study(sweep.base, lambda experiment: study_with_progress(experiment, console))
    _check_validation(study, sweep)
    record = Record(sweep, study.dataset.fingerprint)
    record.check(folder)
    folder.mkdir(parents=True, exist_ok=True)
    record.write(folder)
    with open_history(folder, sweep) as history:
        for note in collect(sweep, history.trials).notes[:1]:
            console.print(f"note: {note}", style="yellow", markup=False, highlight=False, soft_wrap=True)
        course = _Course(sweep, folder, study, wanted, trial_runtime(study, sweep.config.workers))
        results = course.run(history, console)
    check_outcome(results)
    _show(results, folder, console)
    return results


def trial_runtime(study: Study, workers: int) -> RuntimeConfig:
    """On which each run goes; never changes a result. Trials that run at the same time do not share out their clients as well."""
    runtime = study.experiment.runtime
    if workers == 1:
        return fastest_runtime(runtime, trained_events(study))
    return fastest_runtime(runtime, 0.0).model_copy(update={"workers": 1})


@dataclass(frozen=True)
class _Course:
    sweep: Sweep
    folder: Path
    study: Study
    trials: int
    runtime: RuntimeConfig

    def run(self, history: History, console: Console) -> Results:
        config = self.sweep.config
        watcher = SweepConsole(
            console, config.objective.metric, self.study.rounds, config.seeds, self.trials, len(history.trials)
        )
        try:
            if len(history.trials) < self.trials:
                with crew(config.workers) as workers, watcher.watching():
                    while len(history.trials) < self.trials:
                        self._batch(history, workers, watcher)
        except KeyboardInterrupt:
            console.print("interrupted; the same command continues here", style="yellow")
            raise
        results = collect(self.sweep, history.trials)
        results.write(self.folder)
        return results

    def _batch(self, history: History, workers: Crew, watcher: SweepConsole) -> None:
        known = len(history.trials)
        batch = history.batch(self.sweep, self.trials, self.study.rounds, self.sweep.base.evaluation.every)
        watcher.began(batch.values)
        made = {number: self._made(number, values) for number, values in batch.values.items()}
        judge = batch.judge if self.sweep.config.pruner.judges else None
        ran = workers.run([trial for trial in made.values() if isinstance(trial, Trial)], judge, watcher.tell)
        outcomes = {outcome.number: outcome for outcome in (*ran, *made.values()) if isinstance(outcome, Outcome)}
        history.add(batch.ended([outcomes[number] for number in batch.values]))
        results = collect(self.sweep, history.trials)
        results.write(self.folder)
        watcher.ended([trial for trial in results.trials if trial.number >= known], results.best)

    def _made(self, number: int, values: Mapping[str, Suggested]) -> Trial | Outcome:
        """The trial; how it ended, where its values do not fit together."""
        runs = []
        for seed in self.sweep.seeds:
            try:
                experiment = self.sweep.experiment(values, seed).model_copy(update={"runtime": self.runtime})
            except ConfigError as error:
                return Outcome(number, "failed", reason=str(error))
            runs.append((experiment, self.folder / "cells" / f"trial-{number:03}-seed-{seed}"))
        objective = self.sweep.config.objective
        return Trial(number, tuple(runs), objective.metric)


def _check_validation(study: Study, sweep: Sweep) -> None:
    if not any(study.timeline.has(period, "validation") for period in range(study.timeline.periods)):
        raise ConfigError("protocol.validation: no period has a validation part, by which trials could be compared")
    if sweep.config.workers > 1 and sweep.base.runtime.name == "ray":
        raise ConfigError(
            'workers: trials on Ray share its workers; set workers = 1, or runtime.name = "in-process" for trials side by side'
        )


def _show(results: Results, folder: Path, console: Console) -> None:
    print_results(console, results)
    pictures: Sequence[Path] = ()
    if results.best is not None:
        pictures = drawn(console, lambda: [draw_sweep(results, folder / "sweep.png")])
    names = ", ".join(["best.toml", "sweep.csv", "sweep.json", *(path.name for path in pictures)])
    console.print(f"{names}: {folder}", highlight=False, soft_wrap=True)
    if results.best is not None:
        console.print(
            f"the best as an experiment: everbloom run {folder / 'best.toml'}", highlight=False, soft_wrap=True
        )
