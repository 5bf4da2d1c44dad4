"""What `everbloom deploy run` and `everbloom deploy fleet` do."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import sleep

from rich.console import Console

from everbloom.errors import ConfigError
from everbloom.experiment import Experiment, load_experiment
from everbloom.privacy.plan import NO_PRIVACY
from everbloom.study import Study
from server.deployment.folder import DeploymentFolder
from server.measuring import check_measurements
from server.run_directory import RunDirectory
from server.warm_start import EarlierRun
from simulation.commands import print_summary, study_with_progress
from simulation.console import RunConsole
from simulation.fleet.fleet import Fleet
from simulation.fleet.people import experiment_of
from simulation.fleet.running import follow_run, start_run
from simulation.processes import processes
from simulation.run import free_directory


def run_on_deployment(
    folder: DeploymentFolder,
    experiment: Path | None,
    overrides: Iterable[str],
    resume: Path | None,
    start_from: Path | None,
    devices: int,
    wait: float,
    detach: bool,
    console: Console,
) -> None:
    """Starts or resumes a run and follows it. Everything that can be checked here is, before any device hears of it."""
    _ = folder.settings
    if resume is None:
        assert experiment is not None
        loaded = _pinned(load_experiment(experiment, overrides))
        out, done = free_directory(folder.runs, loaded.name), 0
    else:
        run = RunDirectory.open(resume)
        loaded, out, done = run.experiment, resume, run.rounds_done()
    study = study_with_progress(loaded, console)
    check_measurements(study)
    if start_from is not None:
        EarlierRun.open(start_from).parameters_for(study)
    console.print(study.plan.describe() if study.plan else NO_PRIVACY, style="dim", highlight=False)
    number = start_run(folder, loaded, out, devices, wait, resume is not None, start_from)
    console.print(f"run {number} started; its records come to {out}", highlight=False, soft_wrap=True)
    if not detach:
        _follow(folder, number, out, study.rounds, done, loaded, console)


def _pinned(experiment: Experiment) -> Experiment:
    """On the data as they are now, so that a resumed run has the same."""
    data = experiment.data
    return experiment.model_copy(update={"data": data.model_copy(update={"source": data.source.pinned()})})


def run_fleet(
    experiment: Path, overrides: Iterable[str], devices: int, out: Path, run: bool, seeded: bool, console: Console
) -> None:
    """Starts a fleet in a new folder; runs the experiment once, or waits for Ctrl-C. Raises `ConfigError` if `out` is not empty."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out}: exists and is not empty; a fleet is made in a new folder (--out)")
    out = out.absolute()
    fleet_experiment = experiment_of(load_experiment(experiment, overrides), devices, out / "data")
    study = study_with_progress(fleet_experiment, console)
    check_measurements(study)
    (out / "experiment.toml").write_text(fleet_experiment.to_toml(), encoding="utf-8")
    with running_fleet(study, out, seeded, console) as fleet:
        _tell(fleet, console)
        if run:
            directory = fleet.server.runs / fleet_experiment.name
            number = start_run(fleet.server, fleet_experiment, directory, devices)
            _follow(fleet.server, number, directory, study.rounds, 0, fleet_experiment, console, fleet)
        else:
            console.print("Ctrl-C stops everything")
            while True:
                fleet.started.check(fleet.parts())
                sleep(0.5)


@contextmanager
def running_fleet(study: Study, out: Path, seeded: bool, console: Console) -> Iterator[Fleet]:
    """A fleet that is stopped cleanly at the end of the block, however that comes. For the main thread."""
    logs = out / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    with processes(logs) as started:
        console.print(
            f"starting the server's parts and {study.clients} devices; logs in {logs}", highlight=False, soft_wrap=True
        )
        fleet = Fleet(study, out, started, seeded)
        try:
            fleet.start()
            yield fleet
        finally:
            fleet.stop()


def _tell(fleet: Fleet, console: Console) -> None:
    server = fleet.server.path
    console.print(
        f"devices connect to {fleet.settings.address}; device folders: {fleet.folder / 'devices'}/0 ...",
        highlight=False,
        soft_wrap=True,
    )
    console.print(f"look:   everbloom deploy status -d {server}", highlight=False, soft_wrap=True)
    console.print(
        f"run:    everbloom deploy run {fleet.folder / 'experiment.toml'} -d {server} --devices {len(fleet.devices)}",
        highlight=False,
        soft_wrap=True,
    )
    console.print(
        f"device: everbloom-device recommend --device {fleet.devices[0].path}", highlight=False, soft_wrap=True
    )


def _follow(
    folder: DeploymentFolder,
    number: int,
    out: Path,
    rounds: int,
    done: int,
    experiment: Experiment,
    console: Console,
    fleet: Fleet | None = None,
) -> None:
    watcher = RunConsole(console, rounds, f"{experiment.name} on devices -> {out}")

    def between() -> None:
        if fleet is not None:
            fleet.started.check(fleet.parts())

    with watcher.watching(done=done):
        summary = follow_run(folder, number, out, watcher, between)
    print_summary(console, summary)
    console.print(f"run directory: {out}", highlight=False, soft_wrap=True)
