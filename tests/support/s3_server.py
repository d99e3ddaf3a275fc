"""An S3 on loopback, by moto; it answers what a test wants, and tells what it was asked."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import parse_qs

import pytest

CUT = -1
"""Instead of a status: the connection breaks before all of the request has come."""


class Request(NamedTuple):
    """What the server was asked.

    Attributes:
        what: the method, and the names that its query has: "PUT partNumber uploadId".
        part: the number of the part, or 0.
        size: bytes that came with it.
    """

    what: str
    part: int
    size: int


class S3:
    """The server.

    Attributes:
        system: fsspec's file system of it.
        requests: what it was asked.
        fail: gives the status to answer with, `CUT`, or 0 for what moto answers; is called with
            each request.
    """

    def __init__(self) -> None:
        self.system: Any = None
        self.forget()

    def forget(self) -> None:
        """Lets all be as at first, but for what is stored."""
        self.requests: list[Request] = []
        self.fail: Callable[[Request], int] = lambda request: 0

    def reset(self) -> None:
        """Leaves one empty bucket, and no more."""
        from moto.s3.models import s3_backends

        s3_backends.reset()
        self.system.invalidate_cache()
        self.forget()
        self.system.mkdir("bucket")
        self.forget()

    def count(self, what: str) -> int:
        return sum(request.what == what for request in self.requests)

    def list_unfinished(self, bucket: str = "bucket") -> list[str]:
        """The keys of uploads that are neither complete nor aborted."""
        answer = self.system.call_s3("list_multipart_uploads", Bucket=bucket)
        return [upload["Key"] for upload in answer.get("Uploads", ())]

    def describe(self, key: str, bucket: str = "bucket") -> dict[str, Any]:
        """What S3 says of an object."""
        described: dict[str, Any] = self.system.call_s3(
            "head_object", Bucket=bucket, Key=key, ChecksumMode="ENABLED"
        )
        return described

    def put_without_crc(self, url: str, data: bytes) -> None:
        """Makes an object of which nobody tells the CRC-32."""
        self.system.pipe(url, data)
        bucket, key, _ = self.system.split_path(url)
        found = _find_object(bucket, key)
        found.checksum_value = found.checksum_algorithm = None

    def guard(self, app: Any) -> Any:
        """The WSGI application, behind `fail`."""

        def answer(environ: dict[str, Any], start_response: Any) -> Any:
            query = parse_qs(environ["QUERY_STRING"], keep_blank_values=True)
            what = " ".join([environ["REQUEST_METHOD"], *sorted(query.keys() - {"x-id"})])
            size = int(environ.get("CONTENT_LENGTH") or 0)
            request = Request(what, int(query.get("partNumber", ["0"])[0]), size)
            self.requests.append(request)
            status = self.fail(request) or _find_conflict(environ)
            if not status:
                return app(environ, start_response)
            if status == CUT:
                environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            else:
                environ["wsgi.input"].read(size)
            start_response(f"{abs(status)} on purpose", [("Content-Length", "0")])
            return [b""]

        return answer


def fail_at(what: str, status: int, times: int = 1000, part: int = 0) -> Callable[[Request], int]:
    """Answers a kind of request with a status, so often; if a part is given, only for that."""
    left = [None] * times

    def fail(request: Request) -> int:
        if request.what == what and part in (0, request.part) and left:
            left.pop()
            return status
        return 0

    return fail


def _find_object(bucket: str, key: str) -> Any:
    """An object as moto has it; None if it is not there."""
    from moto.core.models import DEFAULT_ACCOUNT_ID
    from moto.s3.models import s3_backends

    return s3_backends[DEFAULT_ACCOUNT_ID]["aws"].get_object(bucket, key)


def _find_conflict(environ: dict[str, Any]) -> int:
    """The status that S3 answers with if another object stands there; moto does not look."""
    copied = "HTTP_X_AMZ_COPY_SOURCE" in environ
    expected = environ.get("HTTP_X_AMZ_COPY_SOURCE_IF_MATCH" if copied else "HTTP_IF_MATCH")
    if expected is None:
        return 0
    _, bucket, key = environ["PATH_INFO"].split("/", 2)
    found = _find_object(bucket, key)
    if found is None:
        return 404
    return 0 if found.etag == expected else 412


@contextmanager
def serving_s3() -> Iterator[S3]:
    """Such an S3, which is what `s3://` means as long as the block lasts.

    Who lacks moto or s3fs skips the test.
    """
    pytest.importorskip("s3fs", reason="s3fs is not installed")
    moto = pytest.importorskip("moto.server", reason="moto is not installed")
    import fsspec
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Handler(WSGIRequestHandler):
        def send_response(self, code: int, message: str | None = None) -> None:
            """Without a header `Server`, as moto has one, and aiohttp takes no two of them."""
            self.send_response_only(code, message)

        def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 # as it is called
            pass

    served = S3()
    app = served.guard(moto.DomainDispatcherApplication(moto.create_backend_app))
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    given = {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{server.server_port}",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in given.items():
            patch.setenv(name, value)
        thread.start()
        served.system = fsspec.filesystem("s3", skip_instance_cache=True)
        type(served.system).clear_instance_cache()
        try:
            yield served
        finally:
            type(served.system).clear_instance_cache()
            server.shutdown()
            thread.join()
            server.server_close()
