"""What `everbloom recommend` answers: the list, its reasons, as a table or as JSON."""

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from everbloom.data.events import EventLog
from everbloom.data.home import feature_cache
from everbloom.data.strings import StringColumn
from everbloom.errors import ConfigError
from everbloom.evaluation.model_scorer import ModelScorer
from everbloom.explanations.field_values import FieldValues
from everbloom.explanations.parts import Parts, parts_of
from everbloom.explanations.recommending import Recommended, Recommending
from everbloom.explanations.sentences import LANGUAGES, SAID, sentence
from everbloom.models.other_content import TextReader, without_modalities
from everbloom.models.phrases import with_phrases
from everbloom.models.recommender import Recommender, layout_of
from everbloom.models.settled import settled, with_own_searches
from simulation.console import progress_bar
from simulation.export import one_user
from simulation.trained import Trained, open_trained


@dataclass(frozen=True)
class Asked:
    """The command's arguments."""

    run: Path
    user: str | None
    text: str | None
    n: int
    why: bool
    language: str

    def check(self) -> None:
        """Raises `ConfigError` for what can be told without the run."""
        if (self.user is None) == (self.text is None):
            raise ConfigError(
                "recommend: give either --user ID, somebody of the run's data set, or --text WORDS, somebody new"
            )
        if self.n < 1:
            raise ConfigError(f"--n: {self.n} items cannot be recommended; expected at least 1")
        if self.language not in LANGUAGES:
            raise ConfigError(
                f"--language: {self.language!r} is not spoken here; expected one of: {', '.join(LANGUAGES)}"
            )
        if self.text is not None and not self.phrases:
            raise ConfigError(
                "--text: holds no words; describe what is wanted, for example --text 'space adventure; slow drama'"
            )

    @property
    def phrases(self) -> list[str]:
        """The text's phrases."""
        return [phrase for piece in re.split(r"[;；\n]", self.text or "") if re.search(r"\w", phrase := piece.strip())]


@dataclass(frozen=True, eq=False)
class Person:
    """Who is recommended to: a history, the model that reads it, and the titles of what stands in it beyond the catalogue."""

    log: EventLog
    model: Recommender
    personal: NDArray[np.float32] | None
    phrases: tuple[str, ...] = ()


def answer(asked: Asked, console: Console, progress: Console, as_json: bool) -> None:
    """Prints the recommendations."""
    asked.check()
    trained = open_trained(asked.run, progress, "to recommend from")
    if asked.user is not None:
        trained = trained.of_user(trained.user(asked.user))
    person = _known(trained, asked.user) if asked.user is not None else _described(trained, asked.phrases, progress)
    found = _recommended(trained, person, asked, progress)
    shown = _Shown(trained, person, asked)
    if as_json:
        typer.echo(shown.json(found))
    else:
        console.print(shown.table(found))


def _known(trained: Trained, name: str) -> Person:
    user = trained.user(name)
    whole = trained.study.dataset.events
    log = one_user(whole, user)
    model = settled(trained.model)
    if model.user.search is not None:
        model = with_own_searches(model, whole.searches.texts, log.searches.texts)
    return Person(log, model, trained.personal(user))


def _reader(trained: Trained) -> TextReader:
    study = trained.study
    experiment = study.experiment
    items, text = experiment.model.items, experiment.data.text
    return TextReader(trained.model, items, study.features, study.dataset.catalog, text, feature_cache())


def _described(trained: Trained, phrases: list[str], progress: Console) -> Person:
    """Somebody who has met each phrase as if it were an item, and has not searched."""
    study = trained.study
    tower = study.experiment.model.user.tower
    if tower is not None and tower.reads == "text":
        raise ConfigError(
            'model.user.tower: this model reads histories as tokens of known items, and has none of other words; use --user, or reads = "items"'
        )
    reader = _reader(trained)
    with progress_bar(progress, "reading the words") as bar:
        read = reader.read(phrases, bar)
    for phrase in (phrase for phrase, row in zip(phrases, read.unit, strict=True) if not row.any()):
        raise ConfigError(f"--text: the model's encoder knows no word of {phrase!r}; use words of the item texts")
    model = with_phrases(with_own_searches(trained.model, (), ()), read)
    log, items = study.dataset.events, len(study.dataset.catalog)
    usual = np.bincount(log.behaviour).argmax()
    history = EventLog.build(
        user=np.zeros(len(phrases), dtype=np.int32),
        item=np.arange(items, items + len(phrases), dtype=np.int32),
        time=np.full(len(phrases), trained.now - 1),
        behaviour=np.full(len(phrases), usual, dtype=np.uint8),
        value=np.ones(len(phrases), dtype=np.float32),
        user_ids=StringColumn.of([""]),
    )
    size = study.layout.size("personal")
    personal = np.zeros(size, dtype=np.float32) if size else None
    return Person(history, model, personal, tuple(phrases))


