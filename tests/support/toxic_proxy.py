"""A poor network on loopback: connections to a server that are slow, break off or fall silent."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class Network:
    """How bytes go.

    Attributes:
        piece: how many bytes come at once.
        pause: seconds between two pieces.
        cut_down: after how many bytes from the server a connection breaks; is called with its
            number, from 0 on. None if it does not.
        cut_up: the same of bytes to the server.
        released: ends all pauses.
    """

    piece: int = 1 << 16
    pause: float = 0.0
    cut_down: Callable[[int], int | None] = lambda number: None
    cut_up: Callable[[int], int | None] = lambda number: None
    released: threading.Event = field(default_factory=threading.Event)


class _Connection:
    """A connection to a server, and the one that it stands for."""

    def __init__(self, network: Network, number: int, near: socket.socket, far: int) -> None:
        self._network = network
        self._number = number
        self._near = near
        self._far = socket.create_connection(("127.0.0.1", far))
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        near, far, network = self._near, self._far, self._network
        up = threading.Thread(
            target=self._pump, args=(near, far, network.cut_up(self._number)), daemon=True
        )
        with near, far:
            up.start()
            self._pump(far, near, network.cut_down(self._number))
            up.join()

    def _pump(self, source: socket.socket, target: socket.socket, left: int | None) -> None:
        network = self._network
        with suppress(OSError):
            while left is None or left > 0:
                data = source.recv(network.piece if left is None else min(network.piece, left))
                if not data:
                    target.shutdown(socket.SHUT_WR)
                    return
                if network.pause:
                    network.released.wait(network.pause)
                target.sendall(data)
                if left is not None:
                    left -= len(data)
        self.end()

    def end(self) -> None:
        """Breaks both."""
        for each in self._near, self._far:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


@contextmanager
def poor_network(url: str, network: Network) -> Iterator[str]:
    """The URL under which a server on loopback is reached through a poor network.

    Args:
        url: of the server.
        network: how it is.
    """
    parts = urlsplit(url)
    listening = socket.create_server(("127.0.0.1", 0))
    connections: list[_Connection] = []

    def accept() -> None:
        with suppress(OSError):
            while True:
                near, _ = listening.accept()
                connections.append(_Connection(network, len(connections), near, parts.port or 0))

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield parts._replace(netloc=f"127.0.0.1:{listening.getsockname()[1]}").geturl()
    finally:
        network.released.set()
        with suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        thread.join()
        listening.close()
        for connection in connections:
            connection.end()
            connection.thread.join()
