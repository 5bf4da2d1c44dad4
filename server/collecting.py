"""How a round's answers are collected: one by one, or as the one sum that secure aggregation opens."""

from collections.abc import Iterable, Mapping, Sequence

from flwr.app import Message
from flwr.serverapp import Grid

from everbloom.evaluation_wire import EVALUATE, MASKED_FROM
from everbloom.privacy.mechanisms.distributed import DistributedPlan
from everbloom.study import Study
from everbloom.wire import TRAIN
from server.replies import replies_of
from server.roster import KnowsClients
from server.secure_round import SecureRound, secure_terms


def is_masked(study: Study, grid: Grid) -> bool:
    """Whether devices are asked for masked vectors: always where they are real, whatever `runtime` says, since these answer nothing else."""
    if not isinstance(study.plan, DistributedPlan):
        return False
    return study.experiment.runtime.masks or not isinstance(grid, KnowsClients)


def collect(
    study: Study,
    grid: Grid,
    messages: Sequence[Message],
    clients: Mapping[int, int],
    wanted: int,
    period: int,
    round: int,
    asks: str = TRAIN,
) -> Iterable[Message]:
    """The replies to a round's tasks as they come; under secure aggregation one with their sum. `clients`: client number -> node id.
    `asks`: the type of the messages.
    """
    timeout = study.experiment.federation.reply_timeout
    if not is_masked(study, grid):
        return replies_of(grid, messages, wanted, timeout)
    assert isinstance(study.plan, DistributedPlan)
    masked_round = round + MASKED_FROM if asks == EVALUATE else round
    terms = secure_terms(study.plan, grid.run.run_id, period, masked_round)
    return SecureRound(grid, messages, clients, terms, study.layout.schema, wanted, timeout, asks).replies()
