"""Records that another process writes, read as they come."""

import json
from pathlib import Path
from typing import Any


class Tail:
    """Reads the records that another process appends to a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read = 0

    def new(self) -> list[dict[str, Any]]:
        """What was added since the last call; a line that is not finished waits."""
        if not self.path.is_file():
            return []
        with self.path.open("rb") as stream:
            stream.seek(self._read)
            whole, newline, _ = stream.read().rpartition(b"\n")
        self._read += len(whole) + len(newline)
        return [json.loads(line) for line in whole.splitlines()]
