"""The `everbloom-device` command: one device's owner makes it, runs it, asks it and empties it."""

import json
import os
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from everbloom.errors import ConfigError, InputError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="One device of a federation: it keeps its owner's events, recommends, and trains as far as its owner allows.",
)

Folder = Annotated[
    Path | None,
    typer.Option(
        "--device",
        "-d",
        envvar="EVERBLOOM_DEVICE",
        help="The device's folder; default: one in the user's data directory.",
    ),
]
Language = Annotated[str, typer.Option(help="en or zh: the language of reasons.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def init(
    catalog: Annotated[
        Path | None,
        typer.Option(
            help="The federation's catalogue: a prepared data set's folder `catalog`; default: its server brings it."
        ),
    ] = None,
    device: Folder = None,
    client: Annotated[int, typer.Option(help="The device's number in the federation.", min=0)] = 0,
    policy: Annotated[
        Path | None, typer.Option(help="The owner's policy, a TOML file; or give --epsilon and --delta.")
    ] = None,
    epsilon: Annotated[float | None, typer.Option(help="All that the device may ever spend.")] = None,
    delta: Annotated[float | None, typer.Option(help="At this delta.")] = None,
    server_key: Annotated[
        str | None,
        typer.Option(help="The server's public key, 64 hexadecimal digits: nothing is answered that it did not sign."),
    ] = None,
    min_cohort: Annotated[int, typer.Option(help="Fewest devices of a round.", min=1)] = 10,
    seed: Annotated[
        int | None, typer.Option(help="For rehearsals alone: makes the noise predictable, which then protects nobody.")
    ] = None,
) -> None:
    """Make a device."""
    from client.service.making import make_device
    from everbloom.data.catalog import Catalog

    opened = None if catalog is None else Catalog.open(catalog)
    made = make_device(_path(device), opened, client, policy, epsilon, delta, min_cohort, seed, server_key)
    typer.echo(f"{made.path}: device {client} made; what it may do is in {made.policy}")


@app.command()
def identity(device: Folder = None) -> None:
    """Print who this device is to others in secure aggregation: a line for the list that all of them pin."""
    from client.identity import DeviceIdentity

    opened = _folder(device)
    typer.echo(f"{opened.settings['client']} {DeviceIdentity(opened.path).public.hex()}")


@app.command()
def pin(
    identities: Annotated[
        Path, typer.Argument(help="What `identity` printed on every device, a line each; never from the server.")
    ],
    device: Folder = None,
) -> None:
    """Trust these devices, and no others, in secure aggregation."""
    from client.identity import DeviceIdentity

    opened = _folder(device)
    pinned = DeviceIdentity(opened.path).pin_list(identities, int(opened.settings["client"]))
    typer.echo(f"{opened.path}: {pinned} devices pinned")


@app.command()
def serve(
    device: Folder = None,
    port: Annotated[int, typer.Option(help="Of the loopback API; 0: any that is free.", min=0, max=65535)] = 8642,
    socket_group: Annotated[
        str | None,
        typer.Option(help="Group of the user who runs the SuperNode, if that is another one (it should be)."),
    ] = None,
    idle_seconds: Annotated[
        float, typer.Option(help="After so long unused, the model leaves memory.", min=0.1)
    ] = 300.0,
) -> None:
    """Run the device's service until it is told to stop."""
    from client.service.serving import serve as run

    run(_folder(device), port, socket_group, idle_seconds)


@app.command("import")
def import_events(
    file: Annotated[
        Path, typer.Argument(help="CSV with a header: item, and if there are, time, behaviour, value, text, key.")
    ],
    device: Folder = None,
) -> None:
    """Add events from a file; an event with a `key` that is there already is not added again."""
    from client.event_file import rows_of

    rows = sorted(rows_of(file), key=lambda row: row.get("time", 0))
    added = 0
    for start in range(0, len(rows), 1000):
        added += _call(device, "POST", "/events", body={"events": rows[start : start + 1000]})["added"]
    typer.echo(f"{added} of {len(rows)} events added")


@app.command()
def recommend(
    device: Folder = None,
    n: Annotated[int, typer.Option("-n", help="How many.", min=1, max=200)] = 10,
    reasons: Annotated[bool, typer.Option(help="Say why.")] = False,
    language: Language = "en",
    as_json: AsJson = False,
) -> None:
    """The best items for the owner now."""
    found = _call(device, "GET", "/recommendations", {"n": n, "reasons": reasons, "language": language})["items"]
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False))
        return
    for place, one in enumerate(found, start=1):
        typer.echo(f"{place:3}  {one['item']:<12}  {one['title']}")
        if reasons:
            typer.echo(f"     {one['reason']}")


