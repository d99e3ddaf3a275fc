"""An S3 on loopback, by moto."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest


@contextmanager
def serving_s3() -> Iterator[Any]:
    """fsspec's file system of such an S3, which is what `s3://` means as long as the block lasts.

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

    app = moto.DomainDispatcherApplication(moto.create_backend_app)
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
        system = fsspec.filesystem("s3", skip_instance_cache=True)
        type(system).clear_instance_cache()
        try:
            yield system
        finally:
            type(system).clear_instance_cache()
            server.shutdown()
            thread.join()
            server.server_close()
