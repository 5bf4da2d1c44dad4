"""A grid on which nothing leaves unsigned: devices whose policies name this server's key answer to nobody else."""

from collections.abc import Iterable

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flwr.app import Message, RecordDict
from flwr.serverapp import Grid
from flwr.supercore.run import Run

from everbloom.signing import sign


class SignedGrid(Grid):
    """`grid`, with the signature of `key` on every content that is sent. A cohort's messages share one content, which is signed once."""

    def __init__(self, grid: Grid, key: Ed25519PrivateKey) -> None:
        self._grid = grid
        self._key = key

    def set_run(self, run: Run) -> None:
        """See `Grid`."""
        self._grid.set_run(run)

    @property
    def run(self) -> Run:
        """See `Grid`."""
        return self._grid.run

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        """See `Grid`."""
        return Message(content, dst_node_id=dst_node_id, message_type=message_type, group_id=group_id, ttl=ttl)

    def get_node_ids(self) -> Iterable[int]:
        """See `Grid`."""
        return self._grid.get_node_ids()

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """See `Grid`."""
        return self._grid.push_messages(self._signed(messages))

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """See `Grid`."""
        return self._grid.pull_messages(message_ids)

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """See `Grid`."""
        return self._grid.send_and_receive(self._signed(messages), timeout=timeout)

    def _signed(self, messages: Iterable[Message]) -> list[Message]:
        batch = list(messages)
        for content in {id(message.content): message.content for message in batch}.values():
            sign(content, self._key)
        return batch
