"""The `everbloom-device` command: the same with and without a running service, and one line for every mistake."""

import json
import subprocess
import sys

import pytest
from served_devices import ROOT
from typer.testing import CliRunner

from client.cli import app
from client.identity import DeviceIdentity
from everbloom.errors import InputError

COLUMNS = ["item", "time", "behaviour", "value"]


@pytest.fixture
def run(folder):
    """(arguments) -> what the command prints, for the device of `folder`."""

    def command(*arguments: str) -> str:
        done = CliRunner().invoke(
            app, list(arguments), env={"EVERBLOOM_DEVICE": str(folder.path)}, catch_exceptions=False
        )
        assert done.exit_code == 0, done.output
        return done.stdout

    return command


@pytest.fixture
def file(own_events, tmp_path):
    rows = [",".join(COLUMNS), *(",".join(str(event[name]) for name in COLUMNS) for event in reversed(own_events))]
    path = tmp_path / "events.csv"
    path.write_text("\n".join(rows))
    return path


def test_a_device_is_made_filled_asked_and_emptied_without_a_service(run, with_model, own_events, file, tmp_path):
    assert run("import", str(file)) == f"{len(own_events)} of {len(own_events)} events added\n"
    status = json.loads(run("status", "--json"))
    assert (status["events"], status["client"], status["privacy"]["rounds"]) == (len(own_events), 2, 0)
    assert "device 2 (simulated: its noise protects nobody), 5 events" in run("status")
    found = json.loads(run("recommend", "-n", "3", "--json"))
    assert len(found) == 3
    run("feedback", found[0]["item"], "not-for-me")
    assert run("pause") == "paused\n"
    assert json.loads(run("status", "--json"))["paused"]
    run("resume")
    run("export", str(tmp_path / "export.json"))
    assert len(json.loads((tmp_path / "export.json").read_text())["events"]) == len(own_events)
    assert (tmp_path / "export.json").stat().st_mode & 0o777 == 0o600
    assert run("forget", "--yes") == "5 events deleted; the ledger is kept\n"
    assert json.loads(run("status", "--json"))["events"] == 0


def test_with_a_service_the_command_asks_it(run, serving, with_model, file, own_events):
    service = serving()
    run("import", str(file))
    assert service.call("GET", "/status")["events"] == len(own_events)
    found = json.loads(run("recommend", "-n", "2", "--json"))
    assert found[0]["title"] in run("recommend", "-n", "1", "--reasons")
    assert found[0]["title"] in run("why", found[0]["item"], "--language", "zh")
    run("feedback", found[0]["item"], "not-for-me")
    assert json.loads(run("recommend", "-n", "1", "--json"))[0]["item"] == found[1]["item"]
    run("pause")
    assert service.call("GET", "/status")["paused"]
    assert run("open").startswith("http://127.0.0.1:")
    assert "#code=" in run("open")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["recommend"], "no model yet"),
        (["why", "nothing"], "item 'nothing': this device's catalogue has none of this id"),
        (["feedback", "8", "meh"], "verdict: input should be 'like', 'not-for-me' or 'seen'"),
        (["open"], "no service is running here; start it with: everbloom-device serve"),
        (["import", "missing.csv"], r"missing\.csv: cannot be read as a CSV file"),
        (["status", "-d", "/nowhere"], "no device here; make one with: everbloom-device init"),
        (["init", "--catalog", "/nowhere", "-d", "x"], "no catalogue here"),
        (["serve", "--port", "1", "-d", "/nowhere"], "no device here"),
    ],
)
def test_mistakes_are_one_line(run, arguments, told):
    with pytest.raises(InputError, match=told) as caught:
        run(*arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("title\nx", "the header names no column `item`"),
        ("item,time\n8,yesterday", r"events\.csv:2: time 'yesterday', value None; expected seconds or an ISO date"),
        ("item,value\n8,many", r"events\.csv:2: time None, value 'many'"),
        ("item\nnone-such", "item 'none-such': this device's catalogue has none of this id"),
    ],
)
def test_a_file_that_cannot_be_imported_is_told_and_nothing_is_kept(run, tmp_path, text, told):
    (tmp_path / "events.csv").write_text(text)
    with pytest.raises(InputError, match=told):
        run("import", str(tmp_path / "events.csv"))
    assert json.loads(run("status", "--json"))["events"] == 0


