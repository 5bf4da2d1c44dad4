"""What travels between server and device: a task one way, an update the other. Both sides import this, so that they cannot drift apart."""

import hashlib
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, cast
from zipfile import BadZipFile

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, RecordDict
from flwr.common import Array
from numpy.typing import NDArray
from pydantic import BeforeValidator, SerializeAsAny

from everbloom.config import LabelConfig, LearningConfig, ModelConfig, PrivacyConfig
from everbloom.data.timeline import TrainingWindow
from everbloom.errors import SchemaError
from everbloom.methods import COMPRESSIONS, CONTINUAL_METHODS, Compression, ContinualMethod
from everbloom.privacy.course import Course
from everbloom.registry import Table

TRAIN = "train"
HELLO = "query.hello"
OFFER = "query.model"
"""A task's content for a device to recommend with, not to train on."""

_UNREADABLE = (KeyError, TypeError, ValueError, OverflowError, EOFError, OSError, BadZipFile)
"""What records of the wrong shape and bytes that are no array raise."""


class Terms(Table):
    """All that a device needs to know of an experiment, and may check against its owner's policy."""

    seed: int
    labels: LabelConfig
    text: str | None = None
    model: ModelConfig
    learning: LearningConfig
    privacy: PrivacyConfig
    course: Course
    continual: Annotated[SerializeAsAny[ContinualMethod], BeforeValidator(CONTINUAL_METHODS.parse)] | None = None
    compression: Annotated[SerializeAsAny[Compression], BeforeValidator(COMPRESSIONS.parse)] | None = None


@dataclass(frozen=True, eq=False)
class Task:
    """One round's request to a device. `parameters` [params] float32."""

    parameters: NDArray[np.float32]
    schema: str
    terms: Terms
    period: int
    round: int
    window: TrainingWindow
    clip_norm: float | None = None
    """The bound on a device's whole update in this round, where it adapts; else that of the terms holds."""
    teacher: NDArray[np.float32] | None = None
    """Parameters [params] of the model that devices distil from, if they do in this period."""
    catalogue: str | None = None
    """Digest of the catalogue that items are numbered by, where the server says so: a device with another one refuses."""
    sent: NDArray[np.float32] | None = None
    """What the server sends beside the model [params], under an algorithm that has it do so."""
    continues: str | None = None
    """The federation that this one goes on from, if it does: what devices have learnt for themselves there holds here."""

    @property
    def federation(self) -> str:
        """See `federation_name`."""
        return federation_name(self.schema, self.terms)

    def pack(self) -> RecordDict:
        """As a message's content."""
        window = [self.window.start, self.window.end, self.window.held_out]
        vectors = {"flat": Array(self.parameters)}
        if self.teacher is not None:
            vectors["teacher"] = Array(self.teacher)
        if self.sent is not None:
            vectors["sent"] = Array(self.sent)
        return RecordDict(
            {
                "parameters": ArrayRecord(vectors),
                "task": ConfigRecord(
                    {
                        "schema": self.schema,
                        "terms": self.terms.model_dump_json(exclude_none=True),
                        "period": self.period,
                        "round": self.round,
                        "window": window,
                        **({} if self.clip_norm is None else {"clip_norm": self.clip_norm}),
                        **({} if self.catalogue is None else {"catalogue": self.catalogue}),
                        **({} if self.continues is None else {"continues": self.continues}),
                    }
                ),
            }
        )

    @classmethod
    def unpack(cls, content: RecordDict) -> "Task":
        """The inverse of `pack`. Raises `SchemaError` on anything else."""
        try:
            record = content.config_records["task"]
            vectors = content.array_records["parameters"]
            start, end, held_out = cast(list[int], record["window"])
            return cls(
                parameters=vectors["flat"].numpy(),
                schema=str(record["schema"]),
                terms=_terms(str(record["terms"])),
                period=int(record["period"]),  # type: ignore[arg-type]
                round=int(record["round"]),  # type: ignore[arg-type]
                window=TrainingWindow(int(start), int(end), int(held_out)),
                clip_norm=_positive(record["clip_norm"]) if "clip_norm" in record else None,
                teacher=vectors["teacher"].numpy() if "teacher" in vectors else None,
                catalogue=str(record["catalogue"]) if "catalogue" in record else None,
                continues=str(record["continues"]) if "continues" in record else None,
                sent=vectors["sent"].numpy() if "sent" in vectors else None,
            )
        except _UNREADABLE as error:
            raise SchemaError(f"message is no task of this version of everbloom: {error!r}") from None


@dataclass(frozen=True, eq=False)
class Update:
    """The sum of `clients` deltas [params], or of what the plan's release makes of them [numbers]; the server only ever adds updates. Under
    compression one device's delta travels as bytes [bytes]."""

    delta: NDArray[Any]
    clients: int
    schema: str

    def pack(self) -> RecordDict:
        """As a message's content: nothing but the update leaves a device (no loss, no number of examples)."""
        return RecordDict(
            {
                "update": ArrayRecord({"delta": Array(self.delta)}),
                "meta": ConfigRecord({"clients": self.clients, "schema": self.schema}),
            }
        )

    @classmethod
    def unpack(cls, content: RecordDict) -> "Update":
        """The inverse of `pack`. Raises `SchemaError` on anything else."""
        try:
            meta = content.config_records["meta"]
            delta = content.array_records["update"]["delta"].numpy()
            return cls(delta=delta, clients=int(meta["clients"]), schema=str(meta["schema"]))  # type: ignore[arg-type]
        except _UNREADABLE as error:
            raise SchemaError(f"reply is no update of this version of everbloom: {error!r}") from None


def federation_name(schema: str, terms: Terms) -> str:
    """SHA-256 of terms and schema: what is learnt under them belongs together."""
    return hashlib.sha256(f"{schema} {terms.model_dump_json()}".encode()).hexdigest()


def _positive(value: Any) -> float:
    """A finite number above 0."""
    if not 0 < float(value) < math.inf:
        raise ValueError(f"clip_norm {value!r} bounds nothing")
    return float(value)


@lru_cache(maxsize=8)
def _terms(text: str) -> Terms:
    return Terms.model_validate_json(text)
