"""`everbloom.run` is `everbloom run`, and importing everbloom imports no simulator."""

import subprocess
import sys

import pytest
import tomli_w

import everbloom
from everbloom.errors import ConfigError, InputError


@pytest.fixture
def file(small, tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(tomli_w.dumps(small().model_dump(mode="json", exclude_none=True)))
    return path


def test_a_file_its_tables_and_the_experiment_give_the_same_run(small, file, tmp_path):
    given = {
        "file": file,
        "name": str(file),
        "experiment": small(),
        "tables": small().model_dump(mode="json", exclude_none=True),
    }
    overrides = {
        "federation.rounds": 1,
        "data.source.users": 18,
        "learning.objective": {"name": "bce"},
        "evaluation.k": [10],
    }
    found = [everbloom.run(value, overrides, out=tmp_path / name) for name, value in given.items()]
    files = {(run.path / "metrics.jsonl").read_bytes() for run in found}
    assert len(files) == 1
    assert len(found[0].rounds) == 2
    assert found[0].experiment.learning.objective.name == "bce"
    assert small().federation.rounds == 2  # what was given is left as it was


def test_a_new_directory_is_made_and_nothing_printed_unless_asked(file, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert [str(everbloom.run(file).path) for _ in range(2)] == ["runs/small", "runs/small-2"]
    assert capsys.readouterr().out == ""
    everbloom.run(file, progress=True)
    assert "client updates" in capsys.readouterr().out


def test_none_turns_an_optional_key_off(small, tmp_path):
    run = everbloom.run(small(evaluation={"max_users": 5}), {"evaluation.max_users": None}, out=tmp_path / "run")
    assert run.experiment.evaluation.max_users is None


def test_what_is_wrong_is_said_before_any_work(file, tmp_path):
    with pytest.raises(ConfigError, match=r"federation\.rond"):
        everbloom.run(file, {"federation.rond": 3}, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(InputError, match="exists and is not empty"):
        everbloom.run(file, out=tmp_path)


def test_everbloom_alone_is_light_and_knows_its_names():
    script = (
        "import sys, everbloom; print([name for name in ('torch', 'simulation', 'pandas', 'flwr') if name in sys.modules],"
        "{'run', 'open_run', 'Run'} <= set(dir(everbloom)))"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[] True"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = everbloom.nothing
