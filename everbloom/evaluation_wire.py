"""What travels when devices are asked how good the model is: the model and what to measure one way, a few sums the other."""

import re
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, RecordDict
from flwr.common import Array
from numpy.typing import NDArray

from everbloom.data.held_out import HeldOut
from everbloom.errors import SchemaError
from everbloom.evaluation.metrics import MEASURES
from everbloom.wire import Task

EVALUATE = "evaluate"
MASKED_FROM = 1 << 32
"""Under secure aggregation a measurement after round r is round r + this one: a device masks once a round, and its masks hide one vector alone."""

_MEASURE = re.compile(rf"({'|'.join(MEASURES)})@([1-9]\d{{0,4}})")
_MOST_MEASURES = 64


@dataclass(frozen=True, eq=False)
class EvaluationTask:
    """One request: `task` holds the model and the terms; its round is the one that the model came out of. `measures`: such as `hr@10`."""

    task: Task
    held_out: HeldOut
    measures: tuple[str, ...]

    @property
    def cutoffs(self) -> tuple[int, ...]:
        """The k of each measure. Raises `SchemaError` if one is no measure."""
        found = [_MEASURE.fullmatch(name) for name in self.measures]
        if not 1 <= len(found) <= _MOST_MEASURES or None in found:
            raise SchemaError(f"measures {list(self.measures)[:8]}: expected names such as hr@10 and ndcg@20")
        return tuple(int(one[2]) for one in found if one is not None)

    def pack(self) -> RecordDict:
        """As a message's content."""
        content, held_out = self.task.pack(), self.held_out
        content["evaluation"] = ConfigRecord(
            {
                "measures": list(self.measures),
                "range": [held_out.start, held_out.end],
                "place": held_out.place,
                "repeats": held_out.repeats,
            }
        )
        return content

    @classmethod
    def unpack(cls, content: RecordDict) -> "EvaluationTask":
        """The inverse. Raises `SchemaError` on anything else."""
        try:
            told = content.config_records["evaluation"]
            start, end = cast(list[int], told["range"])
            held_out = HeldOut(int(start), int(end), int(told["place"]), bool(told["repeats"]))  # type: ignore[arg-type]
            measures = tuple(map(str, cast(list[str], told["measures"])))
            if held_out.place < 0:
                raise ValueError(f"place {held_out.place}")
        except (KeyError, TypeError, ValueError) as error:
            raise SchemaError(f"message asks for no evaluation of this version of everbloom: {error!r}") from None
        asked = cls(Task.unpack(content), held_out, measures)
        _ = asked.cutoffs
        return asked


@dataclass(frozen=True, eq=False)
class Tally:
    """A device's answer: `sums`, of who had a case (the first) and of the measures, as the plan's `CountingQuery` makes them of its numbers."""

    sums: NDArray[Any]

    def pack(self) -> RecordDict:
        """As a message's content: nothing else leaves the device."""
        return RecordDict({"tally": ArrayRecord({"sums": Array(self.sums)})})

    @classmethod
    def unpack(cls, content: RecordDict, like: NDArray[Any]) -> "Tally":
        """The inverse, fit to be added to `like`. Raises `SchemaError` on anything else."""
        try:
            sums = content.array_records["tally"]["sums"].numpy()
        except (KeyError, TypeError, ValueError, OverflowError, EOFError, OSError) as error:
            raise SchemaError(f"reply is no tally of this version of everbloom: {error!r}") from None
        if sums.dtype != like.dtype or sums.shape != like.shape or not np.isfinite(sums).all():
            raise SchemaError(
                f"a device sent an unusable tally: {sums.dtype} of shape {sums.shape}, expected finite {like.dtype} of shape {like.shape}"
            )
        return cls(sums)
