"""What a person can get wrong on the command line: one line that says so, exit code 2, and nothing written over."""

import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # typer's own use of click
    from simulation import cli

SMALL = """
name = "small"
seed = 1
[data]
text = "{title}"
[data.source]
name = "synthetic"
users = 12
items = 40
events_per_user = 20
[protocol]
name = "leave-one-out"
[model]
dim = 8
[model.user]
layers = 0
history = 4
feedforward = 1
[federation]
rounds = 2
[evaluation]
every = 1
slices = false
"""
TABLE = """
name = "mine"
[data]
text = "{title}"
[data.source]
name = "table"
path = "events.csv"
user = "user"
item = "item"
time = "time"
items_path = "items.csv"
[protocol]
name = "leave-one-out"
[model.user]
layers = 0
history = 4
"""


class Command:
    """The command in this process, as its entry point runs it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch = monkeypatch
        self.capsys = capsys

    def __call__(self, *arguments: object) -> tuple[int, str, str]:
        """(exit code, stdout, stderr)."""
        self.monkeypatch.setattr(sys, "argv", ["everbloom", *map(str, arguments)])
        self.capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, error = self.capsys.readouterr()
        return int(ended.value.code or 0), out, error

    def fail(self, *arguments: object) -> str:
        """The one line that it says is wrong."""
        code, _, error = self(*arguments)
        assert error.startswith("error: "), error
        assert error.endswith("\n")
        assert error.count("\n") == 1
        assert code == 2
        return error.removeprefix("error: ").removesuffix("\n")

    def succeed(self, *arguments: object) -> str:
        code, out, error = self(*arguments)
        assert (code, error) == (0, "")
        return out


@pytest.fixture
def everbloom(tmp_path, monkeypatch, capsys) -> Command:
    """In a working directory with `small.toml` (synthetic) and `mine.toml` (a table of 5 users and 6 items)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FLWR_TELEMETRY_ENABLED", "0")
    monkeypatch.setenv("COLUMNS", "200")
    Path("small.toml").write_text(SMALL)
    Path("mine.toml").write_text(TABLE)
    Path("gap.csv").write_text("client,start,end\n0,0,10\n2,0,10\n")
    rows = [f"u{user},i{item},{1000 * item + user}" for user in range(5) for item in range(6)]
    Path("events.csv").write_text("user,item,time\n" + "\n".join(rows) + "\n")
    Path("items.csv").write_text("item,title\n" + "".join(f"i{item},Thing {item}\n" for item in range(6)))
    return Command(monkeypatch, capsys)


def files() -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(Path().rglob("*")) if path.is_file()}


