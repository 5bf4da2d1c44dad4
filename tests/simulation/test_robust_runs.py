"""Runs under an aggregation rule: one result on every runtime, resumed or not; refused where a claim or a sum rests on adding up."""

import importlib.util
import json
from io import StringIO

import numpy as np
import pytest
from rich.console import Console
from safetensors.numpy import load_file

from everbloom.errors import ConfigError, PrivacyError
from everbloom.methods import AGGREGATION_RULES
from everbloom.models.tables import touched_rows
from server.observer import Silent
from server.run_directory import RunDirectory
from simulation.commands import start_run
from simulation.run import check_memory, run_in_process

PRIVATE = {"unit": "example", "epsilon": 50.0, "delta": 1e-3, "denominator": 20}
BY_USER = {"unit": "user", "epsilon": 8.0, "delta": 1e-3}
MODEL = {
    "dim": 8,
    "items": {"features": {"name": "tfidf", "dims": 8}},
    "user": {"layers": 1, "heads": 2, "history": 8, "feedforward": 1, "dropout": 0.0},
}


@pytest.fixture
def experiment(tiny):
    """(rule, **tables) -> 14 users in cohorts of 10, with tables of items that few touch."""

    def build(rule="mean", users=14, cohort=10, **tables):
        federation = {"rounds": 3, "cohort": cohort, "optimizer": {"name": "fedavg"}, "aggregation": rule}
        return tiny(users=users, **{"model": MODEL, "federation": federation, **tables})

    return build


class _Stops(Silent):
    def round_done(self, record, reasons):
        if record["round"] == 2:
            raise KeyboardInterrupt


def run(study, folder, observer=None, resume=False):
    """(parameters, rule's state, rounds without their clock, summary's test) of a run."""
    directory = RunDirectory.open(folder) if resume else RunDirectory.create(folder, study.experiment)
    summary = run_in_process(study, directory, observer or Silent(), resume)
    (arrays,) = (folder / "checkpoint").glob("*.safetensors")
    found = load_file(arrays)
    rounds = [json.loads(line) for line in (folder / "rounds.jsonl").read_text().splitlines()]
    for record in rounds:
        del record["seconds"]
    state = {name: value for name, value in found.items() if name.startswith("aggregation.")}
    return found["parameters"], state, rounds, summary["test"]


@pytest.mark.parametrize("private", [False, True])
@pytest.mark.parametrize("rule", AGGREGATION_RULES.names())
def test_together_unfolded_and_one_by_one(experiment, opened, tmp_path, rule, private):
    privacy = {"privacy": PRIVATE} if private else {}
    study = opened(experiment(rule, **privacy))
    start = study.layout.flat(study.new_model())
    runs = [
        run(opened(experiment(rule, runtime={"clients": kind}, **privacy)), tmp_path / kind)
        for kind in ("one-by-one", "unfolded", "together")
    ]
    assert np.linalg.norm(runs[0][0] - start) > 1e-3
    for other in runs[1:]:
        assert np.linalg.norm(other[0] - runs[0][0]) <= 1e-3 * np.linalg.norm(runs[0][0] - start)
        assert other[2] == runs[0][2]
        assert other[1].keys() == runs[0][1].keys()


