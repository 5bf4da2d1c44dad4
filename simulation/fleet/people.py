"""Some users of an experiment's data set, as an experiment of their own: what a fleet of a few devices runs, and its simulation too."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from everbloom.data.events import BEHAVIOURS, NO_ITEM
from everbloom.data.prepare import Dataset, prepare
from everbloom.errors import ConfigError
from everbloom.experiment import Experiment, parse_experiment


def experiment_of(experiment: Experiment, users: int, folder: Path) -> Experiment:
    """The experiment on `users` of its people, those with most events; their events and items are written to `folder` as tables.

    Its cohort is the experiment's, as far as there are so many. Raises `ConfigError` if there are fewer people.
    """
    dataset = prepare(experiment.data)
    if not len(dataset.events):
        raise ConfigError(
            f"data.source {experiment.data.source.name!r} has no events, and a fleet's devices are people with events"
        )
    if dataset.events.users < users:
        raise ConfigError(f"--devices {users}: the experiment's data set has {dataset.events.users} users")
    _write_tables(dataset, _busiest(dataset, users), folder)
    tables = experiment.model_dump(mode="json", exclude_none=True)
    # The tables are written in order, ties and all, and cleaned.
    tables["data"] = {**tables["data"], "source": _source(dataset, folder), "cleaning": {}, "tie_order": "file"}
    tables.get("evaluation", {}).pop("candidates", None)  # a file of the original's
    tables["federation"]["cohort"] = experiment.federation.cohort_size(users)
    return parse_experiment(tables, where="the fleet's experiment")


def _busiest(dataset: Dataset, users: int) -> list[int]:
    """Users with most events, in the data set's order."""
    lengths = np.array([len(dataset.events.of(user)) for user in range(dataset.events.users)])
    return sorted(np.argsort(-lengths, kind="stable")[:users].tolist())


def _source(dataset: Dataset, folder: Path) -> Mapping[str, Any]:
    named = {"time": "time"} if dataset.events.has_time else {}
    if dataset.events.text is not None:
        named["text"] = "text"
    return {
        "name": "table",
        "path": str(folder / "events.csv"),
        "user": "user",
        "item": "item",
        "behaviour": "behaviour",
        "value": "value",
        **named,
        "items_path": str(folder / "items.csv"),
        "item_fields": {name: f"field {name}" for name in dataset.catalog.fields},
        "item_numbers": {name: f"number {name}" for name in dataset.catalog.numbers},
    }


def _write_tables(dataset: Dataset, users: list[int], folder: Path) -> None:
    """`events.csv`, user by user in their order, and `items.csv`, those that occur in them."""
    log, catalog = dataset.events, dataset.catalog
    folder.mkdir(parents=True, exist_ok=True)
    occurring: set[int] = set()
    with (folder / "events.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["user", "item", "time", "behaviour", "value", "text"])
        for user in users:
            rows = log.rows(user)
            for row in range(rows.start, rows.stop):
                item = int(log.item[row])
                occurring.add(item)
                text = "" if log.text is None else log.text[row]
                writer.writerow(
                    [
                        log.user_ids[user],
                        "" if item == NO_ITEM else catalog.item_ids[item],
                        int(log.time[row]) if log.has_time else "",
                        BEHAVIOURS[int(log.behaviour[row])],
                        float(log.value[row]),
                        text,
                    ]
                )
    with (folder / "items.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        texts, figures = (f"field {name}" for name in catalog.fields), (f"number {name}" for name in catalog.numbers)
        writer.writerow(["item", *texts, *figures])
        for item in sorted(occurring - {NO_ITEM}):
            fields = [column[item] for column in catalog.fields.values()]
            numbers = [float(column[item]) for column in catalog.numbers.values()]
            writer.writerow([catalog.item_ids[item], *fields, *("" if np.isnan(one) else one for one in numbers)])
