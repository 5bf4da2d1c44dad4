"""What a device was asked, answered and refused: lines of JSON for its owner, with nothing of its owner's in them."""

import json
import logging
import os
import time
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

_BYTES = 1 << 20


class Journal:
    """`log.jsonl`, and one older file beside it. `echo`: on standard error too, where a service manager collects it."""

    def __init__(self, path: Path, echo: bool) -> None:
        if not path.exists():
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
        self._logger = logging.Logger(str(path))
        handlers: list[logging.Handler] = [RotatingFileHandler(path, maxBytes=_BYTES, backupCount=1, encoding="utf-8")]
        if echo:
            handlers.append(logging.StreamHandler())
        for handler in handlers:
            handler.setFormatter(logging.Formatter("%(message)s"))
            handler.handleError = _unwritten  # type: ignore[method-assign]
            self._logger.addHandler(handler)

    def note(self, event: str, **fields: Any) -> None:
        """One line. Fields are numbers, names of the protocol and reasons; never items, texts or times of events."""
        self._logger.info(json.dumps({"time": round(time.time(), 3), "event": event, **fields}, ensure_ascii=False))

    def close(self) -> None:
        """Lets go of the file."""
        for handler in self._logger.handlers:
            handler.close()


def _unwritten(record: logging.LogRecord) -> None:
    """A full disk must not keep a device from refusing; what it refuses is then only answered, not written down."""
