"""What the stored global model says of itself, read from its file's header alone: no array library is needed for it."""

import json
import struct
from pathlib import Path
from typing import Any

_MOST_HEADER = 1 << 24


def model_facts(path: Path) -> dict[str, Any] | None:
    """Version, schema, period and round; None if there is no model, or the file's header is damaged (who loads it says so)."""
    try:
        with path.open("rb") as stream:
            (size,) = struct.unpack("<Q", stream.read(8))
            told = json.loads(stream.read(min(size, _MOST_HEADER)))["__metadata__"]
        return {
            "version": told["version"],
            "schema": told["schema"],
            "period": int(told["period"]),
            "round": int(told["round"]),
            "received": int(path.stat().st_mtime),
        }
    except (OSError, struct.error, ValueError, KeyError, TypeError):
        return None
