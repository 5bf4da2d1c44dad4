"""One round under secure aggregation: five exchanges, and then one sum. Who fails at a stage has dropped out; the others go on without."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from flwr.app import Error, Message, RecordDict
from flwr.common.constant import ErrorCode
from flwr.serverapp import Grid

from everbloom.errors import PrivacyError, SchemaError
from everbloom.privacy.mechanisms.distributed import DistributedPlan
from everbloom.privacy.secure_aggregation.server import SecureServer
from everbloom.privacy.secure_aggregation.terms import Terms
from everbloom.secure_wire import MESSAGE_TYPES, Stage, pack_secure, unpack_secure, with_secure
from everbloom.wire import TRAIN, Update
from server.replies import replies_of


def secure_terms(plan: DistributedPlan, run: int, period: int, round: int) -> Terms:
    """What a round's devices agree on."""
    encoding = plan.encoding
    return Terms(
        run=run, period=period, round=round, length=encoding.padded, bits=encoding.bits, minimum=plan.min_cohort
    )


class SecureRound:
    """Collects the sum of the vectors with which `messages`, the round's tasks, are answered."""

    def __init__(
        self,
        grid: Grid,
        messages: Sequence[Message],
        clients: Mapping[int, int],
        terms: Terms,
        schema: str,
        wanted: int,
        timeout: float,
        asks: str = TRAIN,
    ) -> None:
        """`clients`: client number -> node id; devices know each other by client numbers. `wanted`: vectors after which nobody waits for more.
        `timeout`: seconds for each of the five exchanges. `asks`: the type of the messages.
        """
        self._grid = grid
        self._clients = {node: client for client, node in clients.items()}
        self._tasks = {self._clients[message.metadata.dst_node_id]: message for message in messages}
        self._schema = schema
        self._wanted = wanted
        self._timeout = timeout
        self._terms = terms
        self._types = {**MESSAGE_TYPES, "masked": asks}
        self._directory: dict[int, bytes] = {}
        self._server = SecureServer(terms, self._directory)
        self._reasons: list[str] = []

    def replies(self) -> Iterator[Message]:
        """One reply with the sum, as if one device had added up the others; and an error for each reason why somebody dropped out."""
        task = next(iter(self._tasks.values()), None)
        if task is None:
            return
        try:
            update = self._sum()
            yield Message(update.pack(), reply_to=task)
        except PrivacyError as error:  # too few are left: the round changes nothing, and the run goes on
            self._reasons.append(str(error))
        for reason in self._reasons:
            yield Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, reason), reply_to=task)

    def _sum(self) -> Update:
        server = self._server
        self._exchange("keys", dict.fromkeys(self._tasks, server.advertise_request()), server.add_advertisement)
        self._exchange("shares", server.share_requests(), server.add_shares)
        self._exchange("masked", server.mask_requests(), server.add_masked)
        self._exchange("confirm", server.confirm_requests(), server.add_confirmation)
        self._exchange("unmask", server.unmask_requests(), server.add_reveal)
        total = server.open()
        return Update(total, len(server.survivors), self._schema)

    def _exchange(self, stage: Stage, requests: Mapping[int, bytes], add: Callable[[int, bytes], None]) -> None:
        """Asks each device; what cannot be used counts as no answer."""
        messages = [
            Message(
                self._content(stage, device, data),
                dst_node_id=self._tasks[device].metadata.dst_node_id,
                message_type=self._types[stage],
            )
            for device, data in requests.items()
        ]
        # Only vectors are ever enough: who keeps silent at another stage leaves work, or a gap, to the others.
        wanted = self._wanted if stage == "masked" else len(messages)
        for reply in replies_of(self._grid, messages, wanted, self._timeout):
            try:
                if reply.has_error():
                    raise SchemaError(f"error {reply.error.code}: {reply.error.reason}")
                device = self._device(reply)
                if stage == "keys":
                    self._directory.setdefault(device, unpack_secure(reply.content, "identity"))
                add(device, unpack_secure(reply.content))
            except (PrivacyError, SchemaError) as error:
                self._reasons.append(f"stage {stage}: {error}")

    def _device(self, reply: Message) -> int:
        """Who the transport says it comes from."""
        device = self._clients.get(reply.metadata.src_node_id)
        if device is None:
            raise SchemaError(f"a reply from node {reply.metadata.src_node_id}, which was not asked")
        return device

    def _content(self, stage: Stage, device: int, data: bytes) -> RecordDict:
        return with_secure(self._tasks[device].content, data) if stage == "masked" else pack_secure(data)
