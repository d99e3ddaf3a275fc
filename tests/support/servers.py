"""Servers that run the recipes of docs/streaming.md, as they stand there."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.patience import HUNG
from support.places import DOCS, TESTS

PAGE = (DOCS / "streaming.md").read_text(encoding="utf-8")

PHOTO = b"".join(b"line %d of a photo\n" % i for i in range(50_000))


def section_of_streaming(title: str) -> str:
    """What the page says under a heading."""
    found = re.search(rf"^##+ {re.escape(title)}\n(.*?)(?=^##+ |\Z)", PAGE, re.M | re.S)
    assert found is not None, title
    return found[1]


def code_of(title: str) -> str:
    """The one block of code under a heading."""
    (code,) = re.findall(r"^```python\n(.*?)^```$", section_of_streaming(title), re.M | re.S)
    return str(code)


def commands_of(title: str) -> list[str]:
    return re.findall(
        r"^    ((?:waitress-serve|gunicorn|uvicorn) .*)$", section_of_streaming(title), re.M
    )


def prepare_folder(folder: Path, title: str, module: str = "app.py") -> None:
    """Writes a recipe, the module that it imports, and the files that this one names."""
    reports = code_of("The recipes") + "\n\nimport served\n\nserved.take_over(globals())\n"
    (folder / "reports.py").write_text(reports, encoding="utf-8")
    shutil.copy(TESTS / "support" / "served.py", folder)
    (folder / module).write_text(code_of(title), encoding="utf-8")
    (folder / "photos").mkdir()
    (folder / "photos" / "one.jpg").write_bytes(PHOTO)
    (folder / "photos" / "two.jpg").write_bytes(PHOTO[::-1])
    (folder / "uploads").mkdir()
    (folder / "uploads" / "7f3a").write_bytes(b"a contract")
    (folder / "kind").write_text("page")


EXPECTED = {
    "photos/": b"",
    "photos/one.jpg": PHOTO,
    "photos/two.jpg": PHOTO[::-1],
    "contract.pdf": b"a contract",
    "squares.csv": b"number,square\n" + b"".join(b"%d,%d\n" % (i, i * i) for i in range(100_000)),
}
"""What the page's own members are."""


@dataclass(frozen=True)
class Server:
    """A server that runs.

    Attributes:
        folder: where it runs.
        port: where it listens, on the loopback.
    """

    folder: Path
    port: int

    def send(self, kind: str) -> None:
        """What the next downloads are made of; see `served`."""
        (self.folder / "kind").write_text(kind)

    @contextlib.contextmanager
    def ask(
        self, kind: str | None = None, method: str = "GET"
    ) -> Iterator[http.client.HTTPResponse]:
        """The answer, of which nothing has been read but the headers; None sends as before."""
        if kind is not None:
            self.send(kind)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=HUNG)
        with contextlib.closing(connection):
            connection.request(method, "/reports.zip")
            with connection.getresponse() as response:
                yield response

    def fail(self, response: http.client.HTTPResponse) -> bytes:
        """Lets the source of a download fail in the middle; what came until it ended."""
        begin = response.read(1)
        told = self.folder / "fail"
        told.touch()
        try:
            return begin + response.read()
        finally:
            told.unlink()

    def download(self, kind: str) -> dict[str, bytes]:
        """The members of a whole download, checked."""
        with self.ask(kind) as response:
            assert response.status == 200
            return read_members(response.read())

    def state(self) -> dict[str, Any]:
        """What `served.tell_state` tells."""
        state: dict[str, Any] = json.loads(self.download("state")["state.json"])
        return state

    def is_at_rest(self) -> bool:
        """Whether all that was begun has ended, and no thread of ours is left."""
        state = self.state()
        is_ended = state.get("begun") == state.get("ended")
        return is_ended and not any(name.startswith("parazip") for name in state["threads"])

    def wait_for_rest(self) -> None:
        give_up = time.monotonic() + HUNG
        while not self.is_at_rest():
            assert time.monotonic() < give_up, self.state()
            time.sleep(0.05)

    def log(self) -> str:
        """What the server has said."""
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")


def read_members(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _pick_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as picked:
        port: int = picked.getsockname()[1]
        return port


_PLACES = {
    "waitress-serve": ("waitress", "--listen=127.0.0.1:{}"),
    "gunicorn": ("gunicorn", "--bind=127.0.0.1:{}"),
    "uvicorn": ("uvicorn", "--host=127.0.0.1 --port={}"),
    "serve.py": ("serve", "{}"),
}
"""The module that is a server's command, and how it is told where to listen."""


@contextlib.contextmanager
def serve(command: str, folder: Path) -> Iterator[Server]:
    """Runs the command of a server in a folder, until the end of the block."""
    name, *words = shlex.split(command)
    module, place = _PLACES[name]
    for _ in range(5):  # another program may take the port meanwhile
        port = _pick_port()
        with open(folder / "log", "wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *place.format(port).split(), *words],
                cwd=folder,
                env={**os.environ, "HOME": str(folder), "XDG_RUNTIME_DIR": str(folder)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            if _wait_until_it_listens(process, port):
                yield Server(folder, port)
                return
        finally:
            process.terminate()
            try:
                process.wait(HUNG)
            finally:
                process.kill()
    raise AssertionError(f"{command} does not listen: {(folder / 'log').read_text()}")


def _wait_until_it_listens(process: subprocess.Popen[bytes], port: int) -> bool:
    """False if it has ended."""
    give_up = time.monotonic() + HUNG
    while process.poll() is None and time.monotonic() < give_up:
        with contextlib.suppress(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=HUNG).close()
            return True
        time.sleep(0.05)
    return False
