"""Web servers that fail: asked again as long as that may help, and nothing is half made."""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

import parazip
from parazip.errors import SourceChangedError, SourceError
from parazip.sources import files, remote, web
from parazip.sources.archives import read_at
from support.remote_archives import choose_ten, make_large_archive, read_contents
from support.web_server import CUT_OFF, SILENT, Request, Site

LARGE = make_large_archive(40)
CONTENTS = read_contents(LARGE)
TEN = choose_ten([*CONTENTS])


def fail_first(count: int, status: int, path: str = "/a.zip") -> Callable[[int, Request], int]:
    """Fails for the first tries of each piece of a file."""
    tried: dict[tuple[int, int], int] = {}

    def fail(number: int, request: Request) -> int:
        piece = request.begin, request.end
        tried[piece] = tried.get(piece, 0) + 1
        return status if tried[piece] <= count and request.path == path else 0

    return fail


def find_error(go: Callable[[], object], kind: type[Exception]) -> str:
    try:
        go()
    except kind as error:
        return str(error)
    return ""


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, CUT_OFF])
def test_what_passes_is_asked_for_again(site: Site, tmp_path: Path, status: int) -> None:
    url = site.put("/a.zip", LARGE)
    site.fail = fail_first(web.TRIES - 1, status)
    parazip.merge(tmp_path / "made.zip", [url])
    assert read_contents((tmp_path / "made.zip").read_bytes()) == CONTENTS
    parazip.extract(url, tmp_path / "out", parazip.Extraction(members=TEN))
    assert {name: (tmp_path / "out" / name).read_bytes() for name in TEN} == {
        name: CONTENTS[name] for name in TEN
    }


def test_a_silent_server_is_asked_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "SILENCE", 0.2)
    url = site.put("/a.zip", LARGE)
    site.fail = fail_first(1, SILENT)
    assert len(parazip.list_members(url)) == len(CONTENTS)


def test_a_server_that_stays_silent_is_an_error(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "SILENCE", 0.05)
    url = site.put("/a.zip", LARGE)
    site.fail = lambda number, request: SILENT
    with pytest.raises(SourceError, match=r"/a\.zip: the server was silent for 0\.05 s, 5 times"):
        parazip.list_members(url)
    assert len(site.requests) == web.TRIES


@pytest.mark.parametrize("status", [503, CUT_OFF])
@pytest.mark.parametrize("job", ["create", "merge", "extract"])
def test_what_does_not_pass_leaves_nothing(
    site: Site, tmp_path: Path, status: int, job: str
) -> None:
    """The server fails for good, after each number of requests."""
    url = site.put("/a.zip", LARGE)
    goes: dict[str, Callable[[], object]] = {
        "create": lambda: parazip.create(tmp_path / "made.zip", [url]),
        "merge": lambda: parazip.merge(tmp_path / "made.zip", [url]),
        "extract": lambda: parazip.extract(url, tmp_path / "out"),
    }
    for most in range(100):
        site.forget()
        site.fail = lambda number, request, most=most: status if number > most else 0  # type: ignore[misc]
        message = find_error(goes[job], SourceError)
        if not message:
            assert most > 1
            return
        assert f"cannot read {url}: " in message
        assert ("503" in message) == (status == 503)
        assert list(tmp_path.iterdir()) == []
    raise AssertionError("it never succeeds")


def test_a_file_that_is_extracted_is_whole(site: Site, tmp_path: Path) -> None:
    """In a folder that is there files appear one by one; those that are there are complete."""
    url = site.put("/a.zip", LARGE)
    out = tmp_path / "out"
    out.mkdir()
    for most in range(2, 6):
        site.forget()
        site.fail = lambda number, request, most=most: 503 if number > most else 0  # type: ignore[misc]
        extraction = parazip.Extraction(overwrite="all")
        with suppress(SourceError):
            parazip.extract(url, out, extraction, parazip.Settings(jobs=1))
        for name, data in CONTENTS.items():
            assert not (out / name).exists() or (out / name).read_bytes() == data
        assert not list(out.rglob(".parazip*"))


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_an_answer_that_stays_is_not_asked_for_again(site: Site, status: int) -> None:
    url = site.put("/a.zip", LARGE)
    site.fail = lambda number, request: status
    with pytest.raises(SourceError, match=rf"/a\.zip: the server answers {status} "):
        parazip.list_members(url)
    assert len(site.requests) == 1


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("file:///etc/passwd", "it leads to file:///etc/passwd, and only http:// and https:// are"),
        ("s3://bucket/key", "it leads to s3://bucket/key, and only http:// and https:// are"),
        ("http://[::1", "it leads to what is no URL"),
        ("/a.zip", "it leads from one URL to the next without end"),
    ],
)
def test_a_url_that_leads_nowhere_is_not_asked_for_again(
    site: Site, target: str, told: str
) -> None:
    url = site.put("/a.zip", LARGE)
    site.headers = {"Location": target}
    site.fail = lambda number, request: 302
    with pytest.raises(SourceError, match=re.escape(told)):
        parazip.list_members(url)
    assert len(site.requests) <= 11  # of the last one


