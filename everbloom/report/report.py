"""`everbloom report`: runs in, one page out."""

from collections.abc import Callable, Sequence

from everbloom.report.groups import Group, grouped
from everbloom.report.page import page
from everbloom.report.records import RunRecords
from everbloom.report.section import Section
from everbloom.report.sections.audit import audit
from everbloom.report.sections.cost import cost
from everbloom.report.sections.forgetting import forgetting
from everbloom.report.sections.origin import origin
from everbloom.report.sections.overview import overview
from everbloom.report.sections.people import people
from everbloom.report.sections.quality import quality
from everbloom.report.sections.slices import slices
from everbloom.report.sections.spent import frontier, spent

SECTIONS: Sequence[Callable[[Sequence[Group]], Section | None]] = (
    overview, quality, spent, frontier, forgetting, slices, people, cost, audit,
)  # fmt: skip
"""In the order of the page; examples and the origin come after them."""


def report(runs: Sequence[RunRecords], examples: Section | None = None, title: str | None = None) -> str:
    """HTML of at least one run; a section that has nothing to tell is left out, or says what is missing."""
    groups = grouped(runs)
    found = [section for make in SECTIONS if (section := make(groups)) is not None]
    sections = [*found, *([examples] if examples is not None else []), origin(groups)]
    return page(title or _title(groups), _subtitle(groups), sections, len(runs))


def _title(groups: Sequence[Group]) -> str:
    return ", ".join(dict.fromkeys(group.first.experiment.name for group in groups))


def _subtitle(groups: Sequence[Group]) -> str:
    runs = sum(len(group.runs) for group in groups)
    if runs == 1:
        run = groups[0].first
        commit = str(run.environment.get("commit") or "")[:10]
        return f"Run {run.path.name}, seed {run.experiment.seed}" + (f", code at {commit}" if commit else "")
    return f"{runs} runs of {len(groups)} {'setting' if len(groups) == 1 else 'settings'}"
