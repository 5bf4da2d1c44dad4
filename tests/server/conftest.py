"""A federation in this process, its replies changeable on their way."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Error, Message
from flwr.common.constant import ErrorCode

from client.answering import make_app
from everbloom.experiment import Experiment
from everbloom.study import Study
from server.federation import Federation, initial_state
from server.observer import Silent
from server.run_directory import RunDirectory
from server.state import FederationState
from simulation.devices import SimulatedDevices
from simulation.grid import InProcessGrid, call_client

Reply = Callable[[Message, Message], Message]
"""(task message, the client's true reply) -> what the server receives."""


def true_reply(task: Message, reply: Message) -> Message:
    """Nothing happens on the way."""
    return reply


def failure(task: Message, reason: str = "no battery") -> Message:
    """What a node that failed answers."""
    return Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, reason), reply_to=task)


class Runner:
    """Runs experiments, each in its own directory."""

    def __init__(self, folder: Path, opened: Callable[[Experiment], Study]) -> None:
        self.folder = folder
        self.opened = opened
        self.asked: list[list[int]] = []
        """Node ids of each round of the latest run."""

    def federation(
        self, experiment: Experiment, reply: Reply = true_reply, state: FederationState | None = None, name: str = "run"
    ) -> Federation:
        """A federation that has not run yet."""
        study = self.opened(experiment)
        state = state or initial_state(study)
        app = make_app(SimulatedDevices(study, state.participations.copy()).open)

        def answer(messages: list[Message]) -> Iterable[Message]:
            self.asked.append([message.metadata.dst_node_id for message in messages])
            for message in messages:
                yield reply(message, call_client(app, message))

        grid = InProcessGrid(study.clients, answer)
        run = RunDirectory.create(self.folder / name, experiment)
        return Federation(study, run, grid, grid.client_nodes(), Silent(), state)

    def __call__(self, experiment: Experiment, reply: Reply = true_reply, name: str = "run") -> Federation:
        """A federation that has run."""
        self.asked = []
        federation = self.federation(experiment, reply, name=name)
        federation.run()
        return federation


@pytest.fixture
def run(tmp_path: Path, study_of: Callable[[Experiment], Study]) -> Runner:
    """`run(experiment)` -> the federation after its run."""
    return Runner(tmp_path, study_of)


@pytest.fixture
def fail() -> Callable[[Message], Message]:
    """task message -> the error reply of a node that failed."""
    return failure


@pytest.fixture
def some_arrays() -> dict[str, np.ndarray]:
    """An optimizer's state."""
    return {"m": np.arange(4, dtype=np.float32), "step": np.array([3], dtype=np.float32)}