@pytest.mark.parametrize("rule", AGGREGATION_RULES.names())
def test_an_interrupted_run_resumes_to_the_same_bytes(experiment, opened, tmp_path, rule):
    study = opened(experiment(rule))
    expected = run(study, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(study, tmp_path / "cut", _Stops())
    found = run(study, tmp_path / "cut", resume=True)
    assert found[0].tobytes() == expected[0].tobytes()
    assert {name: value.tobytes() for name, value in found[1].items()} == {
        name: value.tobytes() for name, value in expected[1].items()
    }
    assert found[2:] == expected[2:]


def test_two_processes_give_the_bytes_of_one(experiment, opened, tmp_path):
    one, two = (
        run(opened(experiment("trimmed-mean", runtime={"workers": workers})), tmp_path / str(workers))
        for workers in (1, 2)
    )
    assert one[0].tobytes() == two[0].tobytes()


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the extra: everbloom[ray]")
def test_ray_gives_the_bytes_of_one_process(experiment, opened, tmp_path):
    one = run(opened(experiment("multi-krum")), tmp_path / "one")
    other = run(opened(experiment("multi-krum", runtime={"name": "ray", "workers": 1})), tmp_path / "ray")
    assert one[0].tobytes() == other[0].tobytes()


@pytest.mark.flower
def test_flower_gives_the_in_process_result(experiment, opened, tmp_path):
    chosen = experiment("median", users=3, cohort=3)
    (tmp_path / "robust.toml").write_text(chosen.to_toml())
    start_run(tmp_path / "robust.toml", ["runtime.name=flower"], tmp_path / "flower", Console(file=StringIO()))
    expected = run(opened(chosen), tmp_path / "in-process")
    (arrays,) = (tmp_path / "flower" / "checkpoint").glob("*.safetensors")
    np.testing.assert_allclose(load_file(arrays)["parameters"], expected[0], rtol=0, atol=1e-5)


def test_rows_are_those_of_tables_and_else_whole_parameters(experiment, opened):
    study = opened(experiment())
    starts = touched_rows(study.new_model(), study.layout)
    begin = {slot.name: slot for slot in study.layout.slots if slot.vector == "shared"}
    table, bias, dense = (begin[f"item.{name}.weight"] for name in ("embedding", "item_bias", "adapter"))
    own = starts[(starts >= table.start) & (starts < table.end)]
    assert own.tolist() == list(range(table.start, table.end, 8))
    assert len(starts[(starts >= bias.start) & (starts < bias.end)]) == bias.shape[0]
    assert starts[(starts >= dense.start) & (starts < dense.end)].tolist() == [dense.start]
    assert starts[0] == 0
    assert (np.diff(starts) > 0).all()


SUMS = {
    "central": ({"sampler": "poisson"}, "its noise hides one clipped update in a sum"),
    "matrix-factorisation": ({}, "its noise hides one clipped update in a sum"),
    "distributed": ({}, "the server sees the sum of masked updates and no update"),
}


@pytest.mark.parametrize("rule", [name for name in AGGREGATION_RULES.names() if name != "mean"])
@pytest.mark.parametrize("mechanism", SUMS)
def test_where_only_a_sum_is_private_a_rule_is_refused_in_one_line(experiment, opened, mechanism, rule):
    options, told = SUMS[mechanism]
    federation = {"rounds": 3, "cohort": 10, **options}
    privacy = {**BY_USER, "mechanism": mechanism}
    with pytest.raises(PrivacyError, match=told) as caught:
        opened(experiment(federation={**federation, "aggregation": rule}, privacy=privacy))
    assert str(caught.value).startswith(f'federation.aggregation = "{rule}": ')
    assert "\n" not in str(caught.value)
    opened(experiment(federation=federation, privacy=privacy))


@pytest.mark.parametrize("rule", AGGREGATION_RULES.names())
def test_where_each_update_is_private_any_rule_is_post_processing(experiment, opened, tmp_path, rule):
    study = opened(experiment(rule, privacy={**BY_USER, "mechanism": "local"}))
    assert study.plan.epsilon == opened(experiment(privacy={**BY_USER, "mechanism": "local"})).plan.epsilon
    run(study, tmp_path / "run")


def test_what_is_counted_needs_sums(experiment):
    with pytest.raises(ConfigError, match=r'federation.aggregation = "median": \[model.prior\] is counted'):
        experiment("median", model={**MODEL, "prior": {"rounds": 2}})
    experiment("mean", model={**MODEL, "prior": {"rounds": 2}})


def test_a_cohort_too_small_for_the_rule_is_refused(experiment, opened):
    krum = {"name": "multi-krum", "byzantine": 0.4}
    with pytest.raises(
        ConfigError, match=r'federation.cohort: a round has 10 devices, and .* "multi-krum" .* needs 11'
    ):
        opened(experiment(krum))
    opened(experiment(krum, cohort=11))
    with pytest.raises(ConfigError, match=r"less than 0\.5"):
        experiment({"name": "median", "byzantine": 0.5})


def test_updates_that_do_not_fit_the_memory_are_refused(experiment, opened, monkeypatch):
    study = opened(experiment("median", cohort=14, runtime={"memory_mb": 20_000}))
    check_memory(study)
    monkeypatch.setattr(type(study.layout), "size", lambda layout, group="shared": 200_000_000)
    with pytest.raises(ConfigError, match=r"a round's updates take 11200 MB, runtime.memory_mb is 20000"):
        check_memory(study)
