"""A server that has a catalogue and no data, and devices that are real services: a run, new items, and a run that goes on from it."""

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Context, Error, Message, RecordDict
from safetensors import safe_open
from served_devices import Service

from client.app import ask
from client.service.making import make_device
from everbloom.data.catalogue_versions import CatalogueVersions
from everbloom.errors import CheckpointError, DataError, InputError
from everbloom.experiment import Experiment, parse_experiment
from everbloom.study import open_study
from server.app import main
from server.deployment.certificates import make_task_key, public_task_key, read_task_key
from server.distribution import distribute_catalogue
from server.signed_grid import SignedGrid
from server.warm_start import EarlierRun
from simulation.grid import InProcessGrid, client_of, node_of
from simulation.run import run_in_process

DEVICES = 2
POLICY = """\
epsilon = 1e5
delta = 1e-3
units = ["user"]
mechanisms = ["local"]
min_cohort = 2
evaluation = true

[[servers]]
name = "shop"
key = "{key}"
"""
WORDS = ["red", "green", "blue", "tall", "small", "wide", "old", "new", "warm", "cold"]


class Shop:
    """A deployment's catalogue and key, services, and a grid that reaches them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.versions = CatalogueVersions(folder / "catalogue")
        make_task_key(folder / "tasks.key")
        self.services: list[Service] = []
        self.asked: list[tuple[str, int]] = []
        self._ids = count()

    def update(self, items: range) -> None:
        rows = [f"i{number},{WORDS[number % 10]} {WORDS[number * 3 % 7]} {number % 5}" for number in items]
        table = self.folder / "items.csv"
        table.write_text("\n".join(["item,title", *rows]) + "\n")
        self.versions.update(table, now=100)

    def start(self) -> None:
        key = public_task_key(self.folder / "tasks.key")
        for client in range(DEVICES):
            made = make_device(self.folder / f"device-{client}", None, client, POLICY.format(key=key), seed=3)
            self.services.append(Service(made).start())

    @property
    def grid(self) -> InProcessGrid:
        return InProcessGrid(DEVICES, self._answer)

    def _answer(self, messages: list[Message]) -> Iterator[Message]:
        for message in messages:
            self.asked.append((message.metadata.message_type, len(message.content.get("pieces", {}))))
            service = self.services[client_of(message.metadata.dst_node_id)]
            try:
                told = ask(
                    str(service.folder.socket), f"m{next(self._ids)}", message.metadata.message_type, message.content
                )
            except InputError as error:
                yield Message(Error(0, str(error)), reply_to=message)
                continue
            yield Message(told, reply_to=message)

    def experiment(self, **tables: Any) -> Experiment:
        source = {"name": "catalogue", "path": str(self.versions.current), "people": DEVICES}
        return parse_experiment(
            {
                "name": "shop",
                "seed": 3,
                "data": {"text": "{title}", "source": source},
                "protocol": {"name": "leave-one-out"},
                "model": {
                    "dim": 8,
                    "items": {"features": {"name": "tfidf", "dims": 6}, "bias": "item"},
                    "user": {"layers": 1, "heads": 2, "history": 6, "feedforward": 1, "dropout": 0.0, "personal": True},
                },
                "learning": {"examples": "next-item", "negatives": 8, "personal_rate": 0.5},
                "privacy": {"unit": "user", "delta": 1e-3, "noise_multiplier": 1.0, "mechanism": {"name": "local"}},
                "federation": {"rounds": 2, "cohort": 1.0, "optimizer": {"name": "fedavg"}},
                "evaluation": {"devices": {"every": 2, "measures": ["hr@10"]}},
                **tables,
            }
        )

    def run(self, name: str, experiment: Experiment, **config: Any) -> Path:
        path = self.folder / f"{name}.toml"
        path.write_text(experiment.to_toml())
        settings = {
            "experiment": str(path),
            "run-dir": str(self.folder / name),
            "nodes": DEVICES,
            "node-timeout": 60.0,
            "distribute": True,
            "task-key": str(self.folder / "tasks.key"),
            **{key.replace("_", "-"): value for key, value in config.items()},
        }
        main(self.grid, Context(run_id=1, node_id=1, node_config={}, state=RecordDict(), run_config=settings))
        return self.folder / name


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path)
    made.update(range(40))
    yield made
    for service in made.services:
        service.kill()


def records(run: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / f"{name}.jsonl").read_text().splitlines()]


def quiet(done: int, total: int) -> None:
    return


def federation_of(service: Service) -> tuple[str, np.ndarray]:
    with safe_open(service.folder.personal, framework="numpy") as stored:
        return stored.metadata()["federation"], stored.get_tensor("personal")


def test_a_run_without_data_new_items_and_a_run_that_goes_on(shop: Shop):
    shop.start()
    first = open_study(shop.experiment(), quiet, quiet)
    signed = SignedGrid(shop.grid, read_task_key(shop.folder / "tasks.key"))
    roster = {client: node_of(client) for client in range(DEVICES)}
    assert distribute_catalogue(signed, roster, first.dataset.catalog, 60.0).devices == DEVICES
    for client, service in enumerate(shop.services):
        events = [{"item": f"i{(client + 3 * place) % 40}", "time": 1000 + place} for place in range(12)]
        service.call("POST", "/events", body={"events": events})

    one = shop.run("one", shop.experiment())
    assert [(row["clients"], row["failed"]) for row in records(one, "rounds")] == [(DEVICES, 0)] * 2
    (told,) = records(one, "metrics")
    assert (told["protocol"], told["answered"], told["failed"]) == ("on-devices", DEVICES, 0)
    assert json.loads((one / "summary.json").read_text())["test"] == {}
    before = [federation_of(service) for service in shop.services]
    assert all(np.abs(values).max() > 0 for _, values in before)

    shop.update(range(1, 55))
    shop.asked.clear()
    two = shop.run("two", shop.experiment(), start_from=str(one))
    assert [pieces for kind, pieces in shop.asked if kind == "query.catalogue"] == [0, 0, 2, 2], (
        "the head and the block"
    )
    study = open_study(shop.experiment(), quiet, quiet)
    assert study.layout.size() == first.layout.size() + 15 * 9, "rows of embeddings and biases"
    begun = EarlierRun.open(one).parameters_for(study)
    embedding = next(slot for slot in study.layout.slots if slot.name == "item.embedding.weight")
    known = next(slot for slot in first.layout.slots if slot.name == "item.embedding.weight")
    learnt = EarlierRun.open(one).parameters[known.start : known.end]
    np.testing.assert_array_equal(begun[embedding.start : embedding.start + 40 * 8], learnt)
    assert [(row["clients"], row["failed"]) for row in records(two, "rounds")] == [(DEVICES, 0)] * 2
    for service, (federation, _) in zip(shop.services, before, strict=True):
        now, values = federation_of(service)
        assert now != federation
        assert np.abs(values).max() > 0
        assert len(service.account().reservations) == 6, "of both runs, two rounds and a measurement each"
        assert service.call("GET", "/model")["items"] == 55
        shown = [row["item"] for row in service.call("GET", "/recommendations", query={"n": 60})["items"]]
        assert "i0" not in shown
        assert {f"i{number}" for number in range(40, 55)} <= set(shown)


def test_what_a_device_learnt_for_itself_goes_along_and_nothing_else_does(shop: Shop, tmp_path):
    from dataclasses import replace

    from client.personal import StoredPersonal
    from everbloom.wire import Task

    study = open_study(shop.experiment(), quiet, quiet)
    task = Task(np.zeros(3, np.float32), study.layout.schema, study.terms, 2, 1, study.window(0))
    stored = StoredPersonal(tmp_path / "personal.safetensors")
    stored.save(task, np.ones(8, np.float32))
    later = replace(task, schema="other", period=0)
    for continues, kept in ((None, 0.0), ("f" * 64, 0.0), (task.federation, 1.0)):
        asked = replace(later, continues=continues)
        stored.adopt(asked)
        assert stored.load(asked, 8).tolist() == [kept] * 8
    assert Task.unpack(replace(later, continues="f" * 64).pack()).continues == "f" * 64


@pytest.mark.parametrize(
    ("tables", "told"),
    [
        ({"protocol": {"name": "timeline", "cut": "counts", "periods": 2}}, "protocol.name = .timeline.: needs events"),
        ({"federation": {"early_stop": {"patience": 2}}}, "federation.early_stop: needs events"),
        ({"evaluation": {"candidates": "c.npz"}}, "evaluation.candidates: needs events"),
        ({"population": {}}, ".population.: needs events"),
    ],
)
def test_what_needs_data_is_refused_in_one_line(shop: Shop, tables, told):
    with pytest.raises(DataError, match=told):
        open_study(shop.experiment(**tables), quiet, quiet)


def test_nobody_can_be_simulated_and_no_run_gone_on_from_that_is_none(shop: Shop, tmp_path):
    study = open_study(shop.experiment(), quiet, quiet)
    with pytest.raises(DataError, match="a simulation needs events"):
        run_in_process(study, None, None, resume=False)  # type: ignore[arg-type]
    with pytest.raises(CheckpointError, match="no run to go on from here"):
        EarlierRun.open(tmp_path)
    with pytest.raises(DataError, match="no catalogue here; make one with"):
        _ = CatalogueVersions(tmp_path / "nowhere").current