SETTINGS = {
    "unknown key": (["-s", "federation.cohrot=3"], "small.toml: federation.cohrot: unknown key; did you mean 'cohort'?"),
    "unknown table": (["-s", "modle.dim=3"], "small.toml: modle: unknown key; did you mean 'model'?"),
    "wrong type": (["-s", "federation.rounds=many"], "small.toml: federation.rounds: Input should be a valid integer"),
    "negative clip": (["-s", "privacy.clip_norm=-1"], "privacy.clip_norm: Input should be greater than 0 (given: -1)"),
    "epsilon without delta": (["-s", "privacy={unit = 'example', epsilon = 8}"], "privacy: delta is missing"),
    "epsilon without unit": (["-s", "privacy.epsilon=8"], "privacy: unit is missing, so nothing would be private"),
    "bad override": (["-s", "rounds"], "override 'rounds': expected key=value"),
    "unknown source": (["-s", "data.source={name = 'netflix'}"], "unknown data source 'netflix'; expected one of:"),
    "unknown item text field": (["-s", "data.text={plot}"], "data.text: '{plot}' names the field 'plot'; this catalogue has: id, title"),
    "unknown measure": (["-s", "evaluation.select=ndcg@3"], "evaluation.select: 'ndcg@3' is not measured; expected one of: hr@5"),
    "missing candidates": (["-s", "evaluation.candidates=none.npz"], "none.npz"),
    "unsound privacy": (["-s", "privacy={unit = 'example', epsilon = 8, delta = 1e-4}", "-s", "learning.max_examples=3"],
                        "learning.max_examples: choosing a subset ties examples to each other"),
    "empty after cleaning": (["-s", "data.cleaning.min_user_events=999"], "clean"),
    "too few periods": (["-s", "protocol={name = 'timeline', cut = 'counts'}"], "protocol.periods: cut = \"counts\" needs"),
    "over-selection of nobody": (["-s", "federation.over_selection=0.5"], "federation.over_selection: without a [population] every device answers"),
    "no such trace": (["-s", "population.availability={name = 'trace', path = 'no.csv'}"], "no.csv: no such trace; check population.availability"),
    "a trace with a gap": (["-s", "population.availability={name = 'trace', path = 'gap.csv'}"],
                           "gap.csv: line 3: client 2, but client 1 has no row; expected every number from 0 on"),
    "unknown availability": (["-s", "population.availability={name = 'moon'}"], "unknown availability 'moon'; expected one of: constant, daily"),
    "gaps where nobody says when": (["-s", "model.user.gaps=true"],
                                    'model.user.gaps: under protocol.name = "leave-one-out" only the measured event itself says when'),
    "unknown runtime": (["--runtime", "cloud"], "runtime.name: Input should be 'in-process'"),
    "searches for a model without texts": (["-s", "model.user.searches=true"], "user.searches needs items whose texts are encoded one by one"),
    "searches where there are none": (["-s", "model.user.searches=true", "-s", "model.items.features={name = 'lm', model = './nowhere'}"],
                                      "model.user.searches: this log holds no search"),
    "no such vectors": (["-s", "model.items.modalities={sound = {name = 'vectors', path = 'no.npz'}}"],
                        "model.items.modalities.sound: no.npz: no such file"),
    "no such vision model": (["-s", "model.items.modalities={image = {field = 'title', model = './nowhere'}}"],
                             "model.items.modalities.image: model: cannot load './nowhere'"),
    "a price that is text": (["-s", "model.items.modalities={numbers = {fields = ['title']}}"],
                             "model.items.modalities.numbers: fields: 'title' is text"),
    "missing language model": (["-s", "model.items.features={name = 'lm', model = './nowhere'}"],
                               "model.items.features.model: cannot load './nowhere'"),
}  # fmt: skip


OF_DEVICES = ("over-selection of nobody", "no such trace", "a trace with a gap")


@pytest.mark.parametrize("command", ["run", "check", "central"])
@pytest.mark.parametrize("kind", SETTINGS)
def test_settings(everbloom, kind, command):
    arguments, told = SETTINGS[kind]
    if command == "central" and kind in OF_DEVICES:
        pytest.skip("pooled training asks no devices")
    if command != "run" and kind == "unknown runtime":
        arguments = ["-s", "runtime.name=cloud"]
    before = files()
    assert told in everbloom.fail(command, "small.toml", *arguments)
    assert files() == before  # not even an empty run directory


def change(path: str, old: str, new: str) -> Callable[[], None]:
    return lambda: Path(path).write_text(Path(path).read_text().replace(old, new))


DATA = {
    "missing data file": (lambda: Path("events.csv").unlink(), "events.csv: no such file"),
    "missing item file": (lambda: Path("items.csv").unlink(), "items.csv: no such file"),
    "missing column": (change("mine.toml", 'user = "user"', 'user = "customer"'), "no column 'customer'; the columns are: user, item, time"),
    "unparseable timestamp": (change("events.csv", "u2,i3,3002", "u2,i3,yesterday"), "events.csv: row 16: time 'yesterday' is not a Unix time"),
    "empty file": (lambda: Path("events.csv").write_text(""), "events.csv"),
    "only a header": (lambda: Path("events.csv").write_text("user,item,time\n"), "data: the source holds no events"),
    "too little": (change("mine.toml", "[protocol]", "[data.cleaning]\nmin_item_events = 6\n[protocol]"), "clean"),
    "unknown item text field": (change("mine.toml", "{title}", "{plot}"), "names the field 'plot'; this catalogue has: id, title"),
    "unknown behaviour": (change("mine.toml", 'item = "item"', 'item = "item"\nbehaviour = "item"'), "behaviour 'i0' is none of view"),
    "not a TOML file": (change("mine.toml", "name =", "name"), "mine.toml: not a TOML file"),
}  # fmt: skip


