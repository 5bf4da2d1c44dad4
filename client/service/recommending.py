"""The process that recommends and says why: `python -m client.service.recommending FOLDER`. It holds the model and its vectors while asked.

No Flower, no Opacus: what is imported here is what a loaded device costs in memory.
"""

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from client.content import device_content
from client.frames import Frame
from client.service.child import Work, serve_parent
from client.service.folder import DeviceFolder
from client.service.giving_back import give_back
from client.service.model_file import GlobalModel, personal_of
from client.service.own_events import OwnEvents
from everbloom.data.catalog import Catalog
from everbloom.data.events import EventLog
from everbloom.errors import DataError
from everbloom.evaluation.model_scorer import ModelScorer
from everbloom.explanations.field_values import FieldValues
from everbloom.explanations.parts import parts_of
from everbloom.explanations.recommending import Recommended, Recommending
from everbloom.explanations.sentences import LANGUAGES, sentence
from everbloom.models.own_model import model_of
from everbloom.models.recommender import build_recommender, layout_of
from everbloom.models.settled import settled


class LoadedModel:
    """A global model with its catalogue, as it stands in a device's folder."""

    def __init__(self, folder: DeviceFolder, catalog: Catalog, log: EventLog) -> None:
        """Raises `DataError` if there is no model, or it does not fit the catalogue."""
        stored = GlobalModel.load(folder.model)
        if stored is None:
            raise DataError(
                "no model yet: the first one comes with the first round that this device is asked for, or is offered by its server"
            )
        content = device_content(catalog, stored.text, stored.config, log.searches.texts)
        model = build_recommender(
            len(catalog), content.features, stored.config, stored.seed, content.texts, content.told
        )
        layout = layout_of(model)
        layout.check(stored.schema, "the stored model")
        parameters = stored.parameters
        if stored.own_model and (trained := personal_of(folder.personal, stored, layout.size())) is not None:
            parameters = model_of(trained, parameters, layout)
        layout.bind(model).copy_(torch.from_numpy(parameters))
        fixed = settled(model)
        own = layout_of(fixed)
        self.recommending = Recommending(ModelScorer(fixed, own, own.flat(fixed), log))
        self.reads_searches = stored.config.user.searches
        self.personal = personal_of(folder.personal, stored, layout.size("personal"))
        self._catalog, self._text = catalog, stored.text

    @cached_property
    def explaining(self) -> Recommending:
        """The same with what reasons take on top, once they are asked for."""
        scorer = self.recommending.scorer
        made = Recommending(scorer, parts_of(scorer.model, {}))
        give_back()
        return made

    @cached_property
    def values(self) -> FieldValues:
        """What items have in common."""
        made = FieldValues(self._catalog, self._text)
        give_back()
        return made


class Recommender:
    """Loads the model when it is first asked, and again when a file of it has changed."""

    def __init__(self, folder: DeviceFolder) -> None:
        self.folder = folder
        self.catalog = Catalog.open(folder.path / "catalog")
        self.events = OwnEvents(folder.store)
        self._stamp: object = None
        self._searched: tuple[str, ...] = ()
        self._loaded: LoadedModel | None = None
        self.title = lru_cache(maxsize=4096)(self._title)

    def work(self, header: dict[str, Any], body: bytes) -> Frame:
        """See `Work`."""
        log, now = self.events.log(), int(time.time())
        model = self._model(log)
        if log.has_time and len(log):
            now = max(now, int(log.time[-1]))  # the clock may have been put back
        reasons = header["do"] == "why" or header["reasons"]
        recommending = model.explaining if reasons else model.recommending
        if header["do"] == "why":
            found = recommending.explain(
                log, np.array([header["item"]], dtype=np.int64), now=now, personal=model.personal
            )
        else:
            available = np.ones(len(self.catalog), dtype=np.bool_)
            available[list(self.events.judged())] = False
            if self.catalog.retired is not None:
                available &= ~self.catalog.retired
            find = recommending.recommend_with_reasons if reasons else recommending.recommend
            found = find(log, header["n"], now=now, available=available, personal=model.personal)
        return {"status": "answered", "items": [self._told(one, model, header.get("language")) for one in found]}, b""

    def _model(self, log: EventLog) -> LoadedModel:
        catalogue = self.folder.path / "catalog" / "catalog.json"
        stamp = [_stamp(path) for path in (self.folder.model, self.folder.personal, catalogue)]
        searched = tuple(log.searches.texts)
        known = self._loaded is not None and stamp == self._stamp
        if self._loaded is None or not known or (self._loaded.reads_searches and searched != self._searched):
            if not known:  # the server may have brought a new catalogue
                self.catalog = Catalog.open(self.folder.path / "catalog")
                self.title.cache_clear()
            self._loaded = LoadedModel(self.folder, self.catalog, log)
            self._stamp, self._searched = stamp, searched
            give_back()
        return self._loaded

    def _told(self, one: Recommended, model: LoadedModel, language: str | None) -> Mapping[str, Any]:
        told = {**self._named(one.item), "score": one.score}
        if language is None:
            return told
        return told | {
            "reason": sentence(one, self.title, model.values, LANGUAGES[language]),
            "reasons": [
                {**self._named(reason.item), **asdict(reason), "item": self._named(reason.item)["item"]}
                for reason in one.reasons
            ],
            "parts": dict(one.parts),
        }

    def _named(self, number: int) -> dict[str, str]:
        return {"item": self.catalog.item_ids[number], "title": self.title(number)}

    def _title(self, number: int) -> str:
        titles = self.catalog.fields.get("title")
        return (titles[number] if titles is not None else "") or self.catalog.item_ids[number]


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_mtime_ns, status.st_ino


def main() -> None:
    """Entry point of the process."""
    folder = DeviceFolder(Path(sys.argv[1]))

    def prepare() -> Work:
        import torch

        torch.set_num_threads(1)
        made: Callable[..., Frame] = Recommender(folder).work
        return made

    serve_parent(folder.path, prepare)


if __name__ == "__main__":
    main()
