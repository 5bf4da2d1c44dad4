"""A link between a SuperNode and the proxy that breaks off in the middle of what comes down, once it is told to."""

import socket
import threading
from contextlib import suppress


class CuttingLink:
    """Forwards connections to `port` on loopback; TLS passes through. While `cuts` is above 0, a connection over which `after` bytes have come down
    without a pause is closed on both sides, which uses up one cut.
    """

    def __init__(self, port: int, after: int) -> None:
        self._port = port
        self._after = after
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.cuts = 0
        self.done = 0
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listening.getsockname()[1])

    def close(self) -> None:
        """No new connections."""
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                try:
                    far = socket.create_connection(("127.0.0.1", self._port))
                except OSError:
                    near.close()
                    continue
                for source, target, down in ((near, far, False), (far, near, True)):
                    threading.Thread(target=self._pass_on, args=(source, target, down), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, down: bool) -> None:
        came = 0
        with suppress(OSError):
            while data := source.recv(1024):
                came += len(data)
                if down and came > self._after and self.cuts > 0:
                    self.cuts -= 1
                    self.done += 1
                    break
                target.sendall(data)
                if down and len(data) < 1024:
                    came = 0  # the end of an answer
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
