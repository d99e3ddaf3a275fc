"""The recipes of docs/streaming.md that send to a pipe and to sockets, as they stand there."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.patience import HUNG
from support.servers import EXPECTED, prepare_folder, read_members

pytestmark = pytest.mark.once

SOCKETS = ["A socket", "A socket, in an event loop"]


def start(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "send.py", *arguments]
    return subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    )


def test_a_pipe_gets_the_archive(tmp_path: Path) -> None:
    prepare_folder(tmp_path, "A pipe", "send.py")
    with start(tmp_path) as process:
        out, told = process.communicate(timeout=HUNG)
    assert process.returncode == 0, told
    assert read_members(out) == EXPECTED


def test_a_pipe_that_is_closed_ends_the_program(tmp_path: Path) -> None:
    prepare_folder(tmp_path, "A pipe", "send.py")
    (tmp_path / "kind").write_text("endless")
    with start(tmp_path) as process:
        assert process.stdout is not None
        assert process.stdout.read(1000)
        process.stdout.close()
        assert process.stderr is not None
        assert b"BrokenPipeError" in process.stderr.read()
        assert process.wait(HUNG) != 0


@contextmanager
def receive(title: str, kind: str, folder: Path) -> Iterator[tuple[socket.socket, bytes]]:
    """The connection that a recipe makes, and the first bytes."""
    prepare_folder(folder, title, "send.py")
    (folder / "kind").write_text(kind)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(HUNG)
        host, port = server.getsockname()
        with start(folder, host, str(port)) as process:
            connection, _ = server.accept()
            with connection:
                yield connection, connection.recv(1000)
            _, told = process.communicate(timeout=HUNG)
    assert (process.returncode == 0) is (kind == "page"), told


@pytest.mark.parametrize("title", SOCKETS)
def test_a_socket_gets_the_archive(title: str, tmp_path: Path) -> None:
    with receive(title, "page", tmp_path) as (connection, begin):
        pieces = [begin, *iter(lambda: connection.recv(1 << 16), b"")]
    assert read_members(b"".join(pieces)) == EXPECTED


@pytest.mark.parametrize("title", SOCKETS)
def test_a_socket_that_is_closed_ends_the_program(title: str, tmp_path: Path) -> None:
    with receive(title, "endless", tmp_path) as (_, begin):
        assert begin