@app.command()
def feedback(
    item: Annotated[str, typer.Argument(help="The item's id.")],
    verdict: Annotated[str, typer.Argument(help="like, not-for-me or seen.")],
    device: Folder = None,
) -> None:
    """Keep the owner's verdict on an item."""
    _call(device, "POST", "/feedback", body={"item": item, "verdict": verdict})
    typer.echo(f"{item}: {verdict}")


@app.command()
def why(
    item: Annotated[str, typer.Argument(help="The item's id.")],
    device: Folder = None,
    language: Language = "en",
    as_json: AsJson = False,
) -> None:
    """What of the own history raised an item's score."""
    found = _call(device, "GET", f"/why/{quote(item, safe='')}", {"language": language})
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False))
        return
    typer.echo(f"{found['title']}: {found['reason']}")
    for reason in found["reasons"]:
        typer.echo(f"  {reason['contribution']:+.3f}  {reason['title']} ({', '.join(reason['behaviours'])})")


@app.command()
def status(device: Folder = None, as_json: AsJson = False) -> None:
    """What the device is, holds and has spent."""
    told, privacy = _call(device, "GET", "/status"), _call(device, "GET", "/privacy")
    if as_json:
        typer.echo(json.dumps({**told, "privacy": privacy}, ensure_ascii=False))
        return
    model = told["model"]
    typer.echo(
        f"device {told['client']}{' (simulated: its noise protects nobody)' if told['simulated'] else ''}, {told['events']} events"
    )
    typer.echo(f"catalogue {told['catalogue']}, {told['items']} items")
    typer.echo(
        "no model yet"
        if model is None
        else f"model {model['version']} of period {model['period']}, round {model['round']}"
    )
    typer.echo("paused" if told["paused"] else "takes part in rounds that the policy allows")
    budget = privacy["budget"]
    if budget is None:
        typer.echo("nothing spent yet")
    else:
        typer.echo(
            f"epsilon {privacy['spent']:.3g} of {budget['epsilon']:g} spent at delta {budget['delta']:g} in {privacy['rounds']} rounds; "
            f"{privacy['left']:.1%} left, by {budget['relation']}"
        )
        typer.echo(privacy["statement"] or "")


@app.command()
def pause(device: Folder = None) -> None:
    """Keep the device out of all rounds."""
    _call(device, "POST", "/pause")
    typer.echo("paused")


@app.command()
def resume(device: Folder = None) -> None:
    """Let the device take part again."""
    _call(device, "POST", "/resume")
    typer.echo("resumed")


@app.command()
def forget(device: Folder = None, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Delete every event without a trace; what was spent stays spent."""
    if not yes:
        typer.confirm("Delete all events, feedback and personal parameters of this device?", abort=True)
    typer.echo(f"{_call(device, 'DELETE', '/data')['deleted']} events deleted; the ledger is kept")


@app.command()
def export(file: Annotated[Path, typer.Argument(help="Where to; it must not exist.")], device: Folder = None) -> None:
    """Write all that the device holds of its owner to a JSON file."""
    told = _call(device, "GET", "/export")
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be written ({error}); name a new file") from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        json.dump(told, stream, ensure_ascii=False, indent=1)


@app.command("open")
def open_page(device: Folder = None) -> None:
    """Print a link to the device's page that works once, within five minutes."""
    from client.service.calls import service_address

    address = service_address(_folder(device))
    # Behind the #, so that it is in no request, log or Referer.
    typer.echo(f"http://{address}/#code={_call(device, 'POST', '/links')['code']}")


def _call(
    device: Path | None, method: str, path: str, query: dict[str, Any] | None = None, body: Any = None
) -> dict[str, Any]:
    from client.service.calls import call

    return call(_folder(device), method, path, query, body)


def _folder(device: Path | None) -> Any:
    from client.service.folder import DeviceFolder

    return DeviceFolder(_path(device))


def _path(device: Path | None) -> Path:
    import platformdirs

    return (device or platformdirs.user_data_path("everbloom", appauthor=False) / "device").expanduser().absolute()


def main() -> None:
    """Entry point: what is wrong is one line on stderr and exit code 2; a traceback is a fault of ours."""
    warnings.filterwarnings("ignore", message="Secure RNG turned off")
    try:
        app()
    except InputError as error:
        print(f"error: {' '.join(str(error).splitlines())}", file=sys.stderr)  # noqa: T201
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