def test_dates_are_read_as_they_are_written(run, tmp_path):
    (tmp_path / "events.csv").write_text(
        "item,time\n8,2024-05-01T12:00:00Z\n8,2024-05-01T12:00:00+02:00\n8,1714564801\n8,"
    )
    run("import", str(tmp_path / "events.csv"))
    run("export", str(tmp_path / "e.json"))
    times = [event["time"] for event in json.loads((tmp_path / "e.json").read_text())["events"]]
    assert times[:3] == [1714557600, 1714564800, 1714564801]


def test_the_program_ends_with_one_line_and_code_2(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "client.cli", "status", "-d", str(tmp_path)], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: {tmp_path}: no device here; make one with: everbloom-device init --catalog DIR\n"


def test_init_wants_a_budget_or_a_policy(device_study, tmp_path):
    device_study.dataset.catalog.save(tmp_path / "catalog")
    arguments = ["init", "--catalog", str(tmp_path / "catalog"), "-d", str(tmp_path / "new")]
    with pytest.raises(InputError, match="give --policy FILE, or --epsilon and --delta"):
        CliRunner().invoke(app, arguments, catch_exceptions=False)
    done = CliRunner().invoke(app, [*arguments, "--epsilon", "4", "--delta", "1e-5"], catch_exceptions=False)
    assert "device 0 made; what it may do is in" in done.stdout
    other = [*arguments[:-1], str(tmp_path / "other"), "--policy", str(tmp_path / "new" / "policy.toml")]
    assert CliRunner().invoke(app, other, catch_exceptions=False).exit_code == 0
    assert (tmp_path / "other" / "policy.toml").read_text() == (tmp_path / "new" / "policy.toml").read_text()


def test_devices_pin_each_other_from_a_list(run, folder, tmp_path):
    own = run("identity").split()
    assert own == ["2", DeviceIdentity(folder.path).public.hex()]
    listed, other = tmp_path / "devices.txt", f"7 {'ab' * 32}"
    listed.write_text(f"# who is who\n\n{other}\n{' '.join(own)}\n")
    assert run("pin", str(listed)) == f"{folder.path}: 2 devices pinned\n"
    assert json.loads((folder.path / "directory.json").read_text()) == {"2": own[1], "7": "ab" * 32}
    run("pin", str(listed))
    listed.write_text(f"{' '.join(own)}\n7 {'cd' * 32}\n")
    with pytest.raises(InputError, match="other devices are pinned here already; remove the file to trust new ones"):
        run("pin", str(listed))


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("7 OTHER", r"devices\.txt: device 2 is not in it; its line is what `everbloom-device identity` prints"),
        ("2 OTHER", r"devices\.txt: device 2 is there with another identity than its own"),
        ("2 OWN\n2 OTHER", r"devices\.txt:2: this number or identity is there twice"),
        ("2 OWN\n7 OWN", r"devices\.txt:2: this number or identity is there twice"),
        ("2 OWN\n\n7 abcd", r"devices\.txt:3: expected a device's number and 64 hexadecimal digits, found '7 abcd'"),
        ("2 OWN extra", r"devices\.txt:1: expected a device's number"),
        ("-2 OWN", r"devices\.txt:1: expected a device's number"),
        (None, r"devices\.txt: cannot be read"),
    ],
)
def test_a_list_that_is_no_list_is_refused_and_nothing_is_pinned(run, folder, tmp_path, lines, told):
    if lines is not None:
        own = DeviceIdentity(folder.path).public.hex()
        (tmp_path / "devices.txt").write_text(lines.replace("OWN", own).replace("OTHER", "ab" * 32))
    with pytest.raises(InputError, match=told):
        run("pin", str(tmp_path / "devices.txt"))
    assert not (folder.path / "directory.json").exists()
