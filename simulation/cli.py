"""The `everbloom` command."""

import os
import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from everbloom.errors import ConfigError, InputError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Federated, differentially private, continually learning recommenders: simulate them, deploy them, study them.",
)

Overrides = Annotated[
    list[str],
    typer.Option(
        "--set", "-s", metavar="KEY=VALUE", help="Override one key of the experiment, e.g. federation.rounds=20."
    ),
]
ExperimentFile = Annotated[
    Path | None, typer.Argument(help="An experiment file; default: the embedded one on MovieLens-small.")
]


@app.command()
def run(
    experiment: ExperimentFile = None,
    overrides: Overrides = [],  # noqa: B006 - typer copies it
    out: Annotated[Path | None, typer.Option(help="Run directory; default: a new one under runs/.")] = None,
    runtime: Annotated[str | None, typer.Option(help="in-process, ray or flower; default: the experiment's.")] = None,
    track: Annotated[
        list[str],
        typer.Option(metavar="NAME", help="Log to tensorboard, mlflow or wandb too; may be given several times."),
    ] = [],  # noqa: B006
    resume: Annotated[
        Path | None, typer.Option(help="Continue the run in this directory from its last checkpoint.")
    ] = None,
) -> None:
    """Train a federation and measure it."""
    from simulation.commands import resume_run, start_run

    console = Console()
    if resume is not None:
        if experiment is not None or overrides or out is not None or runtime is not None or track:
            raise ConfigError(
                "--resume continues a run as it was started; it takes no experiment, no -s, no --out, no --runtime and no --track"
            )
        resume_run(resume, console)
    else:
        extra = [f"runtime.name={runtime}"] if runtime else []
        extra += [f"tracking.trackers={track}"] if track else []
        start_run(experiment or default_experiment(), [*overrides, *extra], out, console)


@app.command()
def check(experiment: ExperimentFile = None, overrides: Overrides = []) -> None:  # noqa: B006
    """Print the resolved experiment, what it costs and what it claims; train nothing."""
    from simulation.commands import check_experiment

    check_experiment(experiment or default_experiment(), overrides, Console())


@app.command()
def central(experiment: ExperimentFile = None, overrides: Overrides = []) -> None:  # noqa: B006
    """Train the experiment's model on pooled data: the upper bound."""
    from simulation.commands import run_central

    run_central(experiment or default_experiment(), overrides, Console())


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Where the demo's runs go; a number is added if it exists.")] = Path(
        "runs/demo"
    ),
) -> None:
    """The main job on the embedded data: private federation against popularity, no privacy, and pooled training."""
    from simulation.demo import run_demo

    run_demo(default_experiment(), out, Console())


def default_experiment() -> Path:
    """The embedded experiment: in the wheel's data, or in the checkout."""
    import everbloom

    package = Path(everbloom.__file__).parent
    for folder in (package / "_configs", package.parent / "configs"):
        if (folder / "movielens-small.toml").is_file():
            return folder / "movielens-small.toml"
    raise ConfigError("the embedded experiment movielens-small.toml is not installed; name an experiment file")


def main() -> None:
    """Entry point: what is wrong with the input is one line on stderr and exit code 2; a traceback is a fault of ours."""
    os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")  # nothing about a run leaves the machine
    warnings.filterwarnings("ignore", message="Secure RNG turned off")  # the README's privacy section says so
    from simulation.audit_command import audit
    from simulation.baselines_command import baselines
    from simulation.compare_command import compare
    from simulation.continual_command import continual
    from simulation.data_command import data_app
    from simulation.deploy_command import deploy_app, doctor
    from simulation.export_command import export
    from simulation.feedback_command import feedback
    from simulation.frontier_command import frontier
    from simulation.poison_command import poison
    from simulation.recommend_command import recommend
    from simulation.report_command import report
    from simulation.rolling_command import rolling
    from simulation.sweep_command import sweep
    from simulation.watch_command import watch

    app.add_typer(data_app, name="data")
    app.add_typer(deploy_app, name="deploy")
    app.command()(doctor)
    app.command()(baselines)
    app.command()(frontier)
    app.command()(poison)
    app.command()(continual)
    app.command()(rolling)
    app.command()(sweep)
    app.command()(audit)
    app.command()(feedback)
    app.command()(recommend)
    app.command()(export)
    app.command()(report)
    app.command()(compare)
    app.command()(watch)
    try:
        app()
    except (InputError, FloatingPointError) as error:
        print(f"error: {' '.join(str(error).splitlines())}", file=sys.stderr)  # noqa: T201
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
