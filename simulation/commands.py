"""What the commands do: open the study, run or check or train centrally, print the result."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from everbloom.errors import ConfigError
from everbloom.experiment import Experiment, load_experiment
from everbloom.models.compressing import codec_of
from everbloom.privacy.plan import NO_PRIVACY
from everbloom.study import Study, open_study
from server.measuring import check_measurements
from server.run_directory import RunDirectory, refuse_existing
from server.tracking import check_tracking
from simulation.central import train_centrally
from simulation.console import RunConsole, elapsed, progress_bar
from simulation.federated_baseline.command import check_baseline, resume_baseline, start_baseline
from simulation.population.forecast import Forecast, forecast
from simulation.population.population import open_population
from simulation.run import check_masks, check_memory, check_personal, check_runtime, free_directory, run_in_process


def start_run(path: Path, overrides: Iterable[str], out: Path | None, console: Console) -> dict[str, Any]:
    """`everbloom run`: everything is checked before the run directory is made."""
    experiment = load_experiment(path, overrides)
    return start_experiment(experiment, out or free_directory(Path("runs"), experiment.name), console)


def start_experiment(experiment: Experiment, path_out: Path, console: Console) -> dict[str, Any]:
    """Runs a resolved experiment; raises `InputError` before anything is written if something is wrong with it."""
    check_tracking(experiment)
    if experiment.baseline is not None:
        summary = start_baseline(experiment, path_out, console)
        print_summary(console, summary)
        _print_place(console, path_out)
        return summary
    if experiment.runtime.name == "flower":
        from simulation.flower import run_on_superlink

        summary = run_on_superlink(experiment, path_out, console)
        print_summary(console, summary)
        _print_place(console, path_out)
        return summary
    refuse_existing(path_out)
    check_runtime(experiment.runtime)
    check_personal(experiment)
    study = study_with_progress(experiment, console)
    check_measurements(study)
    check_masks(study)
    check_memory(study)
    open_population(study)
    run = RunDirectory.create(path_out, experiment)
    return _federate(study, run, console, resume=False)


def resume_run(path: Path, console: Console) -> dict[str, Any]:
    """`everbloom run --resume DIR`."""
    run = RunDirectory.open(path)
    if run.experiment.baseline is not None:
        summary = resume_baseline(run, console)
        print_summary(console, summary)
        _print_place(console, path)
        return summary
    return _federate(study_with_progress(run.experiment, console), run, console, resume=True)


def _federate(study: Study, run: RunDirectory, console: Console, resume: bool) -> dict[str, Any]:
    console.print(study.plan.describe() if study.plan else NO_PRIVACY, style="dim", highlight=False)
    watcher = RunConsole(console, study.rounds, f"{study.experiment.name} -> {run.path}")
    try:
        with watcher.watching(done=run.rounds_done()):
            summary = run_in_process(study, run, watcher, resume)
    except KeyboardInterrupt:
        console.print(f"interrupted; continue with: everbloom run --resume {run.path}", style="yellow")
        raise
    print_summary(console, summary)
    _print_place(console, run.path)
    return summary


def _print_place(console: Console, path: Path) -> None:
    console.print(f"run directory: {path}; a page of it: everbloom report {path}", highlight=False, soft_wrap=True)


def check_experiment(path: Path, overrides: Iterable[str], console: Console) -> None:
    """`everbloom check`."""
    experiment = load_experiment(path, overrides)
    if experiment.baseline is not None:
        check_baseline(experiment, console)
        return
    study = study_with_progress(experiment, console)
    check_measurements(study)
    check_masks(study)
    if experiment.runtime.name != "flower":
        check_memory(study)
    population = open_population(study)
    expected = None if population is None else forecast(study, population)
    console.print(experiment.to_toml(), markup=False, highlight=False, soft_wrap=True)
    console.print(_costs(study, expected))
    console.print(study.plan.describe() if study.plan else NO_PRIVACY, highlight=False)
    for warning in (*_doubts(study), *_population_doubts(expected)):
        console.print(f"note: {warning}", style="yellow", highlight=False, soft_wrap=True)


def run_central(path: Path, overrides: Iterable[str], console: Console) -> dict[str, dict[str, float]]:
    """`everbloom central`: prints an epoch a line and the test measures, and returns them."""
    experiment = load_experiment(path, overrides)
    if experiment.model.user.personal:
        raise ConfigError(
            "model.user.personal: pooled training has no devices that could learn for themselves; add -s model.user.personal=false"
        )
    if experiment.model.personal_layers:
        raise ConfigError(
            "model.personal_layers: pooled training has no devices that could learn for themselves; leave them out"
        )
    study = study_with_progress(experiment, console)
    select = study.experiment.evaluation.select

    def tell(epoch: int, loss: float, value: float) -> None:
        console.print(f"epoch {epoch}: loss {loss:.4f}, validation {select} {value:.4f}", highlight=False)

    test, _ = train_centrally(study, tell)
    console.print(comparison({"central": test}))
    return test


def study_with_progress(experiment: Experiment, console: Console) -> Study:
    """Opens the study with bars for what takes long the first time."""
    with progress_bar(console, "preparing data") as preparing, progress_bar(console, "encoding items") as encoding:
        return open_study(experiment, preparing, encoding)


def print_summary(console: Console, summary: Mapping[str, Any]) -> None:
    """What was reached beside the baselines, and what it cost."""
    console.print(comparison({"federated": summary["test"], **summary["baselines"]}))
    privacy = summary["privacy"]
    spent = (
        "no privacy"
        if privacy["epsilon"] is None
        else f"epsilon {privacy['epsilon']:.3g} at delta {privacy['delta']:g} spent"
    )
    unneeded = f", {summary['unneeded']} not needed" if "unneeded" in summary else ""
    simulated = f" ({elapsed(summary['simulated_seconds'])} simulated)" if "simulated_seconds" in summary else ""
    console.print(
        f"{summary['rounds']} rounds, {summary['clients']} client updates, {summary['failed']} failed{unneeded}, "
        f"{summary['seconds']:.0f} s{simulated}; "
        f"{summary['bytes_up'] / 1e6:.0f} MB up, {summary['bytes_down'] / 1e6:.0f} MB down; {spent}",
        highlight=False,
        soft_wrap=True,
    )


def comparison(models: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Table:
    """model -> protocol -> measure -> value, as a table of what fits a line."""
    table = Table(title="test", title_justify="left")
    shown = ("hr@10", "ndcg@10", "mrr@10", "coverage@10")
    for name in ("model", "ranking", *shown):
        table.add_column(name, justify="left" if name in ("model", "ranking") else "right", no_wrap=True)
    for model, protocols in models.items():
        for protocol, values in protocols.items():
            table.add_row(model, protocol, *(f"{values[name]:.4f}" if name in values else "-" for name in shown))
    return table


def _costs(study: Study, expected: Forecast | None) -> Table:
    """Parameters, bytes; with privacy, noise against signal; with a population, who is there and who answers."""
    table = Table(show_header=False)
    parameters = study.layout.size()
    cohort = study.experiment.federation.cohort_size(study.clients)
    rows: list[tuple[str, str]] = [
        ("users, items, events", f"{study.clients:,}, {len(study.dataset.catalog):,}, {len(study.dataset.events):,}"),
        ("periods, rounds", f"{study.timeline.periods}, {study.rounds}"),
        ("shared parameters", f"{parameters:,}"),
        *_bytes(study),
        ("clients per round", f"{cohort:,}"),
    ]
    if study.features is not None:
        rows.append(("content of items", "; ".join(study.features.coverage())))
    if study.plan is not None:
        rows += [
            ("epsilon after all rounds of a device", f"{study.plan.epsilon:.4g} at delta {study.plan.delta:g}"),
            ("noise multiplier", f"{study.plan.noise_multiplier:.4g}"),
            ("noise on the mean update, in clip norms", f"{study.plan.noise_to_clip(parameters, cohort):.3g}"),
        ]
    if expected is not None:
        rows += _expectations(expected)
    for row in rows:
        table.add_row(*row)
    return table


def _bytes(study: Study) -> list[tuple[str, str]]:
    """What one client's round moves."""
    model = f"{4 * study.layout.size():,}"
    codec = codec_of(study.layout, study.experiment.federation.compression)
    if codec is None:
        return [("bytes per client and round, each way", model)]
    return [("bytes per client and round, up", f"{codec.size:,}"), ("bytes per client and round, down", model)]


