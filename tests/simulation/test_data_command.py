"""`everbloom data`: what it prints and writes, and that mistakes are one line."""

import tomllib
import warnings
from pathlib import Path

import pytest

from everbloom.errors import ConfigError, DataError, InputError
from everbloom.experiment import load_experiment

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # typer's own use of click
    from typer.testing import CliRunner

    from simulation.data_command import data_app

DAY = 86_400


def run(*arguments: object) -> str:
    """What the command prints; raises what the root command turns into one line and exit code 2."""
    result = CliRunner().invoke(data_app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})
    if isinstance(result.exception, InputError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    lines = [f"{user},{item % 7},{(3 * item + user) * DAY},buy" for user in range(5) for item in range(30)]
    (tmp_path / "mine.csv").write_text("uid,iid,ts,action\n" + "\n".join(lines) + "\n")
    (tmp_path / "products.csv").write_text("iid,name\n" + "".join(f"{item},Thing {item} [new]\n" for item in range(7)))
    return tmp_path / "mine.csv"


def test_list_says_what_is_here(everbloom_home):
    assert "amazon-games" in run("list")
    (everbloom_home / "raw" / "amazon-reviews" / "Books").mkdir(parents=True)
    assert "amazon-reviews/Books" in run("list")


def test_stats_of_a_name():
    told = run("stats", "synthetic")
    for words in ("users", "500", "density", "events per user", "items without events", "2024-01-01"):
        assert words in told


def test_stats_of_an_experiment_file(tmp_path):
    path = tmp_path / "e.toml"
    path.write_text(
        'name = "e"\n[data]\ntext = "{category}"\n[data.source]\nname = "synthetic"\nusers = 20\nitems = 30\nlatent_dim = 2\n'
    )
    assert "gardening" in run("stats", path)
    assert "users" in run("stats", path, "-s", "data.source.users=9")
    with pytest.raises(ConfigError, match="overrides an experiment file"):
        run("stats", "synthetic", "-s", "data.source.users=9")


def test_stats_show_the_drift_of_a_log_with_times(tmp_path):
    told = run("stats", "synthetic")
    assert "2024-01 " in told
    assert "shares by category" in told
    assert "shares by item" in run("stats", "synthetic", "--by", "item")
    path = tmp_path / "weeks.toml"
    path.write_text('name = "e"\n[protocol]\ncut = "week"\n[data.source]\nname = "synthetic"\nusers = 30\ndays = 300\n')
    told = run("stats", path)
    assert "7 earlier periods are not shown" in told
    assert "2024-10-21" in told
    assert "too short" in run("stats", path, "-s", "data.source.days=5")


def test_stats_of_a_log_without_times_say_so(mine):
    (mine.parent / "order.csv").write_text("uid,iid\n" + "".join(f"{row % 3},{row}\n" for row in range(30)))
    run("import", mine.parent / "order.csv", "--name", "o", "--out", mine.parent / "o.toml")
    assert "drift: the events have an order but no timestamps" in run("stats", mine.parent / "o.toml")


def test_fetch_from_a_folder(tmp_path, everbloom_home):
    (tmp_path / "Games.test.inter").write_text("user_id:token\titem_id_list:token_seq\titem_id:token\n0\t1 2\t3\n")
    told = run("fetch", "amazon-games", "--from", tmp_path)
    assert "Games.test.inter in" in told
    assert "cite Ni, Li and McAuley" in told
    assert (everbloom_home / "raw" / "amazon-games" / "Games.test.inter").is_file()
    with pytest.raises(DataError, match="--force"):
        run("fetch", "amazon-games", "--from", tmp_path)
    run("fetch", "amazon-games", "--from", tmp_path, "--force")


def test_import_writes_an_experiment_that_loads(mine, tmp_path):
    out = tmp_path / "mine.toml"
    told = run(
        "import", mine, "--name", "mine", "--out", out, "--items", mine.parent / "products.csv",
        "--behaviour", "action", "--map", "buy=purchase",
    )  # fmt: skip
    assert "purchase 150" in told
    assert "Thing 0 [new]" in told
    assert f"everbloom run {out}" in told
    experiment = load_experiment(out)
    assert experiment.name == "mine"
    assert experiment.data.text == "{name}"
    assert experiment.data.source.model_dump()["time"] == "ts"
    assert experiment.protocol.cut == "month"
    assert tomllib.loads(out.read_text())["data"]["source"]["path"] == str(mine)
    assert "users" in run("stats", out)


def test_import_without_a_header(tmp_path):
    (tmp_path / "m.dat").write_text("1::2::5::978300760\n1::3::5::978302109\n1::4::5::978302200\n")
    run(
        "import",
        tmp_path / "m.dat",
        "--name",
        "m",
        "--out",
        tmp_path / "m.toml",
        "--no-header",
        "--user",
        0,
        "--item",
        1,
        "--time",
        3,
    )
    assert load_experiment(tmp_path / "m.toml").data.source.model_dump()["time"] == 3


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--user", "who"], "no column 'who'; the columns are: uid, iid, ts, action"),
        (["--map", "buy"], "--map 'buy': expected WORD=BEHAVIOUR"),
        (["--map", "buy=got"], "data.source.behaviours.buy: Input should be 'view', 'click'"),
        (["--behaviour", "action"], "row 1: behaviour 'buy' is none of view"),
        (["--time", "action"], "column 'action' holds times like 'buy'"),
        (["--no-header", "--user", "uid"], "'uid': without a header a column is its position"),
        (["--items", "none.csv"], "none.csv: no such file"),
        (["--name", "Mine!"], "name: String should match pattern"),
    ],
)
def test_mistakes_in_import_write_nothing(mine, tmp_path, arguments, told):
    out = tmp_path / "mine.toml"
    given = arguments if "--name" in arguments else ["--name", "mine", *arguments]
    with pytest.raises(InputError) as caught:
        run("import", mine, "--out", out, *given)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not out.exists()


def test_import_overwrites_nothing(mine, tmp_path):
    out = tmp_path / "mine.toml"
    out.write_text("precious")
    with pytest.raises(DataError, match="exists already; choose another with --out"):
        run("import", mine, "--name", "mine", "--out", out)
    assert out.read_text() == "precious"
