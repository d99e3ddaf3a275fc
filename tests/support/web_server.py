"""A web server on loopback that fails as it is told, and counts what it was asked for."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar


@dataclass
class Request:
    """What was asked for, and how many bytes of the file were sent."""

    path: str
    begin: int = 0
    end: int = sys.maxsize
    status: int = 0
    sent: int = 0
    if_match: str | None = None


@dataclass
class Site:
    """What a server has, and how it behaves.

    Attributes:
        url: where it is.
        files: by their paths.
        etags: of the files.
        gives_ranges: whether it heeds ranges.
        tells_length: whether it says how long a whole file is.
        fail: is called before each answer; gives a status to answer instead, `CUT_OFF`, `SILENT`,
            or 0.
        requests: all of them.
        released: what keeps silent goes on when this is set.
        headers: of answers that are errors.
        shift: how far from what was asked for a range begins, as it says.
    """

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    etags: dict[str, str] = field(default_factory=dict)
    gives_ranges: bool = True
    tells_length: bool = True
    fail: Callable[[int, Request], int] = lambda number, request: 0
    requests: list[Request] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    headers: dict[str, str] = field(default_factory=dict)
    shift: int = 0

    @property
    def sent(self) -> int:
        """Bytes of files that were sent."""
        return sum(request.sent for request in self.requests)

    def put(self, path: str, data: bytes, etag: str = '"1"') -> str:
        """Gives a file a new version; its URL."""
        self.files[path] = data
        self.etags[path] = etag
        return f"{self.url}{path}"

    def forget(self) -> None:
        """Counts anew."""
        self.requests.clear()


CUT_OFF, SILENT = -1, -2
"""What a server does instead of answering as it should."""

LAST_MODIFIED = "Wed, 01 Apr 2020 10:20:30 GMT"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    site: ClassVar[Site]

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # as it is called
        pass

    def do_GET(self) -> None:
        site = self.site
        path = self.path.partition("?")[0]
        given = self.headers.get("Range", "")
        request = Request(path, if_match=self.headers.get("If-Match"))
        if given and site.gives_ranges:
            first, _, last = given.removeprefix("bytes=").partition("-")
            request.begin, request.end = int(first), int(last) + 1
        site.requests.append(request)
        problem = site.fail(len(site.requests), request)
        data = site.files.get(path)
        if problem == SILENT:
            site.released.wait()
            self.close_connection = True
        elif problem > 0:
            self._answer(request, problem, {"Content-Length": "0", **site.headers})
        elif data is None:
            self._answer(request, 404, {"Content-Length": "0"})
        elif request.if_match not in (None, site.etags[path]):
            self._answer(request, 412, {"Content-Length": "0"})
        else:
            self._send_file(request, data, bool(given), is_cut=problem == CUT_OFF)

    def _send_file(self, request: Request, data: bytes, is_asked: bool, is_cut: bool) -> None:
        site = self.site
        headers = {"Last-Modified": LAST_MODIFIED}
        if etag := site.etags[request.path]:
            headers["ETag"] = etag
        if is_asked and site.gives_ranges:
            if request.begin >= len(data):
                headers |= {"Content-Range": f"bytes */{len(data)}", "Content-Length": "0"}
                self._answer(request, 416, headers)
                return
            last = min(request.end, len(data)) - 1
            first = request.begin + site.shift
            headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
        piece = data[request.begin : request.end]
        if site.tells_length:
            headers["Content-Length"] = str(len(piece))
        else:
            self.close_connection = True
        self._answer(request, 206 if "Content-Range" in headers else 200, headers)
        if is_cut:
            piece = piece[: len(piece) // 2]
            self.close_connection = True
        request.sent = len(piece)
        try:
            self.wfile.write(piece)
        except OSError:
            self.close_connection = True  # the client has hung up, as it may

    def _answer(self, request: Request, status: int, headers: dict[str, str]) -> None:
        request.status = status
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is no error."""


@contextmanager
def serving() -> Iterator[Site]:
    """A server, as long as the block lasts."""
    site = Site()
    handler = type("_SiteHandler", (_Handler,), {"site": site})
    with _Server(("127.0.0.1", 0), handler) as server:
        site.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield site
        finally:
            site.released.set()
            server.shutdown()
            thread.join()