def _recommended(trained: Trained, person: Person, asked: Asked, progress: Console) -> list[Recommended]:
    layout = layout_of(person.model)
    scorer = ModelScorer(person.model, layout, layout.flat(person.model), person.log)
    possible = np.ones(person.model.item.items, dtype=np.bool_)
    possible[len(trained.study.dataset.catalog) :] = False  # phrases
    given: dict[str, Any] = {"now": trained.now, "personal": person.personal, "available": possible}
    given["repeats"] = trained.study.experiment.protocol.repeats
    if not asked.why:
        return Recommending(scorer).recommend(person.log, asked.n, **given)
    recommending = Recommending(scorer, _parts(trained, progress))
    found = recommending.recommend_with_reasons(person.log, asked.n, **given)
    items = len(trained.study.dataset.catalog)
    return [
        replace(one, reasons=tuple(replace(r, behaviours=(SAID,)) if r.item >= items else r for r in one.reasons))
        for one in found
    ]


def _parts(trained: Trained, progress: Console) -> Parts:
    without = without_modalities(trained.model, trained.study.features)
    if trained.study.experiment.model.items.text_encoder is not None:
        with progress_bar(progress, "encoding items without each field") as bar:
            without |= _reader(trained).without_fields(bar)
    return parts_of(settled(trained.model), without)


class _Shown:
    """Recommendations for people and for programs."""

    def __init__(self, trained: Trained, person: Person, asked: Asked) -> None:
        self.catalog = trained.study.dataset.catalog
        self.person = person
        self.asked = asked
        self.language = LANGUAGES[asked.language]
        experiment = trained.study.experiment
        self.values = (
            FieldValues(self.catalog, experiment.data.text, experiment.model.items.modalities) if asked.why else None
        )

    def title(self, item: int) -> str:
        """Of an item of the catalogue or a phrase."""
        if item >= len(self.catalog):
            return self.person.phrases[item - len(self.catalog)]
        titles = self.catalog.fields.get("title")
        return (titles[item] if titles is not None else "") or self.catalog.item_ids[item]

    def why(self, one: Recommended) -> str:
        """The one-line reason."""
        return sentence(one, self.title, self.values, self.language)

    def table(self, found: list[Recommended]) -> Table:
        """For a terminal."""
        whom = f"user {self.asked.user}" if self.asked.user is not None else "; ".join(self.person.phrases)
        table = Table(title=escape(f"{self.asked.run}: for {whom}"), title_justify="left")
        table.add_column("", justify="right")
        table.add_column("item", ratio=2)
        table.add_column("score", justify="right", no_wrap=True)
        if self.asked.why:
            table.add_column("why", ratio=5)
        for place, one in enumerate(found, start=1):
            reason = [escape(self.why(one))] if self.asked.why else []
            table.add_row(str(place), escape(self.title(one.item)), f"{one.score:.2f}", *reason)
        return table

    def json(self, found: list[Recommended]) -> str:
        """For a program: items by the data set's ids, contributions in logits."""
        told = {
            "run": str(self.asked.run),
            "user": self.asked.user,
            "text": list(self.person.phrases) or None,
            "recommendations": [
                {"rank": place, "item": self.catalog.item_ids[one.item], "title": self.title(one.item)}
                | {"score": one.score}
                | (self._reasons(one) if self.asked.why else {})
                for place, one in enumerate(found, start=1)
            ],
        }
        return json.dumps(told, ensure_ascii=False)

    def _reasons(self, one: Recommended) -> dict[str, Any]:
        events = [
            {
                "item": self.catalog.item_ids[reason.item] if 0 <= reason.item < len(self.catalog) else None,
                "title": reason.text or self.title(reason.item),
                "behaviours": list(reason.behaviours),
                "times": reason.times,
                "contribution": reason.contribution,
            }
            for reason in one.reasons
        ]
        return {"why": self.why(one), "events": events, "parts": dict(one.parts)}
