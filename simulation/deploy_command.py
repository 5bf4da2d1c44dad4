"""`everbloom deploy ...` and `everbloom doctor`: a federation on real devices."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from everbloom.errors import ConfigError, InputError

deploy_app = typer.Typer(no_args_is_help=True, help="Run a federation on real devices: make, register, start, watch.")

Folder = Annotated[
    Path,
    typer.Option("--deployment", "-d", envvar="EVERBLOOM_DEPLOYMENT", help="The folder that `deploy init` made."),
]
PASSPHRASE = "EVERBLOOM_AUTHORITY_PASSPHRASE"
_HERE = Path("deployment")


@deploy_app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="A new folder.")],
    hosts: Annotated[
        list[str], typer.Option("--host", help="What devices call the server: a DNS name or an address; repeat it.")
    ] = ["localhost"],  # noqa: B006 - typer copies it
    port: Annotated[int, typer.Option(help="Of the proxy, for devices.", min=1, max=65535)] = 443,
    link_port: Annotated[int, typer.Option(help="Of the SuperLink, on loopback.", min=1, max=65535)] = 9091,
    listen: Annotated[str, typer.Option(help="The proxy's address; default: all of the machine's.")] = "",
) -> None:
    """Make a deployment: keys, certificates, proxy, units, containers. EVERBLOOM_AUTHORITY_PASSPHRASE protects the authority's key."""
    from server.deployment.making import make_deployment

    made = make_deployment(folder, hosts, port, link_port, listen, _passphrase())
    console = Console()
    console.print(
        f"{made.path}: a deployment for {', '.join(made.settings.hosts)}, devices connect to {made.settings.address}"
    )
    console.print(
        f"move {made.authority_key} off this machine; it is needed again only for `everbloom deploy renew`",
        soft_wrap=True,
    )
    console.print(f"devices need {made.authority} and the key in {made.public_task_key}", soft_wrap=True)


@deploy_app.command()
def renew(folder: Folder = _HERE) -> None:
    """Make a new server certificate under the same authority; devices need nothing new. Restart the SuperLink and the proxy afterwards."""
    from server.deployment.folder import DeploymentFolder
    from server.deployment.making import renew_certificate

    renew_certificate(DeploymentFolder(folder), _passphrase())
    Console().print(f"{folder}: renewed; restart everbloom-superlink and everbloom-proxy", soft_wrap=True)


@deploy_app.command("node-key")
def node_key(
    path: Annotated[Path, typer.Argument(help="Where the private key goes; the public one gets .pub.")],
) -> None:
    """On a device: make a SuperNode's key. The private half stays there; send the public one to the operator."""
    from server.deployment.certificates import make_node_key

    Console().print(f"{path}: made; register {make_node_key(path)} with: everbloom deploy register", soft_wrap=True)


@deploy_app.command()
def register(
    public_key: Annotated[Path, typer.Argument(help="A node's public key, NODE.pub.")],
    folder: Folder = _HERE,
    name: Annotated[str | None, typer.Option(help="The node's name in lists; default: the file's.")] = None,
) -> None:
    """Let a SuperNode in: whoever is not registered is refused."""
    from server.deployment.certificates import read_node_key
    from server.deployment.control import control
    from server.deployment.folder import DeploymentFolder

    key = read_node_key(public_key)
    with control(DeploymentFolder(folder)) as link:
        node = link.register(key, name or public_key.stem)
    Console().print(f"{name or public_key.stem}: registered as node {node}")


@deploy_app.command()
def unregister(
    node: Annotated[str, typer.Argument(help="A node's name or number, as `deploy status` shows it.")],
    folder: Folder = _HERE,
) -> None:
    """Shut a SuperNode out: a lost or stolen device."""
    from server.deployment.control import control
    from server.deployment.folder import DeploymentFolder

    with control(DeploymentFolder(folder)) as link:
        found = [one for one in link.nodes() if node in (one.name, str(one.id))]
        if len(found) != 1:
            raise ConfigError(f"{node}: {len(found)} nodes have this name or number; give the number of one")
        link.unregister(found[0].id)
    Console().print(f"{found[0].name}: refused from now on")


@deploy_app.command()
def status(
    folder: Folder = _HERE, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
) -> None:
    """Show the nodes and the runs."""
    import json
    from dataclasses import asdict

    from server.deployment.control import control
    from server.deployment.folder import DeploymentFolder

    with control(DeploymentFolder(folder)) as link:
        nodes, runs = link.nodes(), link.runs()
    console = Console()
    if as_json:
        told = {"nodes": [asdict(node) for node in nodes], "runs": [asdict(run) for run in runs]}
        console.print(json.dumps(told), markup=False, highlight=False, soft_wrap=True)
        return
    online = sum(node.status == "online" for node in nodes)
    listed = [(str(node.id), node.name, node.status, node.last_seen) for node in nodes]
    console.print(_table(f"{len(nodes)} nodes, {online} online", ("node", "name", "status", "last change"), listed))
    counted = [
        (
            str(run.id),
            run.outcome or run.status,
            f"{run.bytes_up / 1e6:.1f}",
            f"{run.bytes_down / 1e6:.1f}",
            f"{run.device_seconds:.0f}",
        )
        for run in runs
    ]
    console.print(_table(f"{len(runs)} runs", ("run", "status", "MB up", "MB down", "device seconds"), counted))


