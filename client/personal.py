"""A stored device's personal parameters: one file that is replaced whole after each round and never sent."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from everbloom.errors import DataError
from everbloom.wire import Task


@dataclass(frozen=True)
class StoredPersonal:
    """Belongs to one federation: to the terms and the parameter schema that it was learnt under. Under others a device begins anew, and so it does
    when an earlier period comes again, since the server has then begun anew itself.
    """

    path: Path

    def load(self, task: Task, size: int) -> NDArray[np.float32]:
        """See `DevicePersonal`. Raises `DataError` if the file is damaged."""
        nothing = np.zeros(size, dtype=np.float32)
        if not self.path.is_file():
            return nothing
        try:
            with safe_open(self.path, framework="numpy") as stored:
                told: dict[str, str] = stored.metadata()
                values: NDArray[Any] = stored.get_tensor("personal")
            known = told["federation"] == task.federation and int(told["period"]) <= task.period
        except (OSError, KeyError, ValueError, TypeError, SafetensorError) as error:
            raise DataError(f"{self.path}: damaged ({error!r}); remove it, and what it held is learnt anew") from None
        return values.astype(np.float32) if known and values.shape == (size,) else nothing

    def adopt(self, task: Task) -> None:
        """Takes what was learnt in the federation that the task's goes on from along into it. Raises `DataError` if the file is damaged."""
        if task.continues is None or not self.path.is_file():
            return
        try:
            with safe_open(self.path, framework="numpy") as stored:
                federation: str = stored.metadata()["federation"]
                values: NDArray[Any] = stored.get_tensor("personal")
        except (OSError, KeyError, TypeError, SafetensorError) as error:
            raise DataError(f"{self.path}: damaged ({error!r}); remove it, and what it held is learnt anew") from None
        if federation == task.continues:
            self.save(task, values.astype(np.float32))

    def save(self, task: Task, values: NDArray[np.float32]) -> None:
        """See `DevicePersonal`."""
        temporary = self.path.with_name(f".{self.path.name}.tmp")
        save_file({"personal": values}, temporary, {"federation": task.federation, "period": str(task.period)})
        temporary.chmod(0o600)
        descriptor = os.open(temporary, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(self.path)
