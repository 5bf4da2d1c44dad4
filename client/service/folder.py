"""A device's folder: which files there are, who may read them, and that one process at a time has them open."""

import fcntl
import json
import os
import secrets
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from everbloom.errors import DataError


class Busy(DataError):
    """The device's service is running, and it alone may open the folder."""


@dataclass(frozen=True)
class DeviceFolder:
    """Everything in it is its owner's alone (mode 0700). Public: `catalog/` and `catalogue.sqlite`. Private: the rest."""

    path: Path

    @property
    def settings_file(self) -> Path:
        """Client number, source of randomness, which ledger."""
        return self.path / "device.json"

    @property
    def policy(self) -> Path:
        """The owner's policy."""
        return self.path / "policy.toml"

    @property
    def store(self) -> Path:
        """Events, feedback, answers, settings."""
        return self.path / "private.sqlite"

    @property
    def index(self) -> Path:
        """The catalogue's ids and titles."""
        return self.path / "catalogue.sqlite"

    @property
    def ledger(self) -> Path:
        """What was spent."""
        return self.path / "ledger.sqlite"

    @property
    def model(self) -> Path:
        """The current global model."""
        return self.path / "model.safetensors"

    @property
    def personal(self) -> Path:
        """What was learnt and stays here."""
        return self.path / "personal.safetensors"

    @property
    def residual(self) -> Path:
        """What compression has left to be sent later."""
        return self.path / "residual.safetensors"

    @property
    def log(self) -> Path:
        """What was asked, answered and refused."""
        return self.path / "log.jsonl"

    @property
    def socket(self) -> Path:
        """Where the Flower side asks."""
        return self.path / "run" / "device.sock"

    @property
    def address(self) -> Path:
        """Where the running service's HTTP API listens."""
        return self.path / "run" / "address.json"

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Raises `DataError` if there is no device."""
        try:
            settings = json.loads(self.settings_file.read_text())
            return {"client": int(settings["client"]), "seed": settings["seed"], "ledger": str(settings["ledger"])}
        except FileNotFoundError:
            raise DataError(
                f"{self.path}: no device here; make one with: everbloom-device init --catalog DIR"
            ) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{self.settings_file}: damaged ({error!r}); restore it from a backup") from None

    def token(self) -> str:
        """The owner's key to the HTTP API; made when it is first asked for."""
        path = self.path / "token"
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            token = path.read_text().strip()
            if len(token) < 32:
                raise DataError(f"{path}: too short for a token; remove it, and a new one is made") from None
            return token
        with os.fdopen(descriptor, "w") as stream:
            stream.write(secrets.token_urlsafe(32))
        return self.token()

    def lock(self) -> int:
        """Takes the folder for this process, until it ends or closes what is returned. Raises `Busy` if another has it."""
        _ = self.settings
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise Busy(f"{self.path}: this device's service is running, or another command is") from None
        return descriptor
