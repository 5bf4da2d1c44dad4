"""The service's answers to a federation: once a message, kept before they are sent, and nothing that the owner does not allow."""

import asyncio
import datetime
import hashlib
from collections.abc import Callable
from typing import Any

from client.frames import VERSION, Frame
from client.messages import CATALOGUE, MESSAGES, OFFER
from client.service.child import without_paths
from client.service.folder import DeviceFolder
from client.service.journal import Journal
from client.service.policy import read_policy
from client.service.private_store import AnsweredMessage, PrivateStore
from client.service.worker import Worker, WorkerFailed
from everbloom.errors import InputError, PrivacyError, SchemaError

_LONGEST_ID = 256
PAUSED = "paused"
STATEMENT = "statement"


class FederationSide:
    """One message at a time: a device has one ledger and one model."""

    def __init__(
        self,
        folder: DeviceFolder,
        store: PrivateStore,
        trainer: Worker,
        journal: Journal,
        now: Callable[[], datetime.datetime] = datetime.datetime.now,
    ) -> None:
        self.folder = folder
        self.store = store
        self.trainer = trainer
        self.journal = journal
        self.lock = asyncio.Lock()
        self._now = now

    async def answer(self, header: dict[str, Any], body: bytes) -> Frame:
        """The reply to a request from the socket. Whatever is wrong is a refusal of one line, noted in the journal."""
        told = {name: str(header.get(name))[:_LONGEST_ID] for name in ("message", "type")}
        try:
            message, message_type = _checked(header)
            async with self.lock:
                reply, facts = await self._once(message, message_type, body)
        except InputError as error:
            reason = without_paths(self.folder.path, error)
            self.journal.note("refused", **told, reason=reason)
            return {"status": "refused", "reason": reason}, b""
        self.journal.note("answered", **told, bytes=len(reply), **facts)
        return {"status": "answered"}, reply

    async def _once(self, message: str, message_type: str, body: bytes) -> tuple[bytes, dict[str, Any]]:
        """A reply and what may be noted of it."""
        digest = hashlib.sha256(message_type.encode() + b"\n" + body).digest()
        if (known := self.store.answered(message)) is not None:
            return await self._again(message, digest, known), {"again": True}
        self._allow(message_type)
        reply, content = await self.trainer.ask({"do": "answer", "message": message, "type": message_type}, body)
        _check(reply)
        # The order is the guarantee: on disk, then committed in the ledger, then sent. A message whose answer was not committed may be trained for
        # again under the same charge, as nobody has seen anything of it.
        self.store.keep_answer(message, digest, content)
        await self._release(message)
        if "statement" in reply:
            self.store.set({STATEMENT: reply["statement"]})
        return content, {name: reply[name] for name in ("server", "period", "round") if name in reply}

    async def _again(self, message: str, digest: bytes, known: AnsweredMessage) -> bytes:
        """The same bytes as the first time."""
        if known.digest != digest:
            raise PrivacyError("refused: another message of this id was answered already")
        if known.reply is None:
            raise PrivacyError("refused: this message was answered already, and its answer is no longer kept")
        if not known.released:
            await self._release(message)
        return known.reply

    async def _release(self, message: str) -> None:
        reply, _ = await self.trainer.ask({"do": "commit", "message": message})
        _check(reply)
        self.store.release_answer(message)

    def _allow(self, message_type: str) -> None:
        """What the owner's policy says of any message at this time. Raises `InputError`."""
        policy = read_policy(self.folder.policy)
        if message_type in ("query.hello", OFFER, CATALOGUE):
            return
        if self.store.setting(PAUSED) == "yes":
            raise PrivacyError("refused: this device is paused by its owner")
        if not policy.open_at(self._now().time()):
            raise PrivacyError(f"refused: this device's owner lets it train at {policy.hours} only")


def _checked(header: dict[str, Any]) -> tuple[str, str]:
    """(message id, message type)."""
    if header.get("version") != VERSION:
        raise SchemaError(f"request of version {header.get('version')!r}: this device speaks version {VERSION}")
    message, message_type = header.get("message"), header.get("type")
    if not isinstance(message, str) or not 0 < len(message) <= _LONGEST_ID:
        raise SchemaError(
            f"message id: expected 1 to {_LONGEST_ID} characters; without one a repeated message is not known"
        )
    if not isinstance(message_type, str) or message_type not in MESSAGES:
        raise SchemaError(f"message type {str(message_type)[:64]!r}: expected one of {', '.join(MESSAGES)}")
    return message, message_type


def _check(reply: dict[str, Any]) -> None:
    if reply["status"] == "refused":
        raise InputError(str(reply["reason"]))
    if reply["status"] != "answered":
        raise WorkerFailed(f"this device failed at it ({reply.get('where')})")
