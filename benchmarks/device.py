"""What a device's service costs: `python -m benchmarks.device [--items N] [--requests N]`.

Prints the time that the thin ClientApp adds to a message in a fresh process, the service's memory at rest and with the model loaded, and how long
recommendations take over HTTP while new events come in. Memory is the resident memory of the service's processes added up, libraries that they share
counted for each.
"""

import argparse
import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from client.service.calls import service_address
from client.service.folder import DeviceFolder
from client.service.making import make_device
from client.service.model_file import GlobalModel
from everbloom.experiment import parse_experiment
from everbloom.study import Study, open_study
from everbloom.wire import Task

MESSAGE = """
import json, pickle, sys, time
import flwr.app, flwr.clientapp, flwr.common.serde
content = pickle.load(open(sys.argv[2], "rb"))
start = time.perf_counter()
from client.app import ask
imported = time.perf_counter()
ask(sys.argv[1], sys.argv[3], "query.hello", content)
print(json.dumps([imported - start, time.perf_counter() - imported]))
"""
"""What the ClientApp does with a message beyond what Flower's own process has done by then."""


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.device", description=__doc__)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--requests", type=int, default=1000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="everbloom-device-") as scratch:
        folder, task, items = _device(Path(scratch), arguments.items)
        command = [sys.executable, "-m", "client.cli", "serve", "--port", "0", "-d", str(folder.path)]
        service = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            while not folder.address.exists():
                time.sleep(0.05)
            time.sleep(2)
            print(f"{len(items)} items, {len(task.parameters):,} parameters, load {os.getloadavg()[0]:.1f}")
            print(f"memory at rest                    {_megabytes(service.pid):6.0f} MB")
            _recommendations(folder, items, arguments.requests)
            print(f"memory with the model loaded      {_megabytes(service.pid):6.0f} MB")
            _messages(folder, task, Path(scratch))
            print(f"memory while it also trains       {_megabytes(service.pid):6.0f} MB")
        finally:
            service.terminate()
            service.wait()


def _device(scratch: Path, items: int) -> tuple[DeviceFolder, Task, list[str]]:
    """A device with a history of 200 events and a model of usual size."""
    study = _study(items)
    catalog = study.dataset.catalog
    folder = make_device(scratch / "d", catalog, epsilon=8.0, delta=1e-5, min_cohort=1)
    terms, start = study.terms, study.layout.flat(study.new_model())
    GlobalModel(start, terms.model, terms.text, terms.seed, study.layout.schema, 0, 1, "f").save(folder.model)
    task = Task(start, study.layout.schema, terms, 0, 1, study.timeline.window(0))
    return folder, task, list(catalog.item_ids)


def _study(items: int) -> Study:
    source = {"name": "synthetic", "users": 2000, "items": items, "events_per_user": 60, "seed": 1}
    model = {"dim": 64, "items": {"features": {"name": "tfidf", "dims": 128}}, "content": {}, "user": {"history": 50}}
    tables: dict[str, Any] = {
        "name": "device",
        "data": {"text": "{title}", "source": source},
        "protocol": {"name": "leave-one-out"},
        "model": model,
        "learning": {"examples": "next-item"},
        "privacy": {"unit": "example", "epsilon": 8, "delta": 1e-5},
        "federation": {"rounds": 10},
    }
    return open_study(parse_experiment(tables), lambda done, total: None, lambda done, total: None)


def _recommendations(folder: DeviceFolder, items: list[str], requests: int) -> None:
    connection = http.client.HTTPConnection(service_address(folder))
    headers = {"Authorization": f"Bearer {folder.token()}", "Content-Type": "application/json"}
    rng = np.random.default_rng(0)

    def call(method: str, path: str, body: Any = None) -> float:
        start = time.perf_counter()
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        content = response.read()
        assert response.status < 300, content
        return 1000 * (time.perf_counter() - start)

    history = [{"item": str(item)} for item in rng.choice(items, 200)]
    call("POST", "/events", {"events": history})
    first = call("GET", "/recommendations?n=10")
    plain, events, reasons = [], [], []
    for number in range(requests):
        if number % 5 == 0:
            events.append(call("POST", "/events", {"events": [{"item": str(rng.choice(items))}]}))
        plain.append(call("GET", "/recommendations?n=10"))
        if number % 20 == 0:
            reasons.append(call("GET", "/recommendations?n=10&reasons=true"))
    print(f"first recommendations (loads)     {first / 1000:6.1f} s")
    for name, times in (("recommendations", plain), ("recommendations with reasons", reasons), ("a new event", events)):
        p50, p99 = np.percentile(times, [50, 99])
        print(f"{name:<34}{p50:6.1f} ms p50, {p99:.1f} ms p99 of {len(times)}")


def _messages(folder: DeviceFolder, task: Task, scratch: Path) -> None:
    import pickle

    (scratch / "content").write_bytes(pickle.dumps(task.pack()))

    def message(name: str) -> tuple[float, float]:
        command = [sys.executable, "-c", MESSAGE, str(folder.socket), str(scratch / "content"), name]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        imported, asked = json.loads(done.stdout)
        return imported, asked

    message("first")  # starts the process that trains
    imports, asks = zip(*(message(f"m{number}") for number in range(10)), strict=True)
    print(f"ClientApp, a message               {1000 * (np.median(imports) + np.median(asks)):5.0f} ms", end=" ")
    print(f"({1000 * np.median(imports):.0f} ms imports, {1000 * np.median(asks):.0f} ms there and back)")


def _megabytes(pid: int) -> float:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return sum(_resident(one) for one in [pid, *map(int, children)])


def _resident(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmRSS"))


if __name__ == "__main__":
    main()
