"""A device's service: the private store and what its owner may do with it, and two processes that train and recommend. HTTP and socket call this."""

import asyncio
import json
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Sequence
from typing import Any, get_args

from client.service.catalogue_index import CatalogueIndex
from client.service.federation import PAUSED, STATEMENT, FederationSide
from client.service.folder import DeviceFolder
from client.service.journal import Journal
from client.service.model_facts import model_facts
from client.service.policy import read_policy
from client.service.private_store import DAY, Event, PrivateStore, Verdict
from client.service.worker import Worker, WorkerFailed
from everbloom.config import BehaviourName
from everbloom.errors import DataError, InputError, PrivacyError

BEHAVIOUR_NAMES: tuple[str, ...] = get_args(BehaviourName)
"""In the order of their codes."""

_STANDS_FOR = {"like": "like", "seen": "view", "not-for-me": None}
"""verdict -> the behaviour of the event that it is, if it is one."""


class UnknownItem(DataError):
    """An item that the device's catalogue does not have."""


class DeviceService:
    """Open until `close`. Its folder must be locked by this process."""

    def __init__(self, folder: DeviceFolder, echo: bool = False, idle_seconds: float = 300.0) -> None:
        """`echo`: the journal also goes to standard error. The two processes end when they were not needed for `idle_seconds`."""
        self.folder = folder
        if (folder.path / "catalog.new").is_dir():  # a kill came between; nothing is imported for it otherwise
            from client.catalogue import finish_installing

            finish_installing(folder)
        self.store = PrivateStore(folder.store)
        self.index = CatalogueIndex(folder.index)
        self.journal = Journal(folder.log, echo)
        self.recommender = Worker("client.service.recommending", folder.path, idle_seconds)
        trainer = Worker("client.service.training", folder.path, min(idle_seconds, 120.0), nice=10)
        self.federation = FederationSide(folder, self.store, trainer, self.journal)
        self._privacy: tuple[object, dict[str, Any]] | None = None

    async def close(self) -> None:
        """Ends both processes."""
        await self.recommender.stop()
        await self.federation.trainer.stop()
        self.store.close()
        self.index.close()
        self.journal.close()

    def add_events(self, events: Sequence[dict[str, Any]]) -> int:
        """Keeps new events (`item`, `time`, `behaviour`, `value`, `text`, `key`; see the API), all or none; returns how many were not there yet."""
        now = int(time.time())
        added = self.store.add([self._event(place, one, now) for place, one in enumerate(events)], now)
        self.journal.note("events", added=added)
        return added

    def _event(self, place: int, given: dict[str, Any], now: int) -> Event:
        when = given.get("time")
        if when is not None and when > now + DAY:
            raise DataError(
                f"events.{place}.time: {when} is more than a day in the future; expected seconds since 1970, up to {now + DAY}"
            )
        item = given.get("item")
        number = None if item is None else self._number(item)
        code = BEHAVIOUR_NAMES.index(given.get("behaviour", "view"))
        return Event(number, when, code, given.get("value", 1.0), given.get("text"), given.get("key"))

    def history(self, most: int, before: tuple[int, int] | None) -> list[dict[str, Any]]:
        """The latest events before one at (time, id), latest first."""
        return [self._shown(event) for event in self.store.page(most, before)]

    def remove_event(self, number: int) -> None:
        """Deletes one event from the history. Raises `UnknownItem` if it is not there."""
        if not self.store.remove_event(number):
            raise UnknownItem(f"event {number}: there is none of this number")

    async def recommend(self, n: int, reasons: bool, language: str) -> list[dict[str, Any]]:
        """The `n` best items by the current model and all events so far, what was met or judged left out. Raises `DataError` without a model."""
        asked = {"do": "recommend", "n": n, "reasons": reasons, "language": language if reasons else None}
        return await self._recommender(asked)

    async def why(self, item: str, language: str) -> dict[str, Any]:
        """What of the own history raised this item's score, and by how much."""
        found = await self._recommender({"do": "why", "item": self._number(item), "language": language})
        return found[0]

    async def _recommender(self, asked: dict[str, Any]) -> list[dict[str, Any]]:
        reply, _ = await self.recommender.ask(asked)
        if reply["status"] == "refused":
            raise DataError(str(reply["reason"]))
        if reply["status"] != "answered":
            raise WorkerFailed(f"recommending failed ({reply.get('where')})")
        items: list[dict[str, Any]] = reply["items"]
        return items

    def judge(self, item: str, verdict: Verdict) -> None:
        """Keeps a verdict: `like` and `seen` are events too, `not-for-me` only hides the item."""
        number, behaviour = self._number(item), _STANDS_FOR[verdict]
        event = None if behaviour is None else Event(number, None, BEHAVIOUR_NAMES.index(behaviour))
        self.store.judge(number, verdict, event, int(time.time()))
        self.journal.note("feedback")

    def unjudge(self, item: str) -> None:
        """Takes a verdict back. Raises `UnknownItem` if there is none."""
        if not self.store.unjudge(self._number(item)):
            raise UnknownItem(f"item {item!r}: there is no verdict on it")

    async def privacy(self) -> dict[str, Any]:
        """What was spent and is left, the plan's statement as of the last round, and what the policy allows."""
        try:
            policy: dict[str, Any] = read_policy(self.folder.policy).model_dump(by_alias=True)
        except InputError as error:
            policy = {"error": str(error)}
        return {**await self._spent(), "statement": self.store.setting(STATEMENT), "policy": policy}

    async def _spent(self) -> dict[str, Any]:
        stamp = _stamp(self.folder)
        if self._privacy is None or self._privacy[0] != stamp:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "client.service.privacy_report",
                str(self.folder.path),
                stdout=PIPE,
                stderr=DEVNULL,
            )
            output, _ = await process.communicate()
            try:
                report = json.loads(output)
            except ValueError:
                raise WorkerFailed("the ledger could not be read: its process failed") from None
            if "error" in report:
                raise PrivacyError(report["error"])
            self._privacy = (stamp, report)
        return self._privacy[1]

    def model(self) -> dict[str, Any]:
        """The current global model and the catalogue it is for."""
        return {"model": model_facts(self.folder.model), "catalogue": self.index.digest, "items": len(self.index)}

    def status(self) -> dict[str, Any]:
        """What the device is and does now."""
        return {
            "client": self.folder.settings["client"],
            "simulated": self.folder.settings["seed"] is not None,
            "paused": self.paused,
            "events": self.store.count(),
            "training": self.federation.lock.locked(),
            **self.model(),
        }

    @property
    def paused(self) -> bool:
        """Whether the owner keeps the device out of all rounds."""
        return self.store.setting(PAUSED) == "yes"

    def pause(self, paused: bool) -> None:
        """Keeps the device out of rounds, or lets it back. A round that is being trained is finished: it is charged already."""
        self.store.set({PAUSED: "yes" if paused else "no"})
        self.journal.note("paused" if paused else "resumed")

    async def forget(self) -> int:
        """Deletes every event, verdict, kept answer and personal parameter without a trace; returns how many events there were.

        What was spent stays spent, and what was learnt of them in earlier rounds is in the federation's model, as far as the statement says.
        """
        await self.federation.trainer.stop()  # what it holds in memory, too
        await self.recommender.stop()
        async with self.federation.lock:
            await self.federation.trainer.stop()
            events = self.store.forget()
            for path in (self.folder.personal, self.folder.residual):
                path.unlink(missing_ok=True)
                path.with_name(f".{path.name}.tmp").unlink(missing_ok=True)
        self.journal.note("forgotten")
        return events

    async def export(self) -> dict[str, Any]:
        """All that the device holds of its owner, in the form that `POST /events` takes."""
        return {
            "events": [self._shown(event) for event in self.store.events()],
            "feedback": [
                {"item": self.index.named(item)[0], "verdict": verdict, "time": when}
                for item, verdict, when in self.store.verdicts()
            ],
            "privacy": await self.privacy(),
            "status": self.status(),
        }

    def _shown(self, event: Event) -> dict[str, Any]:
        item, title = (None, None) if event.item is None else self.index.named(event.item)
        return {
            "id": event.id,
            "item": item,
            "title": title,
            "time": event.time,
            "behaviour": BEHAVIOUR_NAMES[event.behaviour],
            "value": event.value,
            "text": event.text,
            "key": event.key,
        }

    def _number(self, item: str) -> int:
        number = self.index.number(item)
        if number is None:
            raise UnknownItem(f"item {item!r}: this device's catalogue has none of this id")
        return number


def _stamp(folder: DeviceFolder) -> object:
    try:
        status = folder.ledger.stat()
    except FileNotFoundError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
