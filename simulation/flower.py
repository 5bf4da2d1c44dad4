"""An experiment on Flower itself: a SuperLink and one SuperNode per user on this machine's loopback, and `flwr run` of the app.

The slow and complete way: every message crosses process and network borders as it would between real devices, and each device holds its own
user's events alone. It gives the in-process result to floating-point tolerance.
"""

import json
import os
import shutil
import subprocess
import sysconfig
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import tomli_w
from rich.console import Console

import everbloom
from everbloom.errors import InputError
from everbloom.experiment import Experiment
from everbloom.privacy.plan import NO_PRIVACY
from everbloom.study import Study, open_study
from server.measuring import check_measurements
from server.run_directory import refuse_existing
from simulation.console import RunConsole, progress_bar
from simulation.export import export_device, introduce
from simulation.processes import Processes, answers, free_ports, processes
from simulation.tail import Tail

MOST_DEVICES = 16
_START_SECONDS = 60.0
_LINK = "superlink"
_EXEC = "superexec"
_RUN = "run"


def run_on_superlink(experiment: Experiment, out: Path, console: Console) -> dict[str, Any]:
    """Runs an experiment in `out` and returns its summary. An interrupted run can be resumed, in process.

    Raises `InputError` if there are too many users, if `out` exists, if the app's source is not here, or if the run fails. Logs are kept if the run
    or a device failed.
    """
    app = app_directory()
    refuse_existing(out)
    with progress_bar(console, "preparing data") as preparing, progress_bar(console, "encoding items") as encoding:
        study = open_study(experiment, preparing, encoding)
    study.check_central("a rehearsal on Flower")
    if study.clients > MOST_DEVICES:
        raise InputError(
            f"runtime flower starts one SuperNode of some 250 MB for each of the {study.clients} users, at most {MOST_DEVICES}; "
            "use --runtime in-process, or fewer users"
        )
    check_measurements(study)
    if experiment.population is not None:
        console.print(
            "note: on Flower devices come and go by themselves; [population] is not read",
            style="yellow",
            highlight=False,
        )
    console.print(study.plan.describe() if study.plan else NO_PRIVACY, style="dim", highlight=False)
    logs = Path(tempfile.mkdtemp(prefix="everbloom-flower-logs-"))
    with tempfile.TemporaryDirectory(prefix="everbloom-flower-", ignore_cleanup_errors=True) as folder:
        _Federation(study, app, out.resolve(), Path(folder), logs).run(console)
    summary: dict[str, Any] = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    if not summary["failed"]:
        shutil.rmtree(logs)
    return summary


def app_directory() -> Path:
    """The checkout, which is what `flwr run` bundles. Raises `InputError` if everbloom is installed without one."""
    root = Path(everbloom.__file__).resolve().parent.parent
    if not (root / "pyproject.toml").is_file():
        raise InputError(
            f"runtime flower bundles everbloom's source, and {root} is an installation without pyproject.toml; "
            "clone the repository and install it with: pip install -e ."
        )
    return root


def copy_app(root: Path, folder: Path) -> Path:
    """Copies what pyproject.toml bundles: `flwr run` reads every file below the folder that it is given first, environments and runs too."""
    description = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    for pattern in ["pyproject.toml", ".gitignore", *description["tool"]["flwr"]["app"]["fab-include"]]:
        for source in root.glob(pattern):
            target = folder / source.relative_to(root)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    return folder


def scripts_folder() -> Path:
    """Where this environment keeps its commands: an environment need not be activated for its Python to run."""
    return Path(sysconfig.get_path("scripts"))


