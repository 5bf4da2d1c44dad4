"""Who a device is to other devices, in secure aggregation: its long-term secret, the others whom it knows, and what it has committed itself to."""

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from everbloom.errors import PrivacyError
from everbloom.privacy.secure_aggregation.device import SecureDevice
from everbloom.privacy.secure_aggregation.keys import identity
from everbloom.privacy.secure_aggregation.record import FolderRecord
from everbloom.privacy.secure_aggregation.simulation import simulated_secrets
from everbloom.privacy.secure_aggregation.terms import Policy

FEWEST = 3
"""Devices of a sum, at least: with two, each knows the other's vector."""


def _listed(path: Path) -> dict[int, bytes]:
    """Client number -> identity, of a file that lists them."""
    found: dict[int, bytes] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise PrivacyError(f"{path}: cannot be read: {error}") from None
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            client, key = line.split()
            told = int(client), bytes.fromhex(key)
        except ValueError:
            told = -1, b""
        if told[0] < 0 or len(told[1]) != 32:
            raise PrivacyError(f"{path}:{number}: expected a device's number and 64 hexadecimal digits, found {line!r}")
        if told[0] in found or told[1] in found.values():
            raise PrivacyError(f"{path}:{number}: this number or identity is there twice; every device has its own")
        found[told[0]] = told[1]
    return found


@dataclass(frozen=True)
class DeviceIdentity:
    """`secret.key`, `directory.json` and `commitments/` in a device's folder."""

    folder: Path

    def make(self, client: int, seed: int | None) -> None:
        """A secret, unless there is one: other devices know this one by it. A simulated device's follows from the seed, so that what it sends can be
        repeated.
        """
        path = self.folder / "secret.key"
        if path.exists():
            return
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(secrets.token_bytes(32) if seed is None else simulated_secrets(seed, [client])[client])
            stream.flush()
            os.fsync(stream.fileno())

    @property
    def public(self) -> bytes:
        """[32 bytes] by which other devices are to know this one."""
        return identity(self._secret())

    def pin(self, directory: Mapping[int, bytes]) -> None:
        """Keeps the identities of the devices that this one may meet in secure aggregation, by client number; its own among them.

        Raises `PrivacyError` if they are pinned already and differ: whoever could change them could listen in.
        """
        path = self.folder / "directory.json"
        text = json.dumps({str(client): key.hex() for client, key in sorted(directory.items())}, indent=0)
        if path.exists() and path.read_text() != text:
            raise PrivacyError(f"{path}: other devices are pinned here already; remove the file to trust new ones")
        path.write_text(text)

    def pin_list(self, path: Path, client: int) -> int:
        """`pin` of a file with a line for each device, its number and its identity in hexadecimal; this one is number `client`. Returns how many.

        Raises `PrivacyError` as `pin` does, and unless all of them can be told apart and this one is among them as it is.
        """
        found = _listed(path)
        if found.get(client) != self.public:
            problem = "is not in it" if client not in found else "is there with another identity than its own"
            raise PrivacyError(
                f"{path}: device {client} {problem}; its line is what `everbloom-device identity` prints"
            )
        self.pin(found)
        return len(found)

    def secure_device(self, client: int, minimum: int = FEWEST) -> SecureDevice | None:
        """Its part in secure aggregation, in sums of at least `minimum` devices; None if it knows no others."""
        path = self.folder / "directory.json"
        if not path.is_file():
            return None
        try:
            directory = {int(number): bytes.fromhex(key) for number, key in json.loads(path.read_text()).items()}
        except (ValueError, AttributeError, TypeError):
            raise PrivacyError(f"{path}: damaged; expected client numbers and identities in hexadecimal") from None
        record = FolderRecord(self.folder / "commitments")
        return SecureDevice(client, self._secret(), directory, record, Policy(minimum=max(minimum, FEWEST)))

    def _secret(self) -> bytes:
        """Raises `PrivacyError` unless it is there and whole: an identity must not follow from an empty file."""
        path = self.folder / "secret.key"
        secret = path.read_bytes() if path.is_file() else b""
        if len(secret) != 32:
            raise PrivacyError(f"{path}: expected this device's 32-byte secret, found {len(secret)} bytes")
        return secret
