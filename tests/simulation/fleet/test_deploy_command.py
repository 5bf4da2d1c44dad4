"""`everbloom deploy ...` without a SuperLink: what can be made, and what goes wrong in one line."""

from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from everbloom.errors import InputError
from simulation.deploy_command import deploy_app
from simulation.processes import free_ports

CONFIG = Path(__file__).parents[3] / "configs" / "smoke.toml"


@pytest.fixture(scope="module")
def deployment(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("deploy") / "d"
    port, link = map(str, free_ports(2))
    made = command(
        "init", folder, "--host", "fleet.example.org", "--host", "10.0.0.7", "--port", port, "--link-port", link
    )
    assert made.exit_code == 0, made.output
    assert f"devices connect to fleet.example.org:{port}" in made.stdout.replace("\n", " ").replace("  ", " ")
    assert "authority.key off this machine" in made.stdout
    return folder


def command(*arguments: object) -> Result:
    """`everbloom deploy ARGUMENTS`, in this process."""
    return CliRunner().invoke(deploy_app, [str(word) for word in arguments])


def fails(*arguments: object) -> str:
    """The one line of an error."""
    told = command(*arguments)
    assert isinstance(told.exception, InputError), told.output
    assert "\n" not in str(told.exception)
    return str(told.exception)


def test_init_writes_over_nothing(deployment):
    assert "exists and is not empty" in fails("init", deployment)


def test_a_node_key_is_made_once(tmp_path):
    assert command("node-key", tmp_path / "node").exit_code == 0
    assert (tmp_path / "node.pub").read_text().startswith("ecdsa-sha2-nistp384 ")
    assert "exists already" in fails("node-key", tmp_path / "node")


def test_renew(deployment):
    before = (deployment / "public" / "server.pem").read_bytes()
    assert command("renew", "-d", deployment).exit_code == 0
    assert (deployment / "public" / "server.pem").read_bytes() != before


@pytest.mark.parametrize("asked", [("status",), ("register", "PUB"), ("unregister", "x")])
def test_without_a_superlink_it_says_so(deployment, tmp_path, asked):
    command("node-key", tmp_path / "node")
    words = [tmp_path / "node.pub" if word == "PUB" else word for word in asked]
    assert "no SuperLink answers at 127.0.0.1:" in fails(*words, "-d", deployment)


def test_mistakes(deployment, tmp_path):
    assert "no deployment here" in fails("status", "-d", tmp_path)
    assert "no public key can be read here" in fails("register", tmp_path / "none.pub", "-d", deployment)
    assert "give an experiment file, or --resume RUN" in fails("run", "-d", deployment)
    assert "no run to resume here" in fails("run", "--resume", tmp_path, "-d", deployment)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    assert "a fleet is made in a new folder" in fails("fleet", "--out", tmp_path / "full")


def test_a_catalogue_is_brought_up_to_date(deployment, tmp_path):
    def update(*rows: str) -> str:
        (tmp_path / "items.csv").write_text("\n".join(["item,title", *rows]) + "\n")
        told = command("catalog", deployment, "update", tmp_path / "items.csv")
        assert told.exit_code == 0, told.output
        return told.stdout

    assert "version 1, 2 items (0 retired)" in update("a,One", "b,Two")
    assert "version 1, 2 items" in update("b,Two", "a,One"), "nothing changed"
    told = update("b,Too", "c,Three")
    assert "version 2, 3 items (1 retired)" in told
    assert "1 new, 1 retired and 0 back" in told
    assert "1 known items are told otherwise" in told
    assert sorted(path.name for path in (deployment / "catalogue").iterdir()) == ["0001", "0002", "current.json"]


def test_mistakes_with_catalogues_and_runs_that_go_on(deployment, tmp_path):
    (tmp_path / "items.csv").write_text("id,title\na,One\n")
    assert "no column 'item'" in fails("catalog", deployment, "update", tmp_path / "items.csv")
    assert "no deployment here" in fails("catalog", tmp_path, "update", tmp_path / "items.csv")
    assert command("catalog", deployment, "remove", tmp_path / "items.csv").exit_code == 2
    told = fails("run", "-d", deployment, "--resume", tmp_path, "--start-from", tmp_path)
    assert "--start-from is for a new run" in told
    told = fails("run", CONFIG, "-d", deployment, "--start-from", tmp_path)
    assert "no run to go on from here" in told
