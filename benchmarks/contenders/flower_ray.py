"""The same federated rounds in Flower's own simulation engine on Ray: everbloom's ClientApp, one flat array a message, one actor a core.

`python -m benchmarks.contenders.flower_ray FOLDER [NODES]`: as many virtual SuperNodes as there are users, or fewer, of which each then stands for
whichever user a message names (cheaper for Flower, whose work grows with the number of nodes).
"""

import os
import sys
import time
import warnings
from functools import lru_cache, partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

from benchmarks.opened import PERIOD, Workload, from_arguments, length, open_workload
from benchmarks.protocol import Conversation
from client.device import Device
from everbloom.wire import HELLO, TRAIN, Task, Update
from simulation.devices import SimulatedDevices


def make_client(folder: Path) -> ClientApp:
    """What Ray's actors run. All that it needs is found by name there, so that it is cheap to send."""
    app = ClientApp()

    @app.query("hello")
    def hello(message: Message, context: Context) -> Message:
        answer = ConfigRecord({"partition": int(context.node_config["partition-id"])})
        return Message(RecordDict({"hello": answer}), reply_to=message)

    @app.train()
    def train(message: Message, context: Context) -> Message:
        client = int(message.content.config_records["who"]["client"])
        return Message(device(folder, client).train(Task.unpack(message.content)).pack(), reply_to=message)

    return app


def device(folder: Path, client: int) -> Device:
    """A user's device, in an actor."""
    return _devices(folder).open(SimpleNamespace(node_config={"client": client}))  # type: ignore[arg-type]


@lru_cache(maxsize=1)
def _devices(folder: Path) -> SimulatedDevices:
    """Opened once in each actor, with one model and one trainer for all its clients."""
    torch.set_num_threads(1)
    study = open_workload(folder).study
    return SimulatedDevices(study, np.zeros(study.clients, dtype=np.int32))


def _for(task: RecordDict, client: int) -> RecordDict:
    """A task addressed to one user; the arrays are shared by all messages of a round."""
    return RecordDict({**task, "who": ConfigRecord({"client": client})})


class Server:
    """A ServerApp that does rounds as they are asked for."""

    def __init__(self, workload: Workload, nodes: int, conversation: Conversation) -> None:
        self.workload = workload
        self.nodes = nodes
        self.conversation = conversation

    def main(self, grid: Grid, context: Context) -> None:
        """Waits for Ray's actors, then serves."""
        started = time.perf_counter()
        node_of = self._roll(grid)
        facts = {"nodes": self.nodes, "start_seconds": time.perf_counter() - started, **self.workload.facts()}
        for request in self.conversation.requests(**facts):
            began = time.perf_counter()
            done = [self._round(grid, node_of, number) for number in request.rounds]
            self.conversation.answer(
                time.perf_counter() - began, sum(clients for clients, _ in done), [norm for _, norm in done]
            )

    def _roll(self, grid: Grid) -> dict[int, int]:
        """Partition -> node id: with a node for each user, a user's messages go to its own node."""
        while len(nodes := list(grid.get_node_ids())) < self.nodes:
            time.sleep(0.1)
        if self.nodes < self.workload.study.clients:
            return dict(enumerate(nodes))
        replies = grid.send_and_receive([Message(RecordDict(), dst_node_id=node, message_type=HELLO) for node in nodes])
        return {
            int(reply.content.config_records["hello"]["partition"]): reply.metadata.src_node_id  # type: ignore[arg-type]
            for reply in replies
        }

    def _round(self, grid: Grid, node_of: dict[int, int], number: int) -> tuple[int, float]:
        clients = self.workload.cohort(number)
        places = clients if self.nodes == self.workload.study.clients else np.arange(len(clients)) % self.nodes
        task = self._task(number)
        messages = [
            Message(_for(task, client), dst_node_id=node_of[place], message_type=TRAIN)
            for client, place in zip(clients.tolist(), places.tolist(), strict=True)
        ]
        total = np.zeros(len(self.workload.initial), dtype=np.float32)
        for reply in grid.send_and_receive(messages):
            if reply.has_error():
                raise RuntimeError(f"a client failed: {reply.error.reason}")
            total += Update.unpack(reply.content).delta
        return len(clients), length(total) / len(clients)

    def _task(self, number: int) -> RecordDict:
        study = self.workload.study
        task = Task(self.workload.initial, study.layout.schema, study.terms, PERIOD, number, self.workload.window)
        return task.pack()


def main() -> None:
    """Starts Ray and the virtual SuperNodes and serves until the driver is done."""
    os.environ |= {
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    }
    from flwr.simulation import run_simulation

    conversation = Conversation()
    workload = from_arguments()
    nodes = int(sys.argv[2]) if len(sys.argv) > 2 else workload.study.clients
    server = ServerApp()
    server.main()(partial(Server(workload, nodes, conversation).main))
    warnings.simplefilter("ignore")
    # The engine is the one of `flwr run`; this entry point lets the driver talk to the ServerApp.
    run_simulation(
        server,
        _by_reference(workload.folder.resolve()),
        nodes,
        backend_config={
            "init_args": {"num_cpus": os.cpu_count() or 1, "include_dashboard": False},
            "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
        },
    )


def _by_reference(folder: Path) -> ClientApp:
    """The ClientApp made by this module under its own name: what is defined in a main program would be sent whole with every message."""
    from benchmarks.contenders import flower_ray

    return flower_ray.make_client(folder)


if __name__ == "__main__":
    main()
