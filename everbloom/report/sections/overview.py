"""What was run, what it reached, and the privacy statement: what must be read first."""

from collections.abc import Sequence

from everbloom.report.charts.frame import table
from everbloom.report.groups import Group, privacy_words
from everbloom.report.markup import Markup, joined, tag
from everbloom.report.records import RunRecords
from everbloom.report.section import Section, baselines_of, elapsed, estimated, measure_name, shared_measures, size


def overview(groups: Sequence[Group]) -> Section:
    """Figures of the first group as cards; of several as a table; then every claim, word for word."""
    if len(groups) == 1:
        parts = [_cards(groups[0]), _what(groups), _claims(groups), tag("h3", "Reached"), _results(groups)]
    else:
        parts = [_what(groups), _results(groups), _claims(groups)]
    return Section("overview", "What was run", joined(parts))


def _cards(group: Group) -> Markup:
    run = group.first
    cards = []
    for measure in run.measures[:2]:
        reached, popular = group.reached(measure), group.reached(measure, model="popularity")
        beside = f"popularity {popular.mean:.4f}" if popular else "no baseline measured"
        cards.append(_card(f"{measure_name(measure)}, test", estimated(reached), beside))
    spent = run.spent
    if run.experiment.privacy.unit == "none":
        cards.append(_card("Privacy", "none", "updates are sent as they are"))
    else:
        delta = run.experiment.privacy.delta
        cards.append(
            _card(
                "Epsilon spent",
                "–" if spent is None else f"{spent:.3g}",
                f"at delta {delta:g}, {run.experiment.privacy.unit} unit",
            )
        )
    cards.append(
        _card("Rounds", f"{len(run.rounds):,}", f"{elapsed(run.total('seconds'))}, {size(run.total('bytes_up'))} up")
    )
    return tag("div", cards, class_="cards")


def _card(name: str, value: str, beside: str) -> Markup:
    return tag(
        "div",
        tag("span", name, class_="what"),
        tag("strong", value),
        tag("span", beside, class_="beside"),
        class_="card",
    )


def _what(groups: Sequence[Group]) -> Markup:
    run = groups[0].first
    experiment = run.experiment
    told = [
        ("Experiment", ", ".join(dict.fromkeys(group.first.experiment.name for group in groups))),
        ("Data", _data(run)),
        ("Protocol", _protocol(run)),
        ("Federation", _federation(run)),
    ]
    if len(groups) == 1:
        told.append(("Privacy", privacy_words(experiment)))
    seeds = sorted({member.experiment.seed for group in groups for member in group.runs})
    told.append(("Seeds" if len(seeds) > 1 else "Seed", ", ".join(map(str, seeds))))
    unfinished = [member.path.name for group in groups for member in group.runs if member.summary is None]
    if unfinished:
        told.append(("Not finished", ", ".join(unfinished)))
    return tag("dl", [joined(tag("dt", name), tag("dd", words)) for name, words in told], class_="facts")


def _data(run: RunRecords) -> str:
    source = run.experiment.data.source.name
    if run.summary is None:
        return source
    return f"{source}: {run.summary['users']:,} users, {run.summary['items']:,} items, {run.summary['events']:,} events"


def _protocol(run: RunRecords) -> str:
    protocol = run.experiment.protocol
    if protocol.name == "leave-one-out":
        return "leave-one-out: the last positive of each user is the test; all items are ranked"
    return f"timeline: {len(run.starts)} periods, each tested before it is learnt; all items are ranked"


def _federation(run: RunRecords) -> str:
    federation = run.experiment.federation
    cohort = (
        f"{federation.cohort:,} clients"
        if isinstance(federation.cohort, int)
        else f"{federation.cohort:.0%} of the clients"
    )
    parameters = f"; {run.summary['parameters']:,} shared parameters" if run.summary else ""
    baseline = run.experiment.baseline
    learning = federation.optimizer.name if baseline is None else f"the published {baseline.name}"
    return f"{len(run.rounds):,} rounds of {cohort}, {learning}{parameters}"


def _results(groups: Sequence[Group]) -> Markup:
    measures = shared_measures(groups)
    head = ["Model", *map(measure_name, measures), "Epsilon spent", "Rounds"]
    rows = [
        [
            group.label if len(groups) > 1 else "federated",
            *(estimated(group.reached(measure)) for measure in measures),
            "–" if group.first.spent is None else f"{group.first.spent:.3g}",
            f"{len(group.first.rounds):,}",
        ]
        for group in groups
    ]
    for name in baselines_of(groups):
        rows.append([name, *(_best_known(groups, measure, name) for measure in measures), "", ""])
    sampled = [
        [f"{group.label if len(groups) > 1 else 'federated'}, among 99 negatives", *found, "", ""]
        for group in groups
        if any(found := [_or_dash(group.reached(measure, protocol="sampled-99")) for measure in measures])
        and set(found) != {"–"}
    ]
    return table(
        head,
        [*rows, *sampled],
        caption="Test: mean over tested periods, ± the 95% interval over seeds where there are several",
    )


def _best_known(groups: Sequence[Group], measure: str, model: str) -> str:
    """A baseline does not depend on the group, unless the groups are measured otherwise."""
    found = [estimate for group in groups if (estimate := group.reached(measure, model=model)) is not None]
    low, high = min((one.mean for one in found), default=0.0), max((one.mean for one in found), default=0.0)
    if not found:
        return "–"
    return str(found[0]) if high - low < 1e-6 else f"{low:.4f} to {high:.4f}"


def _or_dash(estimate: object) -> str:
    return "–" if estimate is None else str(estimate)


def _claims(groups: Sequence[Group]) -> Markup:
    """Each statement once, with the groups that make it."""
    claims: dict[str, list[str]] = {}
    for group in groups:
        run = group.first
        told = (
            f"{privacy_words(run.experiment)}. The run is not finished: its statement comes with its summary."
            if run.summary is None
            else str(run.summary["privacy"]["statement"])
        )
        claims.setdefault(told, []).append(group.label)
    notes = [
        tag(
            "blockquote", tag("p", f"{'; '.join(labels)}:", class_="whose") if len(groups) > 1 else None, tag("p", told)
        )
        for told, labels in claims.items()
    ]
    heading = "The privacy statement" if len(claims) == 1 else "The privacy statements"
    return joined(tag("h3", heading), notes)
