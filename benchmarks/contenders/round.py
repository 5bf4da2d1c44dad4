"""Whole federated rounds of `everbloom run`: server, grid, sampling, messages, aggregation, optimizer; no evaluation and no checkpoint in between.

`python -m benchmarks.contenders.round FOLDER [PROCESSES]`.
"""

import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.opened import from_arguments
from benchmarks.protocol import Conversation
from server.run_directory import RunDirectory
from simulation.run import run_in_process


class Over(Exception):
    """The driver wants no more rounds."""


class Turns:
    """An observer that lets the federation go on when the driver asks for rounds. Which rounds they are is the federation's to say."""

    def __init__(self, conversation: Conversation, facts: Mapping[str, Any]) -> None:
        self.requests = conversation.requests(**facts)
        self.answer = conversation.answer
        self.left = self.clients = 0
        self.began: float | None = None

    def round_done(self, record: Mapping[str, Any], reasons: Sequence[str]) -> None:
        """Counts; at the end of a repetition, answers and waits. The first round of all is nobody's."""
        self.left -= 1
        self.clients += record["clients"]
        if self.left > 0:
            return
        if self.began is not None:
            self.answer(time.perf_counter() - self.began, self.clients)
        request = next(self.requests, None)
        if request is None:
            raise Over
        self.left, self.clients, self.began = len(request.rounds), 0, time.perf_counter()

    def measured(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Not asked for."""


def main() -> None:
    """Runs the experiment until the driver is done with it."""
    conversation = Conversation()
    torch.set_num_threads(1)
    workload = from_arguments()
    processes = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    experiment = workload.study.experiment
    runtime = experiment.runtime.model_copy(update={"workers": processes})
    study = replace(workload.study, experiment=experiment.model_copy(update={"runtime": runtime}))
    turns = Turns(conversation, {"processes": processes, **workload.facts()})
    with tempfile.TemporaryDirectory(dir=workload.folder) as folder:
        run = RunDirectory.create(Path(folder) / "run", study.experiment)
        try:
            run_in_process(study, run, turns, resume=False)
        except Over:
            return


if __name__ == "__main__":
    main()
