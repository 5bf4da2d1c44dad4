"""What `everbloom run` and `everbloom check` do with an experiment that has a [baseline]."""

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from everbloom.experiment import Experiment
from everbloom.memory import peak_bytes
from everbloom.privacy.plan import NO_PRIVACY
from everbloom.study import Study
from server.measuring import MODEL, check_measurements, evaluator_of
from server.run_directory import RunDirectory, refuse_existing
from server.state import FederationState
from server.summary import mean_by_protocol
from server.tracking import tracked
from simulation.console import RunConsole, progress_bar
from simulation.federated_baseline.course import Course, baseline_of, open_baseline


def start_baseline(experiment: Experiment, out: Path, console: Console) -> dict[str, Any]:
    """Trains and tests; everything is checked before the run directory is made."""
    refuse_existing(out)
    study = _opened(experiment, console)
    check_measurements(study)
    return _train(study, RunDirectory.create(out, experiment), console, resume=False)


def resume_baseline(run: RunDirectory, console: Console) -> dict[str, Any]:
    """Goes on from the last checkpoint."""
    return _train(_opened(run.experiment, console), run, console, resume=True)


def check_baseline(experiment: Experiment, console: Console) -> None:
    """The resolved experiment, and what it costs."""
    study = _opened(experiment, console)
    check_measurements(study)
    method = baseline_of(study)
    initial = method.initial(study.clients, len(study.dataset.catalog), experiment.seed)
    up, down = method.traffic(initial)
    console.print(experiment.to_toml(), markup=False, highlight=False, soft_wrap=True)
    table = Table(show_header=False)
    for row in (
        ("published in", method.paper),
        ("users, items, events", f"{study.clients:,}, {len(study.dataset.catalog):,}, {len(study.dataset.events):,}"),
        ("shared parameters", f"{sum(values.numel() for values in initial.shared.values()):,}"),
        ("personal parameters of a client", f"{sum(values[0].numel() for values in initial.personal.values()):,}"),
        ("bytes per client and round, up and down", f"{up:,}, {down:,}"),
    ):
        table.add_row(*row)
    console.print(table)
    console.print(NO_PRIVACY, highlight=False)


def _opened(experiment: Experiment, console: Console) -> Study:
    with progress_bar(console, "preparing data") as preparing:
        study = open_baseline(experiment, preparing)
    evaluator_of(study)
    return study


def _train(study: Study, run: RunDirectory, console: Console, *, resume: bool) -> dict[str, Any]:
    console.print(NO_PRIVACY, style="dim", highlight=False)
    watcher = RunConsole(console, study.experiment.federation.rounds, f"{study.experiment.name} -> {run.path}")
    with tracked(study.experiment, run, watcher) as (told, finish):
        course = Course(study, run, told, resume=resume)
        with watcher.watching(done=course.state.round):
            state = course.run()
        summary = write_baseline_summary(run, study, state)
        finish(summary)
    return summary


def write_baseline_summary(run: RunDirectory, study: Study, state: FederationState) -> dict[str, Any]:
    """Writes and returns `summary.json`, with the keys that every run has."""
    totals, method = state.totals, baseline_of(study)
    initial = method.initial(study.clients, len(study.dataset.catalog), study.experiment.seed)
    others = sorted({str(record["model"]) for record in state.test} - {MODEL})
    summary = {
        "name": study.experiment.name,
        "data": study.dataset.fingerprint,
        "users": study.clients,
        "items": len(study.dataset.catalog),
        "events": len(study.dataset.events),
        "parameters": sum(values.numel() for values in initial.shared.values()),
        "rounds": totals.rounds,
        "clients": totals.clients,
        "failed": totals.failed,
        "seconds": round(totals.seconds, 2),
        "bytes_up": totals.bytes_up,
        "bytes_down": totals.bytes_down,
        "peak_memory_mb": round(peak_bytes() / 1e6, 1),
        "privacy": {"unit": "none", "epsilon": None, "delta": None, "mechanism": "none", "statement": NO_PRIVACY},
        "test": mean_by_protocol(state.test, MODEL),
        "baselines": {model: mean_by_protocol(state.test, model) for model in others},
    }
    run.write("summary.json", json.dumps(summary, indent=2) + "\n")
    return summary