def order_alone() -> None:
    """A log without times, cut by counts; and a model that wants times."""
    text = Path("mine.toml").read_text().replace('time = "time"\n', "")
    text = text.replace('name = "leave-one-out"', 'cut = "counts"\nperiods = 2\nvalidation = 0')
    Path("mine.toml").write_text(text + "gaps = true\n")


DATA["gaps without times"] = (
    order_alone,
    "model.user.gaps: needs timestamps, and this log has only an order; use data with",
)


@pytest.mark.parametrize("kind", DATA)
def test_data(everbloom, kind):
    spoil, told = DATA[kind]
    spoil()
    before = files()
    assert told in everbloom.fail("run", "mine.toml", "--out", "run")
    assert files() == before


def test_the_table_is_fine_as_it_is(everbloom):
    everbloom.succeed("run", "mine.toml", "--out", "run", "-s", "federation.rounds=1")
    assert json.loads(Path("run/summary.json").read_text())["users"] == 5


def test_files_that_are_not_there(everbloom):
    assert "none.toml: no such experiment file" in everbloom.fail("run", "none.toml")
    assert "none.toml: no such experiment file" in everbloom.fail("check", "none.toml")
    assert "nowhere: no run to resume here (experiment.toml is missing)" in everbloom.fail("run", "--resume", "nowhere")
    assert "takes no experiment" in everbloom.fail("run", "small.toml", "--resume", "nowhere")
    assert "no --runtime" in everbloom.fail("run", "--resume", "nowhere", "--runtime", "flower")


def test_an_existing_run_is_left_alone(everbloom):
    everbloom.succeed("run", "small.toml", "--out", "run")
    before = files()
    told = everbloom.fail("run", "small.toml", "--out", "run")
    assert told == "run: exists and is not empty; give another --out, or continue it with --resume run"
    assert files() == before
    Path("file").write_text("precious")
    assert "file: exists" in everbloom.fail("run", "small.toml", "--out", "file")
    assert Path("file").read_text() == "precious"


RUINED = {
    "another model": (change("run/experiment.toml", "dim = 8", "dim = 4"), "parameter schema"),
    "other data": (change("run/experiment.toml", "users = 12", "users = 13"), "[model] or the data changed since: start a new run"),
    "half a checkpoint": (lambda: Path("run/checkpoint/state.json").write_text('{"format"'), "damaged checkpoint"),
    "no arrays": (lambda: next(Path("run/checkpoint").glob("*.safetensors")).unlink(), "damaged checkpoint"),
    "lost records": (lambda: Path("run/rounds.jsonl").write_text(""), "rounds.jsonl: damaged"),
    "no records": (lambda: Path("run/metrics.jsonl").unlink(), "no run to resume here (metrics.jsonl is missing)"),
    "a broken experiment": (change("run/experiment.toml", "dim = 8", "dmi = 8"), "model.dmi: unknown key; did you mean 'dim'?"),
}  # fmt: skip


@pytest.mark.parametrize("kind", RUINED)
def test_a_run_that_cannot_be_continued(everbloom, kind):
    everbloom.succeed("run", "small.toml", "--out", "run")
    spoil, told = RUINED[kind]
    spoil()
    before = files()
    assert told in everbloom.fail("run", "--resume", "run")
    assert files() == before


