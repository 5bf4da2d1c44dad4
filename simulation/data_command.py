"""`everbloom data`: what data sets there are, what is in them, and how to get them or bring one's own."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import tomli_w
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column, Table

from everbloom.config import DataConfig, ProtocolConfig
from everbloom.data.downloads import AMAZON, DOWNLOADS, EMBEDDED
from everbloom.data.drift import describe_drift
from everbloom.data.fetch import fetch, source_of
from everbloom.data.home import home, raw_folder
from everbloom.data.own_table import experiment_tables, guess_columns, guess_time_format
from everbloom.data.periods import period_boundaries
from everbloom.data.prepare import Dataset, prepare
from everbloom.data.sources.table import TableFiles
from everbloom.data.statistics import describe
from everbloom.errors import ConfigError, DataError
from everbloom.experiment import load_experiment, parse_experiment
from everbloom.methods import Progress as Report
from everbloom.models.features.catalogue import DEFAULT_TEXT
from simulation.drift_table import drift_table, legend

data_app = typer.Typer(help=__doc__, no_args_is_help=True, rich_markup_mode=None)

_EXAMPLES = 5
_HEADING = """\
# Written by `everbloom data import {file}`.
#   everbloom run {target}
# Without a [privacy] table the devices' updates are not private; unit = "example", epsilon and delta make them so.
"""


@data_app.command("list")
def list_datasets() -> None:
    """Data sets that are embedded, or can be fetched, and whether they are here."""
    table = Table("name", "here", Column("from", overflow="fold"), "licence")
    for name in EMBEDDED:
        table.add_row(name, "yes", "embedded", "")
    for name, download in DOWNLOADS.items():
        table.add_row(name, "yes" if raw_folder(name).is_dir() else "no", download.page, download.licence)
    for folder in sorted(path for path in raw_folder(AMAZON).glob("[!.]*") if path.is_dir()):
        table.add_row(f"{AMAZON}/{folder.name}", "yes", "https://amazon-reviews-2023.github.io", "")
    table.add_row(f"{AMAZON}/CATEGORY", "", "https://amazon-reviews-2023.github.io", "research use; cite the paper")
    console = Console()
    console.print(table)
    console.print(
        f"Kept in {home()} (EVERBLOOM_HOME). Your own: everbloom data import FILE --name NAME --out FILE.toml"
    )


@data_app.command("stats")
def stats(
    name: Annotated[str, typer.Argument(metavar="NAME|EXPERIMENT", help="A data set's name, or an experiment file.")],
    settings: Annotated[
        list[str] | None, typer.Option("-s", "--set", metavar="KEY=VALUE", help="Overrides for an experiment file.")
    ] = None,
    by: Annotated[
        str | None, typer.Option(help="Item field that tastes are over; default category or genres, else item.")
    ] = None,
) -> None:
    """Users, items, events, behaviours, time span, what cleaning did, example item texts, drift over time."""
    data, protocol = _data_of(name, settings or [])
    with _progress("reading events") as report:
        dataset = prepare(data, report)
    console = Console()
    _show(console, dataset, data)
    _show_drift(console, dataset, protocol, by)


@data_app.command("fetch")
def fetch_dataset(
    name: Annotated[str, typer.Argument(help="See `everbloom data list`.")],
    origin: Annotated[
        Path | None, typer.Option("--from", help="Folder, zip or file that you have; without it, download.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
) -> None:
    """Downloads a data set from its official address, or takes it from files that you have."""
    with _progress(f"fetching {name}") as report:
        fetched = fetch(name, origin, report, force=force)
    console = Console()
    console.print(escape(f"{name}: {', '.join(fetched.files)} in {fetched.folder}"), soft_wrap=True)
    if fetched.licence:
        console.print(escape(f"Licence: {fetched.licence}"), soft_wrap=True)


@data_app.command("import")
def import_table(
    file: Annotated[Path, typer.Argument(help="csv, tsv, dat (::), parquet or JSON lines; .gz is fine.")],
    name: Annotated[str, typer.Option(help="Name of the experiment: lower-case letters, digits, hyphens.")],
    out: Annotated[Path | None, typer.Option(help="Experiment file to write; default NAME.toml.")] = None,
    user: Annotated[str | None, typer.Option(help="Column of the user's id (a position without header).")] = None,
    item: Annotated[str | None, typer.Option(help="Column of the item's id.")] = None,
    time: Annotated[str | None, typer.Option(help="Column of the time; without one, rows are in order.")] = None,
    time_format: Annotated[str | None, typer.Option(help="s, ms, iso, or like '%d/%m/%Y %H:%M'.")] = None,
    behaviour: Annotated[str | None, typer.Option(help="Column of the behaviour.")] = None,
    default_behaviour: Annotated[str | None, typer.Option(help="Behaviour of rows that name none.")] = None,
    translate: Annotated[
        list[str] | None, typer.Option("--map", metavar="WORD=BEHAVIOUR", help="What the file's words mean.")
    ] = None,
    value: Annotated[str | None, typer.Option(help="Column of the value (rating, quantity).")] = None,
    text: Annotated[str | None, typer.Option(help="Column of a search's words.")] = None,
    separator: Annotated[str | None, typer.Option(help="Between columns; default by the file's ending.")] = None,
    header: Annotated[bool, typer.Option(help="Whether the first line names the columns.")] = True,
    items: Annotated[Path | None, typer.Option(help="Table of the items.")] = None,
    item_id: Annotated[str | None, typer.Option(help="Its column of ids; default as --item.")] = None,
    item_field: Annotated[list[str] | None, typer.Option(help="Its text columns; default all.")] = None,
    item_number: Annotated[list[str] | None, typer.Option(help="Its numeric columns.")] = None,
) -> None:
    """Checks your own table and writes an experiment file that runs on it; the table stays where it is."""
    target = out if out is not None else Path(f"{name}.toml")
    if target.exists():
        raise DataError(f"{target}: exists already; choose another with --out")
    given = {
        "path": str(file.expanduser().absolute()),
        "separator": separator,
        "header": header,
        "user": _column(user, header),
        "item": _column(item, header),
        "time": _column(time, header),
        "time_format": time_format,
        "behaviour": _column(behaviour, header),
        "default_behaviour": default_behaviour,
        "behaviours": _translation(translate or []),
        "value": _column(value, header),
        "text": _column(text, header),
        "items_path": None if items is None else str(items.expanduser().absolute()),
        "item_id": item_id,
        "item_fields": None if not item_field else tuple(item_field),
        "item_numbers": tuple(item_number or ()),
    }
    source = _table_source(file, given)
    data = DataConfig(source=source)
    with _progress(f"reading {file.name}") as report:
        dataset = prepare(data, report)
    tables = experiment_tables(name, source, dataset)
    _show(Console(), dataset, parse_experiment(tables).data)
    try:
        with target.open("x", encoding="utf-8") as stream:
            stream.write(_HEADING.format(file=file.name, target=target) + tomli_w.dumps(tables))
    except OSError as error:
        raise DataError(f"{target}: cannot be written: {error.strerror or error}") from None
    Console().print(escape(f"Wrote {target}. Next: everbloom run {target}"), soft_wrap=True)


def _data_of(name: str, settings: list[str]) -> tuple[DataConfig, ProtocolConfig]:
    if name.endswith(".toml") or Path(name).is_file():
        experiment = load_experiment(Path(name), settings)
        return experiment.data, experiment.protocol
    if settings:
        raise ConfigError(f"-s {settings[0]}: overrides an experiment file, and {name!r} is a data set's name")
    return DataConfig(source=source_of(name)), ProtocolConfig()


def _table_source(file: Path, given: dict[str, Any]) -> TableFiles:
    path = file.expanduser()
    table = {"name": "table", **guess_columns(path, given)}
    source = parse_experiment({"name": "import", "data": {"source": table}}, where=str(file)).data.source
    if not isinstance(source, TableFiles):
        raise TypeError(f"source 'table' is a {type(source).__name__}")
    if given["time_format"] is None:
        source = source.model_copy(update={"time_format": guess_time_format(source, path)})
    return source


def _column(name: str | None, header: bool) -> str | int | None:
    if name is None or header:
        return name
    if not name.isdecimal():
        raise DataError(f"{name!r}: without a header a column is its position, a number from 0")
    return int(name)


def _translation(pairs: list[str]) -> dict[str, str]:
    translation = {}
    for pair in pairs:
        word, sign, behaviour = pair.partition("=")
        if not sign:
            raise DataError(f"--map {pair!r}: expected WORD=BEHAVIOUR, for example buy=purchase")
        translation[word] = behaviour
    return translation


def _show(console: Console, dataset: Dataset, data: DataConfig) -> None:
    told = describe(dataset)
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for what, count in (("users", told.users), ("items", told.items), ("events", told.events)):
        table.add_row(what, f"{count:,}")
    behaviours = ", ".join(f"{name} {count:,}" for name, count in told.behaviours.items())
    table.add_row("behaviours", behaviours)
    table.add_row("density", f"{told.density:.3%}")
    table.add_row(
        "time",
        "order only"
        if told.first is None or told.last is None
        else f"{told.first.item():%Y-%m-%d} .. {told.last.item():%Y-%m-%d}",
    )
    for what, quantiles in (("events per user", told.events_per_user), ("events per item", told.events_per_item)):
        table.add_row(what, ", ".join(f"{_quantile_name(q)} {count:,.0f}" for q, count in quantiles.items()))
    for what, said in dataset.report.lines():
        table.add_row(what, escape(said))
    table.add_row("item fields", escape(", ".join(dataset.catalog.fields)) or "none")
    console.print(table)
    for line in _example_texts(dataset, data):
        console.print(escape(f"  {line}"), overflow="ellipsis", no_wrap=True)


def _show_drift(console: Console, dataset: Dataset, protocol: ProtocolConfig, by: str | None) -> None:
    """Periods are those of the protocol; calendar months where it has none."""
    cut = protocol if protocol.name == "timeline" else ProtocolConfig()
    console.print()
    if not dataset.events.has_time:
        console.print("drift: the events have an order but no timestamps, so there are no periods to compare")
        return
    try:
        period_boundaries(dataset.events, cut)
    except DataError as error:  # no reason to stop: all else is shown
        console.print(escape(f"drift: {error}"))
        return
    drift = describe_drift(dataset.events, dataset.catalog, cut, by)
    console.print(drift_table(drift, by_month=cut.cut == "month"))
    for line in legend(drift):
        console.print(escape(line), highlight=False)


def _quantile_name(quantile: float) -> str:
    return {0.0: "min", 0.5: "median", 1.0: "max"}.get(quantile, f"{quantile:.0%}")


def _example_texts(dataset: Dataset, data: DataConfig) -> list[str]:
    fields = dataset.catalog.fields
    template = data.text
    if template is None:
        template = DEFAULT_TEXT if "title" in fields else ". ".join(f"{{{field}}}" for field in fields) or "{id}"
    return dataset.catalog.texts(template)[:_EXAMPLES]


@contextmanager
def _progress(what: str) -> Iterator[Report]:
    """A bar on a terminal, nothing elsewhere."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:,}"), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(escape(what), total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total or None)
