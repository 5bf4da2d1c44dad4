"""Collecting a round's replies, and closing it as soon as enough have come."""

import time
from collections.abc import Iterable, Iterator, Sequence

from flwr.app import Message
from flwr.serverapp import Grid

from server.roster import KnowsClients, KnowsTime

_POLL_SECONDS = 1.0


def replies_of(grid: Grid, messages: Sequence[Message], wanted: int, timeout: float) -> Iterable[Message]:
    """Replies as they come, until all have, `wanted` came without an error, or `timeout` seconds are over.

    Whom nobody waits for any more may still answer; that is not read, nor a second answer to one message. A grid on a simulated clock closes its
    rounds itself, and one that need not ask anybody has its answers at once.
    """
    if isinstance(grid, KnowsTime) or (isinstance(grid, KnowsClients) and wanted >= len(messages)):
        return grid.send_and_receive(messages, timeout=timeout)
    return _first(grid, messages, wanted, timeout)


def _first(grid: Grid, messages: Sequence[Message], wanted: int, timeout: float) -> Iterator[Message]:
    deadline = time.monotonic() + timeout
    waiting = set(grid.push_messages(messages))
    while True:
        came = []
        for reply in grid.pull_messages(waiting):
            if reply.metadata.reply_to_message_id in waiting:  # a second answer to one message is not read
                waiting.discard(reply.metadata.reply_to_message_id)
                came.append(reply)
        wanted -= sum(not reply.has_error() for reply in came)
        yield from came
        left = deadline - time.monotonic()
        if not waiting or wanted <= 0 or left <= 0:
            return
        time.sleep(min(_POLL_SECONDS, left))