@deploy_app.command()
def catalog(
    folder: Annotated[Path, typer.Argument(help="The folder that `deploy init` made.")],
    action: Annotated[Literal["update"], typer.Argument(help="`update` takes over a table of items.")],
    items: Annotated[
        Path, typer.Argument(help="All items that there are now: a column `item` (the id), the others are fields.")
    ],
) -> None:
    """Bring the catalogue up to date between runs: new items come behind, missing ones are retired; devices fetch what is new before the next run."""
    import time

    from everbloom.data.catalogue_versions import CatalogueVersions
    from server.deployment.folder import DeploymentFolder

    deployment = DeploymentFolder(folder)
    _ = deployment.settings
    number, made, change = CatalogueVersions(deployment.catalogue).update(items, int(time.time()))
    retired = 0 if made.retired is None else int(made.retired.sum())
    console = Console()
    console.print(
        f"{deployment.catalogue}: version {number}, {len(made)} items ({retired} retired), SHA-256 {made.digest()}; "
        f"{change.added} new, {change.retired} retired and {change.back} back with this table",
        highlight=False,
        soft_wrap=True,
    )
    if change.kept:
        console.print(
            f"note: {change.kept} known items are told otherwise in the table; they stay as they were (another item needs another id)",
            style="yellow",
            highlight=False,
            soft_wrap=True,
        )


@deploy_app.command()
def run(
    experiment: Annotated[Path | None, typer.Argument(help="An experiment file; none with --resume.")] = None,
    folder: Folder = _HERE,
    devices: Annotated[int, typer.Option(help="Begin when so many devices are there.", min=1)] = 2,
    wait: Annotated[float, typer.Option(help="And wait for them at most so many seconds.", min=1)] = 300.0,
    overrides: Annotated[
        list[str], typer.Option("--set", "-s", metavar="KEY=VALUE", help="Override one key of the experiment.")
    ] = [],  # noqa: B006
    resume: Annotated[
        Path | None, typer.Option(help="Go on with the run in this directory from its last checkpoint.")
    ] = None,
    start_from: Annotated[
        Path | None,
        typer.Option(help="Begin with the model of the run in this directory; the catalogue may have grown since."),
    ] = None,
    detach: Annotated[bool, typer.Option(help="Do not wait for the run's end.")] = False,
) -> None:
    """Run an experiment on the devices. Ctrl-C leaves it running; `--resume` continues one that has ended early."""
    from server.deployment.folder import DeploymentFolder
    from simulation.fleet.command import run_on_deployment

    if (experiment is None) == (resume is None):
        raise ConfigError("give an experiment file, or --resume RUN; one of the two")
    if resume is not None and start_from is not None:
        raise ConfigError("--start-from is for a new run; --resume goes on with the model that its run had")
    deployment = DeploymentFolder(folder)
    run_on_deployment(deployment, experiment, overrides, resume, start_from, devices, wait, detach, Console())


@deploy_app.command()
def fleet(
    experiment: Annotated[Path | None, typer.Argument(help="An experiment file; default: the embedded one.")] = None,
    devices: Annotated[int, typer.Option(help="How many, each with one user of the data set.", min=2)] = 3,
    out: Annotated[Path, typer.Option(help="A new folder for all of it.")] = Path("fleet"),
    overrides: Annotated[
        list[str], typer.Option("--set", "-s", metavar="KEY=VALUE", help="Override one key of the experiment.")
    ] = [],  # noqa: B006
    run: Annotated[bool, typer.Option("--run", help="Run the experiment once and stop.")] = False,
    seeded: Annotated[
        bool,
        typer.Option(
            "--seeded", help="For comparisons alone: noise from the experiment's seed, which protects nobody."
        ),
    ] = False,
) -> None:
    """Rehearse on this machine: SuperLink, proxy, devices and SuperNodes, with real data split by user, until Ctrl-C."""
    from simulation.cli import default_experiment
    from simulation.fleet.command import run_fleet

    run_fleet(experiment or default_experiment(), overrides, devices, out, run, seeded, Console())


def doctor(
    folder: Annotated[
        Path | None, typer.Argument(help="A deployment or a device's folder; none: the machine alone.")
    ] = None,
    server: Annotated[str | None, typer.Option(help="HOST:PORT of a server to reach from here.")] = None,
    certificates: Annotated[Path | None, typer.Option(help="authority.pem that the server is checked by.")] = None,
) -> None:
    """Check a machine: versions, clock, disk, permissions, ports, certificates. Exit code 2 and one line for every fault."""
    from simulation.doctor import examine

    console = Console()
    findings = examine(folder, server, certificates)
    for finding in findings:
        console.print(
            f"{'ok   ' if finding.fine else 'fault'}  {finding.text}", markup=False, highlight=False, soft_wrap=True
        )
    faults = [finding for finding in findings if not finding.fine]
    if faults:
        raise InputError(f"{len(faults)} fault{'s' if len(faults) > 1 else ''} found; see the lines above")


def _passphrase() -> bytes | None:
    given = os.environ.get(PASSPHRASE, "")
    return given.encode() or None


def _table(title: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Table:
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*row)
    return table
