"""The current global model on the device: public parameters, replaced whole whenever a round or an offer brings newer ones."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from everbloom.config import ModelConfig
from everbloom.errors import DataError


@dataclass(frozen=True, eq=False)
class GlobalModel:
    """`parameters` [params] float32 and what it takes to build the model around them. `federation` is that of the personal parameters that fit.
    `own_model`: what the device keeps is a whole model that it recommends by, once it has trained one."""

    parameters: NDArray[np.float32]
    config: ModelConfig
    text: str | None
    seed: int
    schema: str
    period: int
    round: int
    federation: str
    own_model: bool = False

    @property
    def version(self) -> str:
        """The head of SHA-256 over the parameters: what is equal on two devices that recommend by the same model."""
        return hashlib.sha256(np.ascontiguousarray(self.parameters).tobytes()).hexdigest()[:16]

    def save(self, path: Path) -> None:
        """Replaces the file; a kill at any moment leaves this model or the one before."""
        told = {
            "config": self.config.model_dump_json(),
            "text": "" if self.text is None else self.text,
            "seed": str(self.seed),
            "schema": self.schema,
            "period": str(self.period),
            "round": str(self.round),
            "federation": self.federation,
            "version": self.version,
            "own_model": "yes" if self.own_model else "",
        }
        fresh = path.with_name(f".{path.name}.new")
        save_file({"parameters": np.ascontiguousarray(self.parameters)}, fresh, told)
        fresh.chmod(0o600)
        descriptor = os.open(fresh, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        fresh.replace(path)

    @classmethod
    def load(cls, path: Path) -> "GlobalModel | None":
        """None if there is none yet. Raises `DataError` if the file is damaged."""
        if not path.is_file():
            return None
        try:
            with safe_open(path, framework="numpy") as stored:
                told: dict[str, str] = stored.metadata()
                parameters = stored.get_tensor("parameters")
            found = cls(
                parameters,
                ModelConfig.model_validate_json(told["config"]),
                told["text"] or None,
                int(told["seed"]),
                told["schema"],
                int(told["period"]),
                int(told["round"]),
                told["federation"],
                told.get("own_model") == "yes",
            )
            whole = found.version == told["version"]
        except (OSError, KeyError, ValueError, TypeError, SafetensorError) as error:
            raise DataError(f"{path}: damaged ({error!r}); remove it, the next round brings another") from None
        if not whole:
            raise DataError(
                f"{path}: damaged (its parameters are not those that were written); remove it, the next round brings another"
            )
        return found


def personal_of(path: Path, model: GlobalModel, size: int) -> NDArray[np.float32] | None:
    """[size] what the device learnt for itself under this model's federation; None if nothing, or under another."""
    if size == 0 or not path.is_file():
        return None
    try:
        with safe_open(path, framework="numpy") as stored:
            values: NDArray[np.float32] = stored.get_tensor("personal")
            fits = stored.metadata()["federation"] == model.federation and len(values) >= size
    except (OSError, KeyError, SafetensorError) as error:
        raise DataError(f"{path}: damaged ({error!r}); remove it, and what it held is learnt anew") from None
    return values[:size] if fits else None  # what an algorithm remembers comes after them
