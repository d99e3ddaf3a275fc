"""The recipes of docs/streaming.md, as they stand there, under real servers on the loopback."""

from __future__ import annotations

import http.client
import io
import shlex
import sys
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest

from support.servers import EXPECTED, Server, commands_of, prepare_folder, read_members, serve

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(sys.platform == "win32", reason="gunicorn needs POSIX"),
]

FILES = {
    # One that has used its workers before it forks.
    "preloaded.py": """
from parazip import stream

sum(map(len, stream(["photos"])))

from app import app
""",
    "serve.py": """
import sys
from wsgiref.simple_server import make_server

from app import app

with make_server("127.0.0.1", int(sys.argv[1]), app) as server:
    server.serve_forever()
""",
    "project.py": """
from django.conf import settings

settings.configure(ROOT_URLCONF="urls", SECRET_KEY="none", ALLOWED_HOSTS=["*"])

from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application

wsgi = get_wsgi_application()
asgi = get_asgi_application()
""",
    "urls.py": """
import sys
from django.urls import path
import views

is_async = sys.modules.get("uvicorn") is not None
urlpatterns = [path("reports.zip", views.asend_reports if is_async else views.send_reports)]
""",
}


class Case(NamedTuple):
    """How a recipe is served.

    Attributes:
        title: its heading on the page.
        command: what starts the server.
        needs: the packages.
        is_async: whether async iterables can be sent.
        most: how many clients it serves at once.
    """

    title: str
    command: str
    needs: tuple[str, ...]
    is_async: bool = False
    most: int = 20


WAITRESS, GUNICORN = commands_of("Flask")
DJANGO_WSGI, DJANGO_ASGI = commands_of("Django")
(STARLETTE,), (FASTAPI,) = commands_of("Starlette"), commands_of("FastAPI")

CASES = {
    "Flask, waitress": Case("Flask", WAITRESS, ("flask", "waitress")),
    "Flask, gunicorn": Case("Flask", GUNICORN, ("flask", "gunicorn")),
    "Flask, gunicorn, forked": Case(
        "Flask", "gunicorn --preload preloaded:app", ("flask", "gunicorn"), most=1
    ),
    "Starlette": Case("Starlette", STARLETTE, ("starlette", "uvicorn"), True),
    "FastAPI": Case("FastAPI", FASTAPI, ("fastapi", "uvicorn"), True),
    "Django, WSGI": Case("Django", DJANGO_WSGI, ("django", "gunicorn")),
    "Django, ASGI": Case("Django", DJANGO_ASGI, ("django", "uvicorn"), True),
    "WSGI, gunicorn": Case("Any WSGI server", GUNICORN, ("gunicorn",)),
    "WSGI, wsgiref": Case("Any WSGI server", "serve.py", (), most=1),
}


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    case = CASES[request.param]
    for package in case.needs:
        pytest.importorskip(package, reason="the test is about it")
    return case


@pytest.fixture(scope="module")
def server(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    prepare_folder(folder, case.title, "views.py" if case.title == "Django" else "app.py")
    for name, text in FILES.items():
        (folder / name).write_text(text)
    with serve(case.command, folder) as server:
        yield server


def kinds(case: Case, kind: str) -> list[str]:
    return [kind, f"async {kind}"] if case.is_async else [kind]


def test_a_download_is_complete(server: Server) -> None:
    with server.ask("page") as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "application/zip"
        told = response.headers["Content-Disposition"]
        assert told == "attachment; filename*=UTF-8''reports.zip"
        assert response.headers["Content-Length"] is None
        assert read_members(response.read()) == EXPECTED


def test_the_length_is_told_where_it_is_known(server: Server) -> None:
    with server.ask("stored") as response:
        data = response.read()
        assert response.headers["Content-Length"] == str(len(data))
        assert [len(contents) for contents in read_members(data).values()] == [65_536, 131_072]


def test_nothing_is_read_for_a_client_that_asks_for_the_head(case: Case, server: Server) -> None:
    status = {"Flask": 200, "FastAPI": 405, "Django": 405}
    if case.title not in status:
        pytest.skip("it makes the archive, and does not send it")
    begun = server.state().get("begun")
    with server.ask("noise", "HEAD") as response:
        assert response.status == status[case.title]
        assert response.read() == b""
    assert server.state().get("begun") == begun


def test_iterables_see_the_context_of_the_request(server: Server) -> None:
    assert server.download("user") == {"user": b"Ada"}


def test_iterables_are_read_on_the_thread_of_the_request(case: Case, server: Server) -> None:
    if case.is_async:
        pytest.skip("astream reads them on a thread of its own, as the page says")
    assert server.download("database") == {"rows": b"1\n2\n3\n"}


def test_async_iterables_are_sent(case: Case, server: Server) -> None:
    if not case.is_async:
        pytest.skip("WSGI knows none")
    assert len(server.download("async noise")["noise"]) == 128 << 16


def test_an_error_in_the_middle_cuts_the_connection(case: Case, server: Server) -> None:
    if case.command == "serve.py":
        pytest.skip("it speaks HTTP/1.0; see the test of that")
    for kind in [*kinds(case, "fails"), "fails by system"]:
        with server.ask(kind) as response:
            assert response.status == 200
            with pytest.raises((http.client.HTTPException, ConnectionError)):
                server.fail(response)
        server.wait_for_rest()
    assert "no more rows" in server.log()


def test_an_error_looks_like_the_end_in_http_1_0_but_what_came_is_no_archive(
    case: Case, server: Server
) -> None:
    if case.command != "serve.py":
        pytest.skip("it speaks HTTP/1.1")
    with server.ask("fails") as response:
        assert not zipfile.is_zipfile(io.BytesIO(server.fail(response)))
    server.wait_for_rest()


def test_a_client_that_goes_away_ends_the_work(case: Case, server: Server) -> None:
    more = ["async waits", "async given"] if case.is_async else []
    for kind in [*kinds(case, "endless"), *more]:
        with server.ask(kind) as response:
            assert len(response.read(1 << 20)) == 1 << 20
        server.wait_for_rest()
    assert server.download("page") == EXPECTED


def test_twenty_clients_are_served_at_once_while_some_are_slow(case: Case, server: Server) -> None:
    if case.most < 20:
        pytest.skip("it serves one after the other")
    server.send("noise")
    are_others_done = threading.Event()

    def download(is_slow: bool) -> int:
        with server.ask() as response:
            begin = response.read(1)
            if is_slow:
                are_others_done.wait()
            return len(read_members(begin + response.read())["noise"])

    with ThreadPoolExecutor(20) as clients:
        try:
            slow = [clients.submit(download, True) for _ in range(4)]
            fast = [clients.submit(download, False) for _ in range(16)]
            assert [one.result() for one in fast] == [128 << 16] * 16
        finally:
            are_others_done.set()
        assert [one.result() for one in slow] == [128 << 16] * 4
    server.wait_for_rest()


def test_the_page_has_no_command_that_is_not_run() -> None:
    pages = ["Flask", "Starlette", "FastAPI", "Django"]
    told = [shlex.split(command) for title in pages for command in commands_of(title)]
    run = [shlex.split(case.command) for case in CASES.values()]
    assert [command for command in told if command not in run] == []
