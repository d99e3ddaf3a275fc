"""The model held against what is: a real archive, sent by real workers to an S3 on loopback."""

from __future__ import annotations

import multiprocessing
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import parazip
from benchmarks.scale.costs import Assumed, Measured
from benchmarks.scale.members import Input
from benchmarks.scale.simulation import Outcome, simulate
from parazip.model import Member

_SERVER = """
import sys
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

asked = {"PUT": 0, "POST": 0, "GET": 0, "bytes": 0}
app = DomainDispatcherApplication(create_backend_app)

class Handler(WSGIRequestHandler):
    def send_response(self, code, message=None):
        self.send_response_only(code, message)
    def log(self, *args):
        pass

def answer(environ, start_response):
    if environ["PATH_INFO"] == "/asked":
        start_response("200 OK", [])
        return [" ".join(map(str, asked.values())).encode()]
    method = environ["REQUEST_METHOD"]
    asked[method] = asked.get(method, 0) + 1
    asked["bytes"] += int(environ.get("CONTENT_LENGTH") or 0)
    return app(environ, start_response)

server = make_server("127.0.0.1", 0, answer, threaded=True, request_handler=Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


class Compared(NamedTuple):
    """A real archive, and what was foretold.

    Attributes:
        workers: how many processes sent parts.
        seconds: how long it took.
        coordinator: CPU seconds of the process that asked for it.
        cores: CPU seconds of the workers, without what it takes to start them.
        requests: that came to the store.
        size: bytes of the archive.
        foretold: the same, by the model.
    """

    workers: int
    seconds: float
    coordinator: float
    cores: float
    requests: int
    size: int
    foretold: Outcome


def compare(workers: int, level: int, measured: Measured) -> Compared:
    """Makes a real archive of some 500 MB with so many worker processes, and foretells it."""
    with tempfile.TemporaryDirectory() as folder, _serving() as port:
        members = _make_files(folder)
        os.environ |= {
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{port}",
        }
        import fsspec

        system = fsspec.filesystem("s3", skip_instance_cache=True)
        system.mkdir("bucket")
        before, idle = _ask(port), _count_idle(workers)
        children = _count_children()
        with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
            _warm_up(pool, workers)
            began, cpu = time.perf_counter(), time.process_time()
            parazip.write(
                "s3://bucket/made.zip", members, parazip.Settings(level=level), executor=pool
            )
            seconds, spent = time.perf_counter() - began, time.process_time() - cpu
        cores = _count_children() - children - idle
        after = _ask(port)
        size = system.size("bucket/made.zip")
        send = _measure_sending(system)
    contents = sum([member.size for member in members])
    given = Input("real", len(members), contents, size / contents, _same_sizes(members))
    assumed = Assumed(read=2e9, open=0, send=send, request=0.01)
    foretold = simulate(given, workers, measured, assumed, level=level)
    requests = sum([now - then for now, then in zip(after[:3], before[:3], strict=True)])
    return Compared(workers, seconds, spent, cores, requests, size, foretold)


def _make_files(folder: str) -> list[Member]:
    """20,000 small files, 200 of 1 MB, and one of 150 MB, of words."""
    drawn = random.Random(5)
    words = [drawn.randbytes(3).hex().encode() for _ in range(5000)]
    text = b" ".join(drawn.choices(words, k=3_000_000))
    sizes = [*[drawn.randrange(200, 12_000) for _ in range(20_000)], *[10**6] * 200, 15 * 10**7]
    members = []
    for number, size in enumerate(sizes):
        begin = drawn.randrange(len(text) // 2)
        path = Path(folder, f"{number:05}.txt")
        path.write_bytes(text[begin : begin + size] if size <= 10**6 else (text * 8)[:size])
        members.append(parazip.make_member(f"folder/{path.name}", path))
    return members


def _same_sizes(members: list[Member]) -> Any:
    sizes = [(member.size, 1) for member in members]
    return lambda given: iter(sizes)


def _warm_up(pool: ProcessPoolExecutor, workers: int) -> None:
    """Lets all workers have imported what they need."""
    list(pool.map(_import_all, range(4 * workers)))


def _count_idle(workers: int) -> float:
    """CPU seconds of so many workers that have nothing to do."""
    before = _count_children()
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        _warm_up(pool, workers)
    return _count_children() - before


def _count_children() -> float:
    """CPU seconds of all processes that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _import_all(number: int) -> None:
    import s3fs

    assert s3fs
    assert parazip.engine if number < 0 else True
    time.sleep(0.3)


def _measure_sending(system: Any) -> float:
    """Bytes a second that this S3 takes from one who sends."""
    data = os.urandom(1 << 20) * 24
    system.pipe("bucket/warm", data)
    began = time.perf_counter()
    system.pipe("bucket/sent", data)
    return len(data) / (time.perf_counter() - began)


def _ask(port: int) -> list[int]:
    from urllib.request import urlopen

    with urlopen(f"http://127.0.0.1:{port}/asked") as answer:
        return [int(number) for number in answer.read().split()]


@contextmanager
def _serving() -> Iterator[int]:
    """An S3 in a process of its own; gives its port."""
    process = subprocess.Popen([sys.executable, "-c", _SERVER], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
