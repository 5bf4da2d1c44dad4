"""What driver and contender say to each other: one JSON object a line.

A contender starts, prepares its workload, answers once, then does one repetition per request. Between requests it waits, so contenders take turns.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TextIO


@dataclass(frozen=True)
class Request:
    """One repetition: these rounds, one after the other, each from the initial parameters."""

    rounds: tuple[int, ...]


class Conversation:
    """The contender's end. Whatever libraries print goes to standard error, so that it cannot be taken for an answer."""

    def __init__(self) -> None:
        self._out: TextIO = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)
        self._started = time.perf_counter()

    def requests(self, **ready: Any) -> Iterator[Request]:
        """Says that all is prepared (`ready`: facts for the record), then yields requests until the driver ends the conversation."""
        self._say({"ready": ready, "seconds": time.perf_counter() - self._started})
        while line := sys.stdin.readline():
            message = json.loads(line)
            if message["do"] == "stop":
                return
            yield Request(tuple(message["rounds"]))

    def answer(self, seconds: float, clients: int, norms: Sequence[float] = (), **facts: Any) -> None:
        """A repetition is done. `norms`: the length of each round's mean update, by which the driver sees that all did the same work."""
        self._say({"seconds": seconds, "clients": clients, "norms": list(norms), **facts})

    def _say(self, message: dict[str, Any]) -> None:
        self._out.write(json.dumps(message) + "\n")
        self._out.flush()


def serve(round_of: Callable[[int], tuple[int, float]], **ready: Any) -> None:
    """The usual contender: `round_of` does one round and returns (clients, length of their mean update)."""
    conversation = Conversation()
    for request in conversation.requests(**ready):
        started = time.perf_counter()
        done = [round_of(number) for number in request.rounds]
        conversation.answer(
            time.perf_counter() - started, sum(clients for clients, _ in done), [norm for _, norm in done]
        )
