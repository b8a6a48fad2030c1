"""A network between client and server that can be cut, slowed down, and that can damage what it carries."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

_CHUNK = 16_384
_TIFF = b"content-type: image/tiff"


@dataclass
class Network:
    """A port that leads to another.

    Attributes:
        port: to connect to.
        target: where it leads.
        is_cut: new connections are refused, and those there were have ended.
        bytes_per_s: of each connection; None: as fast as it goes.
        damage: images that will have a byte changed on their way.
        damaged: images that had.
    """

    port: int
    target: int
    is_cut: bool = False
    bytes_per_s: float | None = None
    damage: int = 0
    damaged: int = 0
    _open: set[socket.socket] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def cut(self) -> None:
        """End all connections and refuse new ones."""
        self.is_cut = True
        with self._lock:
            for one in self._open:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        """Let connections through again."""
        self.is_cut = False

    def serve(self, client: socket.socket) -> None:
        """Carry one connection until either side ends it."""
        if self.is_cut:
            client.close()
            return
        try:
            server = socket.create_connection(("127.0.0.1", self.target), timeout=10)
        except OSError:
            client.close()
            return
        server.settimeout(None)
        with self._lock:
            self._open |= {client, server}
        up = threading.Thread(target=self._carry, args=(client, server, False), daemon=True)
        up.start()
        self._carry(server, client, True)
        up.join()
        with self._lock:
            self._open -= {client, server}
        client.close()
        server.close()

    def _carry(self, source: socket.socket, target: socket.socket, answers: bool) -> None:
        with suppress(OSError):
            while chunk := source.recv(_CHUNK):
                if self.bytes_per_s is not None:
                    time.sleep(len(chunk) / self.bytes_per_s)
                target.sendall(self._damaged(chunk) if answers else chunk)
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _damaged(self, chunk: bytes) -> bytes:
        """The chunk, or a changed one where it begins an image and one is to be damaged."""
        head, gap, body = chunk.partition(b"\r\n\r\n")
        if self.damage <= 0 or _TIFF not in head.lower() or len(body) < 100:
            return chunk
        self.damage -= 1
        self.damaged += 1
        return head + gap + body[:-50] + bytes([body[-50] ^ 0xFF]) + body[-49:]


@contextmanager
def network_to(target: int) -> Iterator[Network]:
    """A network to a port of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        network = Network(listener.getsockname()[1], target)

        def accept() -> None:
            with suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    threading.Thread(target=network.serve, args=(client,), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield network
        finally:
            network.cut()
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join(5)
