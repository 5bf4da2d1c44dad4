"""`everbloom feedback`: check everything, run every loop with every seed, show what came of it."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console

from everbloom.config import FeedbackConfig
from everbloom.errors import ConfigError, InputError
from everbloom.experiment import Experiment, load_experiment
from everbloom.methods import EXPLORATIONS, USER_MODELS, Exploration
from everbloom.privacy.plan import NO_PRIVACY
from everbloom.study import Study
from server.measuring import check_measurements
from server.run_directory import RunDirectory, refuse_existing
from simulation.commands import study_with_progress
from simulation.feedback.arms import arms_of
from simulation.feedback.growth import Growth
from simulation.feedback.loop import Loop
from simulation.feedback.picture import draw_feedback
from simulation.feedback.progress import FeedbackConsole
from simulation.feedback.results import Results
from simulation.feedback.table import print_feedback
from simulation.feedback.tastes import Tastes, open_tastes
from simulation.population.population import open_population
from simulation.run import check_masks, check_memory, check_runtime, free_directory, what_devices_keep


def run_feedback(
    path: Path,
    overrides: Iterable[str],
    user_model: str | None,
    explorations: Iterable[str],
    seeds: int,
    out: Path | None,
    console: Console,
) -> Results:
    """Everything is checked before anything runs or is written."""
    if seeds < 1:
        raise ConfigError(f"--seeds {seeds}: expected 1 or more")
    experiment, feedback = _resolved(load_experiment(path, overrides), user_model, explorations)
    _check_experiment(experiment)
    folder = out or free_directory(Path("runs"), f"{experiment.name}-feedback")
    refuse_existing(folder)
    study = study_with_progress(experiment, console)
    growth = _growth(study, feedback)
    tastes = open_tastes(study, growth.start, feedback)
    _check_study(growth, feedback)
    folder.mkdir(parents=True, exist_ok=True)
    RunDirectory(folder).write("experiment.toml", experiment.to_toml())
    plan = growth.warm_start().plan
    console.print(plan.describe() if plan else NO_PRIVACY, style="dim", highlight=False)
    results = _run(study, feedback, tastes, seeds, folder, console)
    print_feedback(console, results)
    pictured = _picture(results, experiment.name, folder, console)
    console.print(f"feedback.csv, feedback.json{pictured}: {folder}", highlight=False, soft_wrap=True)
    return results


def _run(study: Study, feedback: FeedbackConfig, tastes: Tastes, seeds: int, folder: Path, console: Console) -> Results:
    """The files are written anew after each loop."""
    results, arms, first = Results(), arms_of(feedback), study.experiment.seed
    warm = study.experiment.federation.rounds
    later = (feedback.steps - 1) * (feedback.rounds or warm)
    watcher = FeedbackConsole(console, seeds * (warm + len(arms) * later), feedback.steps)
    with watcher.watching():
        for seed in range(first, first + seeds):
            seeded = replace(study, experiment=study.experiment.model_copy(update={"seed": seed}))
            growth = _growth(seeded, feedback)
            loop = Loop(seeded, feedback, tastes, growth, folder / "runs" / f"seed-{seed}", watcher)
            watcher.now(f"seed {seed}, warm start")
            start = loop.warm_start()
            for arm in arms:
                what = f"seed {seed}, {arm.label}"
                watcher.now(what)
                for record in loop.run(arm, *start):
                    results.add(arm.label, seed, record)
                    watcher.step_done(what, record)
                results.write(study.experiment.name, folder)
    return results


def _growth(study: Study, feedback: FeedbackConfig) -> Growth:
    return Growth(study, feedback.steps, feedback.rounds or study.experiment.federation.rounds)


def _resolved(
    experiment: Experiment, user_model: str | None, explorations: Iterable[str]
) -> tuple[Experiment, FeedbackConfig]:
    """The experiment with what the options ask for in its [feedback]. A name keeps the options that the experiment gives to it."""
    feedback = experiment.feedback or FeedbackConfig()
    change: dict[str, object] = {}
    if user_model is not None and user_model != feedback.user_model.name:
        USER_MODELS.method_class(user_model)
        change["user_model"] = USER_MODELS.parse(user_model)
    words = [word.strip() for text in explorations for word in text.split(",")]
    if words:
        change["explorations"] = tuple(found for word in words for found in _named(feedback, word))
    feedback = feedback.model_copy(update=change)
    return experiment.model_copy(update={"feedback": feedback}), feedback


def _named(feedback: FeedbackConfig, name: str) -> list[Exploration]:
    """The experiment's explorations of this name, else the one with default options. Raises `ConfigError` if there is none."""
    own = [exploration for exploration in feedback.explorations if exploration.name == name]
    EXPLORATIONS.method_class(name)
    return own or [EXPLORATIONS.parse(name)]


def _check_experiment(experiment: Experiment) -> None:
    """Raises `ConfigError` for what is wrong whatever the data."""
    if experiment.runtime.name != "in-process":
        raise ConfigError(
            f'runtime.name = "{experiment.runtime.name}": the loop\'s people live in this process; set it to "in-process"'
        )
    if experiment.protocol.name != "timeline":
        raise ConfigError(
            f'protocol.name = "{experiment.protocol.name}": a loop goes on from a point in time; set it to "timeline"'
        )
    if experiment.data.positives is not None and "click" not in experiment.data.positives:
        raise ConfigError(
            "data.positives: leaves out `click`, so nothing would be learnt from the loop; add click = 1.0 to it"
        )
    if experiment.continual is not None:
        raise ConfigError("[continual]: a loop is trained by plain fine-tuning, step after step; remove the table")
    if experiment.evaluation.devices is not None:
        raise ConfigError(
            "[evaluation.devices]: a loop measures against people's tastes, and no plan of its own covers what devices would tell; remove the table"
        )
    if keeps := what_devices_keep(experiment):
        raise ConfigError(
            f"{keeps}: a loop's devices are made anew at every step and keep nothing but their events; leave it out"
        )
    check_runtime(experiment.runtime)


def _check_study(growth: Growth, feedback: FeedbackConfig) -> None:
    """Raises `InputError` for what does not fit the data."""
    study = growth.warm_start()
    available = int(np.count_nonzero(study.dataset.catalog.first_seen < growth.start))
    if feedback.top_n > available:
        raise ConfigError(f"feedback.top_n: {feedback.top_n} is more than the {available} items of the warm start")
    check_measurements(study)
    check_masks(study)
    check_memory(study)
    open_population(study)


def _picture(results: Results, name: str, folder: Path, console: Console) -> str:
    """Draws it where matplotlib is there; how the last line names it."""
    try:
        draw_feedback(results, name, folder / "feedback.png")
    except InputError as error:
        console.print(f"note: {error}", style="yellow", markup=False, highlight=False, soft_wrap=True)
        return ""
    return ", feedback.png"