def test_a_half_written_line_does_not_stop_a_resume(everbloom):
    """A kill in the middle of writing a record."""
    everbloom.succeed("run", "small.toml", "--out", "run")
    before = Path("run/metrics.jsonl").read_bytes()
    with Path("run/rounds.jsonl").open("a") as stream:
        stream.write('{"period": 0, "rou')
    everbloom.succeed("run", "--resume", "run")
    assert Path("run/metrics.jsonl").read_bytes() == before
    assert len([json.loads(line) for line in Path("run/rounds.jsonl").read_text().splitlines()]) == 2


@pytest.mark.parametrize(
    "optimizer", ["{name = 'fedavg', learning_rate = 1e38}", "{name = 'fedadam', learning_rate = 1e38}"]
)
def test_a_run_that_diverges_says_what_to_lower(everbloom, optimizer):
    told = everbloom.fail("run", "small.toml", "--out", "run", "-s", f"federation.optimizer={optimizer}")
    assert "not finite" in told or "no longer finite" in told or "NaN among the scores" in told


def test_central_training_has_no_devices_that_learn_for_themselves(everbloom):
    told = everbloom.fail("central", "small.toml", "-s", "model.user.personal=true")
    assert (
        told
        == "model.user.personal: pooled training has no devices that could learn for themselves; add -s model.user.personal=false"
    )


def test_central_training_that_diverges(everbloom):
    told = everbloom.fail("central", "small.toml", "-s", "central.learning_rate=1e30", "-s", "central.epochs=3")
    assert "the model has diverged" in told


def test_a_run_without_a_name_for_it_gets_the_next_free_one(everbloom):
    for _ in range(2):
        everbloom.succeed("run", "small.toml", "-s", "federation.rounds=1")
    assert sorted(path.name for path in Path("runs").iterdir()) == ["small", "small-2"]


def test_check_says_what_is_doubtful(everbloom):
    told = " ".join(
        everbloom.succeed(
            "check",
            "small.toml",
            "-s",
            "privacy={unit = 'example', epsilon = 0.1, delta = 0.05}",
            "-s",
            "federation.min_replies=99",
        ).split()
    )
    assert 'name = "small"' in told
    assert "note: the noise on a mean update is" in told
    assert "note: delta 0.05 is no meaningful guarantee" in told
    assert "note: federation.min_replies 99 is more than a cohort of 12" in told
    assert not Path("runs").exists()
    assert "No differential privacy" in everbloom.succeed("check", "small.toml")


def test_check_says_what_a_population_implies(everbloom):
    population = "population={availability = {name = 'daily', low = 0.1, high = 0.9}, overhead_seconds = 601}"
    told = " ".join(everbloom.succeed("check", "small.toml", "-s", population).replace("│", " ").split())
    assert "devices that can be asked, over the day" in told
    assert "a round's devices, on average" in told
    assert "a round's simulated time, on average 0:10:00" in told
    assert "note: 100% of the devices that are asked fail: a longer federation.reply_timeout" in told
    assert "note: 100% of the rounds get fewer than federation.min_replies answers" in told
    few = "population={availability = {name = 'constant', rate = 0.5}}"
    assert "answers of the 12 that federation.cohort asks for" in everbloom.succeed("check", "small.toml", "-s", few)


def test_a_run_tells_the_simulated_time(everbloom):
    told = everbloom.succeed(
        "run", "small.toml", "-s", "population={overhead_seconds = 3700}", "-s", "federation.reply_timeout=4000"
    )
    assert "0.00 simulated" not in told
    assert "1:01:40 simulated, clock 2:03:20" in told
    assert "(2:03:20 simulated)" in told


def test_central_prints_epochs_and_the_test(everbloom):
    told = everbloom.succeed("central", "small.toml", "-s", "central.epochs=2")
    assert "epoch 1: loss" in told
    assert "epoch 2: loss" in told
    assert "central" in told.splitlines()[-2]