@pytest.mark.parametrize("etags", [('"1"', '"2"'), ('W/"1"', 'W/"2"')], ids=["strong", "weak"])
@pytest.mark.parametrize("job", ["create", "merge", "extract", "verify", "list"])
def test_a_file_that_changes_is_an_error(
    site: Site, tmp_path: Path, job: str, etags: tuple[str, str]
) -> None:
    """It changes after each number of requests, and keeps its length."""
    first, second = etags
    url = site.put("/a.zip", LARGE, first)
    goes: dict[str, Callable[[], object]] = {
        "create": lambda: parazip.create(tmp_path / "made.zip", [url]),
        "merge": lambda: parazip.merge(tmp_path / "made.zip", [url]),
        "extract": lambda: parazip.extract(url, tmp_path / "out"),
        "verify": lambda: parazip.verify(url),
        "list": lambda: parazip.list_members(url),
    }
    for most in range(1, 100):
        site.forget()
        site.put("/a.zip", LARGE, first)

        def change(number: int, request: Request, most: int = most) -> int:
            if number > most:
                site.etags["/a.zip"] = second
            return 0

        site.fail = change
        message = find_error(goes[job], SourceChangedError)
        if not message:
            assert most > 1
            return
        assert f"{url} changed while it was read" in message
        assert list(tmp_path.iterdir()) == []
    raise AssertionError("it never succeeds")


def test_if_match_is_sent_for_strong_etags_alone(site: Site) -> None:
    for etag, sent in (('"1"', '"1"'), ('W/"1"', None), ("", None)):
        url = site.put("/a.zip", LARGE, etag)
        site.forget()
        parazip.list_members(url)
        assert {request.if_match for request in site.requests[1:]} == {sent}


def test_another_length_is_a_change(site: Site, tmp_path: Path) -> None:
    """Without an ETag and with the same date, too."""
    url = site.put("/a.zip", LARGE, "")

    def change(number: int, request: Request) -> int:
        if number > 2:
            site.put("/a.zip", LARGE + b"more", "")
        return 0

    site.fail = change
    with pytest.raises(SourceChangedError, match=f"it had {len(LARGE)} bytes and has"):
        parazip.extract(url, tmp_path / "out")


@pytest.mark.parametrize("changes", ["size", "none"])
def test_changes_that_do_not_count_pass(site: Site, tmp_path: Path, changes: str) -> None:
    """As where two servers behind one address have ETags of their own."""
    url = site.put("/a.zip", LARGE)

    def change(number: int, request: Request) -> int:
        site.etags["/a.zip"] = f'"{number}"'
        return 0

    site.fail = change
    selection = parazip.Selection(changes=changes)  # type: ignore[arg-type]
    parazip.merge(tmp_path / "made.zip", [url], selection=selection)
    assert read_contents((tmp_path / "made.zip").read_bytes()) == CONTENTS


@pytest.mark.parametrize("tells_length", [True, False])
def test_a_server_without_ranges_sends_the_file_once(
    site: Site, tmp_path: Path, tells_length: bool
) -> None:
    url = site.put("/a.zip", LARGE, f'"{tells_length}"')
    site.gives_ranges, site.tells_length = False, tells_length
    parazip.extract(url, tmp_path / "out", parazip.Extraction(members=TEN))
    assert (tmp_path / "out" / TEN[0]).read_bytes() == CONTENTS[TEN[0]]
    assert site.sent == len(LARGE)


