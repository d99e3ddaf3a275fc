"""Bytes over a socket, without the signals and time-outs that a program may have set."""

from __future__ import annotations

import sys

if sys.platform != "win32":
    import _socket

_NO_SIGNAL = getattr(_socket, "MSG_NOSIGNAL", 0) if sys.platform != "win32" else 0


def make_pair() -> tuple[_socket.socket, _socket.socket]:
    """Makes both ends of a connection."""
    pair = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM, 0)
    for socket in pair:
        socket.settimeout(None)  # the program may have set another for all sockets
        if sys.platform == "darwin":
            socket.setsockopt(_socket.SOL_SOCKET, _SO_NOSIGPIPE, 1)
    return pair


_SO_NOSIGPIPE = 0x1022
"""macOS has it in sys/socket.h, and Python has no name for it."""


def send(socket: _socket.socket, data: bytes) -> None:
    """Sends all of `data`; if nobody is there, that raises an error, and no signal."""
    socket.sendall(data, _NO_SIGNAL)


def receive(socket: _socket.socket, size: int) -> bytes:
    """Receives `size` bytes; fewer if the other end is closed."""
    data = bytearray(size)
    view = memoryview(data)
    while view and (count := socket.recv_into(view)):
        view = view[count:]
    return bytes(data[: size - len(view)])
