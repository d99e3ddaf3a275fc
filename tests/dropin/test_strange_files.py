"""Archives that are no files: read on the caller's thread, in order, each byte once."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

import parazip
from support.patience import HUNG


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """More members than one thread reads by itself, small ones and large ones in no order."""
    output = io.BytesIO()
    with parazip.ZipFile(output, "w", level=1) as archive:
        for i in range(260):
            archive.writestr(f"{i % 7}/{i}", os.urandom(50) * (i * i % 97 + 1))
            if i % 90 == 0:
                archive.writestr(f"large{i}", os.urandom(1 << 20) * (18 if i else 5))
    return output.getvalue()


class Remote:
    """Something that reads and seeks, and remembers what it was asked for, and by whom."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)
        self.asked: list[tuple[str, int]] = []
        self.threads: set[int] = set()

    def _note(self, what: str, number: int) -> None:
        self.asked.append((what, number))
        self.threads.add(threading.get_ident())

    def read(self, size: int = -1, /) -> bytes:
        self._note("read", size)
        return self._file.read(size)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        self._note("seek", offset)
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True


class DerivedBytes(io.BytesIO):
    """Nobody knows what it does when it is read."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.asked: list[tuple[str, int]] = []
        self.threads: set[int] = set()

    def read(self, size: int | None = -1, /) -> bytes:
        self.asked.append(("read", size or -1))
        self.threads.add(threading.get_ident())
        return super().read(size)


JOBS: dict[str, Callable[[zipfile.ZipFile, str], object]] = {
    "extractall": lambda archive, folder: archive.extractall(folder),
    "testzip": lambda archive, folder: archive.testzip(),
    "extract": lambda archive, folder: archive.extract("large90", folder),
    "read": lambda archive, folder: [archive.read(name) for name in archive.namelist()[::9]],
}


@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize("kind", [Remote, DerivedBytes])
def test_a_file_of_a_strange_kind_is_asked_as_by_zipfile(
    many: bytes, tmp_path: Path, kind: Any, job: str
) -> None:
    asked = []
    for archive_type in zipfile.ZipFile, parazip.ZipFile:
        file = kind(many)
        with archive_type(file) as archive:
            JOBS[job](archive, str(tmp_path / archive_type.__module__))
        asked.append(file.asked)
        assert file.threads == {threading.get_ident()}
    assert asked[0] == asked[1]


def test_files_of_the_standard_library_that_are_no_plain_ones(many: bytes, tmp_path: Path) -> None:
    path = tmp_path / "many.zip"
    path.write_bytes(many)
    with (
        tempfile.NamedTemporaryFile() as named,
        tempfile.SpooledTemporaryFile() as spooled,
        zipfile.ZipFile(tmp_path / "outer.zip", "w") as outer,
    ):
        outer.write(path, "inner.zip")
        for file in named, spooled:
            file.write(many)
        with outer.open("inner.zip") as inner:
            files: tuple[Any, ...] = (named, spooled, inner)
            for number, file in enumerate(files):
                with parazip.ZipFile(file) as archive:
                    assert archive.testzip() is None
                    archive.extractall(tmp_path / str(number))
                made = [each for each in (tmp_path / str(number)).rglob("*") if each.is_file()]
                assert len(made) == 263


class Ranges(BaseHTTPRequestHandler):
    """Serves one archive, whole or by ranges, and counts."""

    data: ClassVar[bytes]
    requests: ClassVar[list[str]]
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, with_body: bool) -> None:
        wanted = self.headers.get("Range", "")
        self.requests.append(wanted)
        size = len(self.data)
        match = re.fullmatch(r"bytes=(\d*)-(\d*)", wanted)
        first, last = 0, size - 1
        if match is not None:
            first = int(match[1]) if match[1] else size - int(match[2])
            last = min(int(match[2]) if match[1] and match[2] else size - 1, size - 1)
        self.send_response(206 if match else 200)
        if match:
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(last - first + 1))
        self.end_headers()
        if with_body:
            self.wfile.write(self.data[first : last + 1])

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(many: bytes) -> Iterator[tuple[str, list[str]]]:
    requests: list[str] = []
    handler = type("Handler", (Ranges,), {"data": many, "requests": requests})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}/many.zip", requests
        running.shutdown()
        thread.join()


PROGRAMS = {
    "remotezip": """
import sys
from remotezip import RemoteZip
with RemoteZip(sys.argv[1]) as archive:
    assert archive.testzip() is None
    archive.extractall(sys.argv[2])
""",
    "fsspec": """
import sys, zipfile, fsspec
with fsspec.open(sys.argv[1], block_size=1 << 16).open() as file, zipfile.ZipFile(file) as archive:
    archive.extractall(sys.argv[2])
""",
}


@pytest.mark.once
@pytest.mark.parametrize("package", PROGRAMS)
def test_remote_archives_are_asked_for_as_often_as_by_zipfile(
    server: tuple[str, list[str]], tmp_path: Path, package: str
) -> None:
    pytest.importorskip(package, reason="the test is about it")
    url, requests = server
    counts = []
    for way in [], ["-m", "parazip", "run", "-c"]:
        command = [sys.executable, *(way or ["-c"]), PROGRAMS[package], url]
        requests.clear()
        done = subprocess.run(
            [*command, str(tmp_path / str(len(way)))],
            capture_output=True,
            text=True,
            check=False,
            timeout=HUNG,
        )
        assert (done.returncode, done.stderr) == (0, "")
        counts.append(list(requests))
    assert len(counts[0]) > 5
    assert counts[0] == counts[1]