class _Federation:
    """The processes of one run. `folder` is scratch: devices, Flower's own files."""

    def __init__(self, study: Study, app: Path, out: Path, folder: Path, logs: Path) -> None:
        self.study = study
        self.app = copy_app(app, folder / "app")
        self.out = out
        self.folder = folder
        self.logs = logs
        self.scripts = scripts_folder()
        self.nodes = [f"supernode-{user}" for user in range(study.clients)]

    def run(self, console: Console) -> None:
        """Starts everything, shows the run's records as they appear, stops everything. Raises `InputError` if there is no summary at the end."""
        watcher = RunConsole(console, self.study.rounds, f"{self.study.experiment.name} on Flower -> {self.out}")
        with processes(self.logs) as started:
            console.print(
                f"starting a SuperLink and {len(self.nodes)} SuperNodes; logs in {self.logs}", highlight=False
            )
            run = self._start(started)
            with watcher.watching(done=0):
                for name, record in self._records(started, run):
                    if name == "rounds":
                        watcher.round_done(record, [f"see {self.logs}"] * record["failed"])
                    else:
                        watcher.measured([record])
        if not (self.out / "summary.json").is_file():
            raise InputError(f"the run on Flower failed: {_reason(started.log(_RUN))}; its log is {started.log(_RUN)}")

    def _start(self, started: Processes) -> subprocess.Popen[bytes]:
        """SuperLink, SuperNodes, the SuperExec that runs the ServerApp, and last `flwr run`, which ends with the run."""
        link, *ports = free_ports(1 + len(self.nodes))
        address = f"127.0.0.1:{link}"
        here = ["--insecure", "--host", "127.0.0.1", "--port"]
        # A SuperLink left to itself puts its SuperExec into a session of its own, where it would outlive us for a while.
        self._launch(started, _LINK, ["flower-superlink", *here, str(link), "--isolation", "process"])
        for config, name, port in zip(self._devices(), self.nodes, ports, strict=True):
            node = ["flower-supernode", *here, str(port), "--superlink", address, "--node-config", config]
            self._launch(started, name, node, OMP_NUM_THREADS="1")
        deadline = time.monotonic() + _START_SECONDS
        while not answers(link):
            started.check([_LINK])
            if time.monotonic() > deadline:
                raise InputError(
                    f"the SuperLink did not come up in {_START_SECONDS:.0f} s; its log is {started.log(_LINK)}"
                )
            time.sleep(0.1)
        self._launch(started, _EXEC, ["flower-superexec", "--insecure", "--runtime-api-address", address])
        return self._launch(started, _RUN, self._flwr_run(address))

    def _devices(self) -> list[str]:
        """Makes every user's device; the SuperNodes' configurations, which say where they are."""
        stores = [
            export_device(self.study, user, self.folder / "devices" / str(user)) for user in range(len(self.nodes))
        ]
        introduce(stores)
        return [f"store={json.dumps(str(store.folder))}" for store in stores]

    def _launch(
        self, started: Processes, name: str, command: Sequence[str], **environment: str
    ) -> subprocess.Popen[bytes]:
        script, *arguments = command
        return started.start(name, [str(self.scripts / script), *arguments], self._environment(name) | environment)

    def _flwr_run(self, address: str) -> list[str]:
        """The command, with the files that it reads."""
        home = self._home(_RUN)
        connection = {"superlink": {"default": "here", "here": {"address": address, "insecure": True}}}
        (home / "config.toml").write_text(tomli_w.dumps(connection))
        experiment = self.folder / "experiment.toml"
        experiment.write_text(self.study.experiment.to_toml(), encoding="utf-8")
        config = {
            "experiment": str(experiment),
            "run-dir": str(self.out),
            "nodes": len(self.nodes),
            # Processes of one machine start one after the other.
            "node-timeout": 60 + 20 * len(self.nodes),
        }
        (self.folder / "run-config.toml").write_text(tomli_w.dumps(config))
        given = ["--run-config", str(self.folder / "run-config.toml")]
        return ["flwr", "run", str(self.app), "here", "--stream", *given]

    def _home(self, name: str) -> Path:
        home = self.folder / "home" / name
        home.mkdir(parents=True, exist_ok=True)
        return home

    def _environment(self, name: str) -> dict[str, str]:
        """A home each: processes that share one unpack the same bundle at the same time and import half of it."""
        return os.environ | {
            # Flower starts its own parts by name.
            "PATH": f"{self.scripts}{os.pathsep}{os.environ.get('PATH', '')}",
            "FLWR_HOME": str(self._home(name)),
            "FLWR_TELEMETRY_ENABLED": "0",
            "FLWR_DISABLE_UPDATE_CHECK": "1",
            "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
            "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.1",
            "PYTHONUNBUFFERED": "1",
        }

    def _records(self, started: Processes, run: subprocess.Popen[bytes]) -> Iterator[tuple[str, dict[str, Any]]]:
        """("rounds" or "metrics", record) as the server writes them, until the run is over."""
        tails = {name: Tail(self.out / f"{name}.jsonl") for name in ("rounds", "metrics")}
        over = False
        while not over:
            over = run.poll() is not None
            if not over:
                started.check([_LINK, _EXEC, *self.nodes])
                time.sleep(0.2)
            for name, tail in tails.items():
                yield from ((name, record) for record in tail.new())


def _reason(log: Path) -> str:
    """The last error in a log, in one line."""
    errors = [line for line in log.read_text(errors="replace").splitlines() if line.startswith("everbloom.errors.")]
    return errors[-1].partition(": ")[2] if errors else "no error of everbloom's own"
