"""A log's drift over time on the terminal: one row a period, and what the columns mean."""

from collections.abc import Iterator
from datetime import UTC, datetime

from rich.table import Column, Table

from everbloom.data.drift import Drift, Period

_SHOWN = 36
"""Periods in the table: the latest ones."""


def drift_table(drift: Drift, by_month: bool) -> Table:
    """One row a period; `by_month`: periods are calendar months and named so."""
    left = len(drift.periods) - _SHOWN
    title = "drift" if left <= 0 else f"drift ({left} earlier periods are not shown)"
    headings = (
        "events", "users", "new\nusers", "items", "on\nnew", "re-\npeats", "popu-\nlarity", "dealt\nanew",
        f"top\n{drift.top}", "taste", "dealt\nanew", "oth-\ners",
    )  # fmt: skip
    columns = [Column("from", no_wrap=True), *(Column(heading, justify="right") for heading in headings)]
    table = Table(*columns, title=title, title_justify="left", box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for period in drift.periods[-_SHOWN:]:
        table.add_row(*_cells(period, by_month))
    return table


def legend(drift: Drift) -> Iterator[str]:
    """Lines that say what the columns mean."""
    yield (
        "on new: events on items first seen in the period. repeats: events whose user had the item before. "
        f"top {drift.top}: how many of the most frequent items of the period before still are."
    )
    yield (
        "popularity: Jensen-Shannon distance (0 to 1) between the items' shares of events in the period before and now; "
        "dealt anew: the same after the events of both were shuffled, as there would be without drift."
    )
    kinds = "items" if drift.kinds == "item" else drift.kinds
    yield (
        f"taste: that distance between a user's own shares by {kinds}, mean over who was active in both; dealt anew: with each "
        "user's own events shuffled; others: to another user now. Tastes that stay are near dealt anew, lost ones near others."
    )


def _cells(period: Period, by_month: bool) -> Iterator[str]:
    start = datetime.fromtimestamp(period.start, UTC)
    yield f"{start:%Y-%m}" if by_month else f"{start:%Y-%m-%d}"
    yield from (f"{period.events:,}", f"{period.users:,}", _percent(period.new_users), f"{period.items:,}")
    yield from (_percent(period.new_items), _percent(period.repeats))
    move = period.move
    if move is None:
        yield from ("-",) * 6
        return
    yield from (_number(move.popularity), _number(move.popularity_dealt_anew), _percent(move.top_kept))
    if move.tastes is None:
        yield from ("-",) * 3
    else:
        yield from (_number(move.tastes.distance), _number(move.tastes.dealt_anew), _number(move.tastes.others))


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}".removeprefix("0")
