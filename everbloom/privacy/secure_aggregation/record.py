"""What a device must remember of a round although it forgets everything else: to whom it first committed itself.

A few dozen bytes for each of: the roster and the survivors of an attempt, and the vector that it masked in a round. The first value of a name stands
for ever: whoever asks for the same gets the same answer, whoever asks for something else is refused.
"""

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from everbloom.errors import PrivacyError


class Record(Protocol):
    """Names are ASCII without slashes; values at most 128 bytes."""

    def get(self, name: str) -> bytes | None:
        """The value that stands, if any."""
        ...

    def put(self, name: str, value: bytes) -> bytes:
        """Writes the value unless the name has one, and returns what now stands.

        One step even among processes, and durable when it returns: a device answers only after it.
        """
        ...


class MemoryRecord:
    """For simulations, which forget in the end."""

    def __init__(self) -> None:
        self._values: dict[str, bytes] = {}

    def get(self, name: str) -> bytes | None:
        """See `Record`."""
        return self._values.get(name)

    def put(self, name: str, value: bytes) -> bytes:
        """See `Record`."""
        return self._values.setdefault(name, value)


class FolderRecord:
    """One file a name, in a folder of one device's own on a local disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, name: str) -> bytes | None:
        """See `Record`."""
        try:
            return (self._folder / name).read_bytes()
        except FileNotFoundError:
            return None

    def put(self, name: str, value: bytes) -> bytes:
        """See `Record`. Raises `PrivacyError` if nothing can be written."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.NamedTemporaryFile(dir=self._folder, prefix=".new-") as file:
                file.write(value)
                file.flush()
                os.fsync(file.fileno())
                # A link appears whole or not at all, and to one of several processes only.
                with suppress(FileExistsError):
                    os.link(file.name, self._folder / name)
            folder = os.open(self._folder, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
            return (self._folder / name).read_bytes()
        except OSError as error:
            raise PrivacyError(f"secure aggregation: the record in {self._folder} cannot be written: {error}") from None


def pin(record: Record, name: str, value: bytes, what: str) -> None:
    """Commits the device to `value`. Raises `PrivacyError` if it is committed to another."""
    if record.put(name, value) != value:
        raise PrivacyError(f"secure aggregation: this device has already answered for {what} in this round")