@pytest.mark.parametrize("tells_length", [True, False])
def test_a_long_file_of_a_server_without_ranges_is_an_error(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tells_length: bool
) -> None:
    monkeypatch.setattr(web, "MOST_WHOLE", 1 << 20)
    url = site.put("/a.zip", LARGE, '"long"')
    site.gives_ranges, site.tells_length = False, tells_length
    with pytest.raises(SourceError, match="gives no ranges, only the whole file, and that is long"):
        parazip.merge(tmp_path / "made.zip", [url])
    assert list(tmp_path.iterdir()) == []


def test_whole_files_in_memory_are_bounded(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "MOST_WHOLE", 3000)
    kept = web._WholeFiles()
    for number in range(5):
        kept.keep("url", str(number), bytes(1000))
    assert [kept.find("url", str(number)) is None for number in range(5)] == [1, 1, 0, 0, 0]


def test_an_archive_that_is_damaged_is_told_so(site: Site) -> None:
    url = site.put("/a.zip", LARGE[:-30])
    with pytest.raises(parazip.BadArchiveError, match=r"/a\.zip is not a zip archive"):
        parazip.list_members(url)


def test_one_error_is_told_for_each_source(site: Site, tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        parazip.create(tmp_path / "made.zip", [f"{site.url}/one", f"{site.url}/two"])
    assert [message.count("404") for message in caught.value.messages()] == [1, 1]


def test_who_is_interrupted_does_not_wait_for_the_server(site: Site) -> None:
    """What is fetched ahead is given up, and no thread stays behind but fsspec's own."""
    url = site.put("/a.bin", bytes(20 << 20))
    file = files.find_remote(url)
    assert file is not None
    site.fail = lambda number, request: SILENT if request.begin else 0

    def read_until_interrupted() -> None:
        with files.open_unchanged(file, pieces=[(0, file.size)]) as opened:
            assert opened.read(10) == bytes(10)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read_until_interrupted()
    assert not [each for each in threading.enumerate() if each.name.startswith("parazip")]


def test_no_more_than_a_window_is_in_memory(site: Site) -> None:
    """Whatever the order is in which the pieces are read."""
    data = random.Random(1).randbytes(50 << 20)
    url = site.put("/a.bin", data)
    file = files.find_remote(url)
    assert file is not None
    view = memoryview(data)
    with files.open_unchanged(file, pieces=[(0, file.size)]) as opened:
        assert isinstance(opened, remote.RemoteFile)
        for at in (0, 30 << 20, 4 << 20, 49 << 20, 48 << 20, 1 << 20):
            opened.seek(at)
            assert opened.read(1000) == view[at : at + 1000]
            assert opened.count_held_bytes() <= remote.WINDOW


def test_what_was_not_announced_is_fetched_when_it_is_read(site: Site) -> None:
    data = random.Random(1).randbytes(1 << 20)
    url = site.put("/a.bin", data)
    file = files.find_remote(url)
    assert file is not None
    with files.open_unchanged(file, pieces=[(500_000, 600_000)]) as opened:
        for at, count in ((100, 10), (499_990, 100), (0, 5), (599_999, 50), (len(data) - 5, 50)):
            assert read_at(opened, at, count) == data[at : at + count]
        assert opened.tell() == len(data)
    assert site.sent <= 100_000 + 4 * (32 << 10)


def test_another_range_than_was_asked_for_is_an_error(site: Site) -> None:
    url = site.put("/a.zip", LARGE)
    site.shift = 1
    with pytest.raises(SourceError, match=r"/a\.zip: the server answers with other bytes than"):
        parazip.list_members(url)


@pytest.mark.parametrize(("told", "pause"), [("3", 3.0), ("600", 10.0), ("soon", 0.25)])
def test_a_server_says_how_long_it_wants_to_be_left_alone(
    site: Site, monkeypatch: pytest.MonkeyPatch, told: str, pause: float
) -> None:
    pauses: list[float] = []

    class Impatient(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            pauses.append(timeout or 0.0)
            return False

    monkeypatch.setattr(web, "FIRST_PAUSE", 0.25)
    monkeypatch.setattr(web, "LONGEST_PAUSE", 10.0)
    store = remote._open_store(site.url)
    assert isinstance(store, web.WebStore)
    monkeypatch.setattr(store, "_closed", Impatient())
    site.fail, site.headers = fail_first(1, 429), {"Retry-After": told}
    store.find(site.put("/a.zip", LARGE), "ctime")
    assert pauses == [pause]
