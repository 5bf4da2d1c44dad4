"""What can be wrong with a sweep: one line, exit code 2, before anything is written."""

from pathlib import Path

import pytest

FILES = {
    "no experiment": ('experiment = "tiny.toml"', 'experiment = "huge.toml"', "huge.toml: no such experiment file"),
    "the test": ("seeds = 2", 'seeds = 2\nobjective.metric = "test/ndcg@10"', "objective.metric: what is chosen by the test is no longer tested"),
    "not measured": ("seeds = 2", 'seeds = 2\nobjective.metric = "ndcg@7"', "objective.metric: 'ndcg@7' is not measured; expected one of: hr@5,"),
    "unknown key": ("trials = 5", "trails = 5", "trails: unknown key; did you mean 'trials'?"),
    "no trials": ("trials = 5", "trials = 0", "trials: Input should be greater than 0"),
    "unknown sampler": ('name = "tpe"\nstartup = 2', 'name = "grid"', "sampler: unknown sampler 'grid'; expected one of: tpe, random"),
    "unknown pruner": ('name = "none"', 'name = "worst"', "pruner: unknown pruner 'worst'; expected one of: median, hyperband, none"),
    "backwards": ("low = 4, high = 8", "low = 8, high = 4", "low 8 is not below high 4"),
    "a logarithm of nothing": ("low = 0.001", "low = 0.0", "log needs low above 0"),
    "half": ("low = 4, high = 8, step = 2", "low = 4", "expected { low, high }, a list, or { choices }"),
    "twice": ('[{ name = "bce" }, { name = "sampled-softmax" }]', '["bce", "bce"]', "a choice stands twice"),
    "unknown in the experiment": ('"model.dim"', '"model.dmi"', "space.model.dmi: 4 does not fit the experiment: model.dmi: unknown key; did"),
    "out of bounds": ("low = 4, high = 8, step = 2", "low = 0, high = 8", "space.model.dim: 0 does not fit the experiment: model.dim:"),
    "the claim": ('"model.dim" = {', '"privacy.epsilon" = {', "space.privacy.epsilon: a sweep must not choose what is claimed"),
    "the world": ('"model.dim" = {', '"evaluation.every" = {', "space.evaluation.every: trials that differ there are not measured alike"),
    "ray": ("seeds = 2", 'workers = 2\nfixed = { "runtime.name" = "ray" }', "workers: trials on Ray share its workers"),
    "not TOML": ("trials = 5", "trials =", "sweep.toml: not a TOML file"),
}  # fmt: skip


@pytest.mark.parametrize("case", FILES, ids=lambda case: case.replace(" ", "-"))
def test_a_file_that_is_wrong(write_sweep, refused, case):
    old, new, told = FILES[case]
    write_sweep(old, new)
    assert told in refused()
    assert not Path("runs").exists()


def test_arguments_that_are_wrong(refused):
    assert refused("--trials", "0") == "--trials 0: expected 1 or more"
    assert "override 'rounds'" in refused("-s", "rounds")
    Path("sweep.toml").unlink()
    assert refused() == "sweep.toml: no such sweep file; configs/sweeps/ has examples"


def test_a_folder_that_holds_something_else(write_sweep, refused, sweeping):
    Path("other").mkdir()
    Path("other/letter").touch()
    assert refused("--out", "other") == "other: exists and holds no sweep (sweep.toml is missing); give another --out"
    sweeping(trials=1)
    write_sweep("seeds = 2", "seeds = 3")
    assert refused("--out", "out") == "out: holds a sweep with another seeds (2 there, 3 here); give another --out"
    write_sweep("seeds = 3", "seeds = 2")
    assert "of another experiment (federation.rounds: 4 there, 5 here)" in refused(
        "--out", "out", "-s", "federation.rounds=5"
    )
    Path("out/trials.db").write_bytes(b"nonsense" * 200)
    assert "out/trials.db: damaged" in refused("--out", "out")
    Path("out/sweep.toml").write_text("x = 1")
    assert "out/sweep.toml: damaged" in refused("--out", "out")
