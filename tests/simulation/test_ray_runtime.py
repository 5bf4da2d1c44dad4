"""Jobs on Ray: the same bytes as in one process, whoever dies; clear errors where there is no Ray or no cluster."""

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from flwr.app import Message
from rich.console import Console
from safetensors.numpy import load_file

from everbloom.config import RuntimeConfig
from everbloom.errors import ConfigError, InputError
from everbloom.study import Study
from everbloom.wire import TRAIN, Task, Update
from server.observer import Silent
from server.run_directory import RunDirectory
from simulation import ray_cluster
from simulation.commands import start_run
from simulation.grid import Answer, InProcessGrid, client_of, identify, node_of
from simulation.memory import PeakMemory
from simulation.processes import free_ports
from simulation.ray_cluster import check_ray, crew_size, gpu_share
from simulation.ray_workers import ray_answers
from simulation.run import run_in_process
from simulation.workers import open_ledger, serial_answers

with_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the extra: everbloom[ray]")
PRIVATE = {"unit": "example", "epsilon": 8.0, "delta": 1e-3, "denominator": 10, "max_participations": 2}
USERS = 40


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """A Ray cluster of one machine with two processors, started by other hands: `address`, and `pid` of the process that all of it hangs on."""
    log = tmp_path_factory.mktemp("ray-log") / "head.log"
    port, clients, agent = free_ports(3)
    options = {
        "port": port,
        "node-ip-address": "127.0.0.1",
        "ray-client-server-port": clients,
        "dashboard-agent-listen-port": agent,
        "min-worker-port": 0,
        "max-worker-port": 0,
        "num-cpus": 2,
        "include-dashboard": "false",
        "object-store-memory": 10**8,
    }
    environment = os.environ | {"EVERBLOOM_HOME": str(tmp_path_factory.mktemp("cluster-home"))}
    # Ray's sockets lie below its folder, and a socket's path may have some hundred characters only.
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True) as folder:
        given = [f"--{name}={value}" for name, value in (options | {"temp-dir": folder}).items()]
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--disable-usage-stats"]
        with log.open("wb") as stream:
            head = subprocess.Popen(
                [*command, *given], stdout=stream, stderr=stream, env=environment, start_new_session=True
            )
        deadline = time.monotonic() + 60
        while "will now block" not in log.read_text() and head.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        yield SimpleNamespace(address=f"127.0.0.1:{port}", pid=head.pid)
        head.terminate()
        with suppress(subprocess.TimeoutExpired):
            head.wait(timeout=10)
        with suppress(ProcessLookupError):
            os.killpg(head.pid, signal.SIGKILL)
        head.wait()


def workers_of(pid: int) -> list[int]:
    """Everbloom's workers among the descendants of a process."""
    parents, workers = {}, []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if (entry / "cmdline").read_bytes().startswith(b"ray::RayWorker"):
                workers.append(int(entry.name))

    def below(process: int) -> bool:
        return process == pid or (process in parents and below(parents[process]))

    return [worker for worker in workers if below(worker)]


def a_round(study: Study, answer: Answer, clients: range = range(USERS)) -> list[tuple[object, ...]]:
    """What the clients reply in one round: for each reply who sends it, for how many, and the bytes of the sum or the reason of a failure."""
    identify()
    parameters = study.layout.flat(study.new_model())
    task = Task(parameters, study.layout.schema, study.terms, 0, 1, study.timeline.window(0)).pack()
    grid = InProcessGrid(study.clients, answer)
    found: list[tuple[object, ...]] = []
    messages = [Message(task, dst_node_id=node_of(client), message_type=TRAIN) for client in clients]
    for reply in grid.send_and_receive(messages):
        sender = client_of(reply.metadata.src_node_id)
        if reply.has_error():
            found.append((sender, reply.error.reason))
        else:
            update = Update.unpack(reply.content)
            found.append((sender, update.clients, update.delta.tobytes()))
    return found


def charged(folder: Path) -> Path:
    """Ledgers in which the first three devices have nothing left of two participations, and the next three have one."""
    participations = np.zeros(USERS, dtype=np.int32)
    participations[:3], participations[3:6] = 2, 1
    return open_ledger(folder / "devices" / "participations.npy", participations)


def expected(study: Study, folder: Path) -> tuple[list[tuple[object, ...]], np.ndarray]:
    folder.mkdir()
    ledger = charged(folder)
    with serial_answers(study, ledger, PeakMemory()) as answer:
        return a_round(study, answer), np.load(ledger)


@with_ray
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds the worker in /proc")
def test_the_replies_are_those_of_one_process_to_the_byte_whoever_dies(cluster, tiny, opened, tmp_path):
    """A worker is killed with jobs that it cannot have done: they are done by another and charged once. It comes back for the next round."""
    runtime = {"name": "ray", "workers": 2, "address": cluster.address}
    study = opened(tiny(users=USERS, privacy=PRIVATE, runtime=runtime))
    replies, participations = expected(study, tmp_path / "one")
    ledger = charged(tmp_path)
    with ray_answers(study, ledger, PeakMemory()) as answer:
        victim, other = workers_of(cluster.pid)
        os.kill(victim, signal.SIGSTOP)
        threading.Timer(1.0, os.kill, (victim, signal.SIGKILL)).start()
        assert a_round(study, answer) == replies
        assert np.load(ledger).tolist() == participations.tolist()
        assert victim not in workers_of(cluster.pid)
        charged(tmp_path)
        assert a_round(study, answer) == replies, "the same after a worker has come back"
        assert other in workers_of(cluster.pid)