def _expectations(expected: Forecast) -> list[tuple[str, str]]:
    """What the population implies for a round."""
    there = f"{expected.mean:.1%} on average"
    if expected.lowest < expected.highest:
        there += f"; {expected.lowest:.1%} (at {elapsed(expected.lowest_at)}) to {expected.highest:.1%} (at {elapsed(expected.highest_at)})"
    return [
        ("devices that can be asked, over the day", there),
        (
            "a round's devices, on average",
            f"{expected.asked:.1f} asked: {expected.answers:.1f} answer, {expected.failed:.1f} fail, {expected.unneeded:.1f} not needed",
        ),
        ("a round's simulated time, on average", elapsed(expected.seconds)),
    ]


def _population_doubts(expected: Forecast | None) -> Sequence[str]:
    """A population that hardly lets a federation work."""
    if expected is None:
        return []
    doubts = []
    if expected.failing > 0.5:
        doubts.append(
            f"{expected.failing:.0%} of the devices that are asked fail: a longer federation.reply_timeout would spare their work"
        )
    if expected.void > 0.05:
        doubts.append(
            f"{expected.void:.0%} of the rounds get fewer than federation.min_replies answers and change nothing"
        )
    if expected.answers < 0.9 * expected.wanted and expected.failing <= 0.5:
        doubts.append(
            f"a round gets {expected.answers:.1f} answers of the {expected.wanted} that federation.cohort asks for; "
            "federation.over_selection would ask more, where more are there"
        )
    return doubts


def _doubts(study: Study) -> Sequence[str]:
    """What is allowed but probably not meant."""
    doubts = []
    plan, federation = study.plan, study.experiment.federation
    cohort = federation.cohort_size(study.clients)
    if plan is not None and (ratio := plan.noise_to_clip(study.layout.size(), cohort)) > 0.5:
        doubts.append(
            f"the noise on a mean update is {ratio:.2g} clip norms, more than its signal can be: fewer parameters, a larger cohort or a larger budget"
        )
    if plan is not None and plan.delta > 1e-2:
        doubts.append(f"delta {plan.delta:g} is no meaningful guarantee")
    if federation.min_replies > cohort:
        doubts.append(
            f"federation.min_replies {federation.min_replies} is more than a cohort of {cohort}: no round will change anything"
        )
    return doubts
