"""An in-process Flower grid: the same ServerApp code and the same ClientApp, with no process, port or serialisation between them."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.constant import ErrorCode
from flwr.serverapp import Grid
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

from everbloom.study import Study

Answer = Callable[[list[Message]], Iterable[Message]]
"""Messages to clients -> their replies, in the order of the messages."""

Between = Callable[[Study, Path, Answer], Answer]
"""(study, file of the devices' ledgers, who answers) -> who answers in its place: what stands between the server and simulated devices."""

_SERVER_NODE = 1
_FIRST_CLIENT_NODE = 2


class ClientNodes(Mapping[int, int]):
    """client number -> node id, for a whole population without holding it."""

    def __init__(self, clients: int) -> None:
        self._clients = range(clients)

    def __getitem__(self, client: int) -> int:
        if client not in self._clients:
            raise KeyError(client)
        return node_of(client)

    def __iter__(self) -> Iterator[int]:
        return iter(self._clients)

    def __len__(self) -> int:
        return len(self._clients)


def node_of(client: int) -> int:
    """The node id of a client."""
    return client + _FIRST_CLIENT_NODE


def client_of(node: int) -> int:
    """The client of a node id."""
    return node - _FIRST_CLIENT_NODE


def identify() -> None:
    """Makes this process the sender of the messages it creates: Flower reads that from here."""
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, _SERVER_NODE, 1


class InProcessGrid(Grid):
    """Hands messages to `answer` and streams what it replies."""

    def __init__(self, clients: int, answer: Answer) -> None:
        self._run = Run.create_empty(run_id=1)
        self._nodes = ClientNodes(clients)
        self._answer = answer
        self._sent = 0
        self._waiting: dict[str, Message] = {}
        identify()

    def client_nodes(self) -> Mapping[int, int]:
        """client number -> node id."""
        return self._nodes

    def set_run(self, run: Run) -> None:
        """See `Grid`."""
        self._run = run

    @property
    def run(self) -> Run:
        """See `Grid`."""
        return self._run

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        """See `Grid`."""
        return Message(content, dst_node_id=dst_node_id, message_type=message_type, group_id=group_id, ttl=ttl)

    def get_node_ids(self) -> Iterable[int]:
        """See `Grid`."""
        return self._nodes.values()

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Keeps the messages until they are pulled for."""
        ids = []
        for message in messages:
            self._number(message)
            self._waiting[message.metadata.message_id] = message
            ids.append(message.metadata.message_id)
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Answers pushed messages now."""
        return list(self._answer([self._waiting.pop(message_id) for message_id in message_ids]))

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """Replies in the order of the messages, as they come; nothing in one machine is ever late, so `timeout` is not needed."""
        batch = list(messages)
        for message in batch:
            self._number(message)
        return self._answer(batch)

    def _number(self, message: Message) -> None:
        self._sent += 1
        message.metadata.__dict__["_message_id"] = f"m{self._sent}"


def call_client(app: ClientApp, message: Message) -> Message:
    """Runs one client; whatever it raises becomes an error reply, as on a SuperNode."""
    node = message.metadata.dst_node_id
    context = Context(
        run_id=message.metadata.run_id,
        node_id=node,
        node_config={"client": client_of(node)},
        state=RecordDict(),
        run_config={},
    )
    try:
        return app(message, context)
    except Exception as error:  # noqa: BLE001 - a client's failure must reach the server as a message, not end the federation
        return Message(
            Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, f"{type(error).__name__}: {error}"), reply_to=message
        )