class _Interrupts(Silent):
    def round_done(self, *record: Any) -> None:
        raise KeyboardInterrupt


@with_ray
@pytest.mark.parametrize("rule", ["mean", "multi-krum"])
def test_interrupted_in_process_and_resumed_on_ray_equals_uninterrupted(cluster, tiny, opened, tmp_path, rule):
    federation = {"rounds": 2, "cohort": 9, "aggregation": rule}
    tables = {"users": 12, "rounds": 2, "privacy": PRIVATE, "federation": federation}
    once = opened(tiny(**tables))
    run = RunDirectory.create(tmp_path / "ray", once.experiment)
    with pytest.raises(KeyboardInterrupt):
        run_in_process(once, run, _Interrupts(), resume=False)
    study = opened(tiny(**tables, runtime={"name": "ray", "workers": 1, "address": cluster.address}))
    run_in_process(study, run, Silent(), resume=True)
    whole = RunDirectory.create(tmp_path / "in-process", once.experiment)
    run_in_process(once, whole, Silent(), resume=False)
    assert outcome(run.path) == outcome(whole.path)


@with_ray
def test_ray_is_started_here_and_stopped_again(tiny, opened, tmp_path):
    """By the command, without an address; warnings are errors here, and signals are as they were."""
    import ray

    experiment = tiny(users=12)
    path = tmp_path / "tiny.toml"
    path.write_text(experiment.to_toml())
    handler = signal.getsignal(signal.SIGTERM)
    start_run(path, ["runtime.name=ray"], tmp_path / "ray", Console(file=StringIO(), width=300))
    assert not ray.is_initialized()
    assert signal.getsignal(signal.SIGTERM) is handler
    study = opened(experiment)
    whole = RunDirectory.create(tmp_path / "in-process", study.experiment)
    run_in_process(study, whole, Silent(), resume=False)
    assert outcome(tmp_path / "ray") == outcome(whole.path)


def outcome(run: Path) -> tuple[object, ...]:
    """All of a run that does not tell the time."""
    (arrays,) = (run / "checkpoint").glob("*.safetensors")
    parameters = {name: array.tobytes() for name, array in load_file(arrays).items()}
    return parameters, (run / "metrics.jsonl").read_bytes(), np.load(run / "devices" / "participations.npy").tolist()


@with_ray
@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("10.0.0.1", 'expected "auto" or "HOST:PORT"'),
        ("ray://10.0.0.1:10001", "everbloom itself runs on a machine of the cluster"),
        ("127.0.0.1:{closed}", "nothing answers there (Connection refused); is the cluster up"),
        ("127.0.0.1:{deaf}", "no Ray cluster of this version answers there within 3 seconds"),
    ],
)
def test_an_address_without_a_cluster_is_one_line_before_any_work(address, told, tiny, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(ray_cluster, "_JOIN_SECONDS", 3.0)
    path = tmp_path / "tiny.toml"
    path.write_text(tiny().to_toml())
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        address = address.format(closed=free_ports(1)[0], deaf=deaf.getsockname()[1])
        started = time.monotonic()
        with pytest.raises(ConfigError) as caught:
            start_run(
                path, ["runtime.name=ray", f"runtime.address={address}"], tmp_path / "out", Console(file=StringIO())
            )
    assert str(caught.value).startswith(f"runtime.address '{address}': ")
    assert told in str(caught.value)
    assert time.monotonic() - started < 10
    assert not (tmp_path / "out").exists()
    assert capfd.readouterr() == ("", "")


def test_without_the_package_it_says_what_to_install(tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    path = tmp_path / "tiny.toml"
    path.write_text(tiny().to_toml())
    with pytest.raises(ConfigError, match=r"pip install 'everbloom\[ray\]'"):
        start_run(path, ["runtime.name=ray"], tmp_path / "out", Console(file=StringIO()))
    assert not (tmp_path / "out").exists()


def test_ray_that_cannot_start_is_one_line(monkeypatch):
    def init(**given: object) -> None:
        raise ConnectionError("no\nluck")

    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(init=init))
    with pytest.raises(ConfigError, match="Ray does not start: no luck"), ray_cluster.connected(RuntimeConfig()):
        pass
    check_ray(RuntimeConfig())


@pytest.mark.parametrize(("workers", "found"), [("cores", 4), (3, 3), (5, ConfigError), (4, InputError)])
def test_each_worker_has_a_processor(workers, found, monkeypatch):
    monkeypatch.setattr(ray_cluster, "_FREE_SECONDS", 0.0)
    free = 3 if found is InputError else 4
    ray = SimpleNamespace(
        cluster_resources=lambda: {"CPU": 4.0}, available_resources=lambda: {"CPU": float(free)} if free else {}
    )
    runtime = RuntimeConfig(name="ray", workers=workers)
    if isinstance(found, int):
        assert crew_size(ray, runtime) == found
    else:
        with pytest.raises(found, match="need a CPU each"):
            crew_size(ray, runtime)


@pytest.mark.parametrize(
    ("device", "workers", "gpus", "share"),
    [("cpu", 2, 2, 0), ("auto", 2, 0, 0), ("auto", 2, 4, 1), ("cuda", 3, 2, 0.5), ("cuda", 5, 2, 1 / 3)],
)
def test_gpus_are_shared(device, workers, gpus, share):
    assert gpu_share(RuntimeConfig(device=device), workers, gpus) == share
