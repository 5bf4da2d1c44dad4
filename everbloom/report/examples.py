"""What a trained model would recommend to some of the people it is tested on, in words."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from everbloom.data.cases import Cases
from everbloom.data.catalog import Catalog
from everbloom.data.events import NO_ITEM
from everbloom.evaluation.ranking import rank
from everbloom.report.markup import Markup, joined, tag
from everbloom.report.section import Section
from everbloom.seeding import numpy_generator
from everbloom.study import Study

_TITLES = ("title", "name", "description")
_LAST = 5
_TOP = 10


@dataclass(frozen=True)
class Example:
    """`history`: the last items, newest first, of `known` events; `recommended`: (item, whether the user then took it), best first; `later`: all the
    user took.
    """

    user: int
    known: int
    history: Sequence[str]
    recommended: Sequence[tuple[str, bool]]
    later: Sequence[str]


def examples_of(
    study: Study, parameters: NDArray[np.float32], kept: NDArray[np.float32] | None, count: int
) -> list[Example]:
    """So many users of the last period's test, drawn by the experiment's seed. `parameters` [params]: the shared ones; `kept` [users, numbers]:
    what devices keep, where their users are served by it. Raises `DataError` if there is no test.
    """
    period = study.timeline.periods - 1
    drawn = numpy_generator(study.experiment.seed, "report-examples")
    cases = study.timeline.sample(period, "test", count, drawn)
    scorer = study.scorer(parameters, kept)
    found = rank(cases, study.dataset.events, len(study.dataset.catalog), lambda at: scorer.score(cases, at), _TOP)
    return [_example(study, cases, place, found.items[place], found.hits[place]) for place in range(len(cases))]


def _example(study: Study, cases: Cases, place: int, items: NDArray[np.int32], hits: NDArray[np.bool_]) -> Example:
    catalog, log = study.dataset.catalog, study.dataset.events
    rows = log.item[cases.history_start[place] : cases.history_end[place]]
    known = np.asarray(rows[rows != NO_ITEM])
    targets = cases.targets[cases.target_offsets[place] : cases.target_offsets[place + 1]]
    return Example(
        int(cases.user[place]),
        len(known),
        [_title(catalog, int(item)) for item in known[::-1][:_LAST]],
        [(_title(catalog, int(item)), bool(hit)) for item, hit in zip(items, hits, strict=True) if item != NO_ITEM],
        [_title(catalog, int(item)) for item in targets],
    )


def _title(catalog: Catalog, item: int) -> str:
    """In the field that names items; the source's id where there is none, or nothing in it."""
    field = next((name for name in _TITLES if name in catalog.fields), None)
    return (catalog.fields[field][item] if field else "") or f"item {catalog.item_ids[item]}"


def examples_section(found: Sequence[Example] | str) -> Section:
    """`found`: the examples, or why there are none."""
    if isinstance(found, str):
        return Section("examples", "Example recommendations", tag("p", found, class_="missing"))
    told = (
        "People of the data set, drawn by the seed, on the last period's test. They are real where the data are: "
        "leave them out with --no-examples before a page on private data is shared."
    )
    cards = tag("div", [_card(example) for example in found], class_="people")
    return Section("examples", "Example recommendations", joined(tag("p", told, class_="lead"), cards))


def _card(example: Example) -> Markup:
    listed = [
        tag("li", title, tag("span", " ✓ taken", class_="hit") if hit else None, class_="taken" if hit else None)
        for title, hit in example.recommended
    ]
    later = ", ".join(example.later[:4]) + (f" and {len(example.later) - 4} more" if len(example.later) > 4 else "")
    return tag(
        "article",
        tag("h4", f"User {example.user}", tag("small", f" {example.known} events known")),
        tag("p", tag("b", "Last: "), "; ".join(example.history) or "nothing yet", class_="history"),
        tag("ol", listed),
        tag("p", tag("b", "Took later: "), later, class_="history"),
    )
