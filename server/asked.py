"""Who was asked since the last checkpoint: what a crash undid on the server was not undone on devices, whose ledgers have been charged."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from everbloom.errors import CheckpointError
from server.run_directory import RunDirectory
from server.state import FederationState


@dataclass(frozen=True)
class AskedRecord:
    """`asked.jsonl` of a run: a line for each cohort, on disk before any of it hears of the round."""

    run: RunDirectory

    def note(self, period: int, round: int, clients: Sequence[int]) -> None:
        """Before a round's messages are sent."""
        line = json.dumps({"period": period, "round": round, "clients": list(clients)})
        with (self.run.path / "asked.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(line + "\n")
            stream.flush()
            os.fsync(stream.fileno())

    def count(self, state: FederationState) -> NDArray[np.int32]:
        """[population] how often each client was asked in rounds that `state`, a checkpoint's, knows nothing of. A last line that a crash cut short
        was written before anybody was asked.

        Raises `CheckpointError` if the file is damaged.
        """
        path = self.run.path / "asked.jsonl"
        counted = np.zeros_like(state.participations)
        if not path.is_file():
            return counted
        whole, _, _ = path.read_text(encoding="utf-8").rpartition("\n")
        try:
            for line in whole.splitlines():
                told = json.loads(line)
                if (told["period"], told["round"]) > (state.period, state.round):
                    counted[told["clients"]] += 1
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise CheckpointError(
                f"{path}: damaged ({error!r}); what devices were asked is unknown, start a new run"
            ) from None
        return counted
