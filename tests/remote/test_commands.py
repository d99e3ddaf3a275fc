"""The commands, given URLs; and what they say where packages are missing."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

import parazip
from parazip.cli.merge import _read_source
from parazip.errors import OutputError, SourceError, hide_secrets, note_member
from parazip.sources import files
from support.command import assert_fails, run_create, run_parazip
from support.remote_archives import choose_ten, make_large_archive, read_contents
from support.web_server import Site

LARGE = make_large_archive(60)
CONTENTS = read_contents(LARGE)
TEN = choose_ten([*CONTENTS])


def test_list_shows_an_archive_at_a_url(site: Site, tmp_path: Path) -> None:
    url = site.put("/large.zip", LARGE)
    done = run_parazip("list", url, cwd=tmp_path)
    assert (done.code, done.out.decode().split(), done.err) == (0, [*CONTENTS], "")
    document = json.loads(run_parazip("list", "--json", url, cwd=tmp_path).out)
    assert document["archive"] == url


def test_extract_takes_an_archive_at_a_url(site: Site, tmp_path: Path) -> None:
    url = site.put("/large.zip", LARGE) + "?key=a/b"
    done = run_parazip("extract", "-q", "--subfolder", url, *TEN, cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert (tmp_path / "large" / TEN[3]).read_bytes() == CONTENTS[TEN[3]]
    assert len(site.requests) <= 13
    done = run_parazip("extract", "-p", url, TEN[0], cwd=tmp_path)
    assert (done.code, done.out) == (0, CONTENTS[TEN[0]])


def test_verify_reads_an_archive_at_a_url(site: Site, tmp_path: Path) -> None:
    url = site.put("/large.zip", LARGE)
    assert run_parazip("verify", url, cwd=tmp_path).code == 0
    damaged = bytearray(LARGE)
    damaged[len(LARGE) // 2] ^= 1
    done = run_parazip("verify", site.put("/damaged.zip", bytes(damaged)), cwd=tmp_path)
    assert done.code == 1


def test_merge_takes_archives_at_urls(site: Site, tmp_path: Path) -> None:
    url = site.put("/large.zip", LARGE)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/a").write_bytes(b"a")
    done = run_parazip("merge", "-q", "made.zip", f"lib/={url}", "folder", url, cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    contents = read_contents((tmp_path / "made.zip").read_bytes())
    assert contents == CONTENTS | {"a": b"a"} | {f"lib/{name}": CONTENTS[name] for name in CONTENTS}


def test_create_takes_files_at_urls(site: Site, tmp_path: Path) -> None:
    one, two = site.put("/one.txt", b"1" * 50), site.put("/b/two%20x.txt", b"2" * 50)
    (tmp_path / "list").write_text(f"{two}\n")
    done = run_create("-q", "--verify", "made.zip", one, "--files-from", "list", cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert read_contents((tmp_path / "made.zip").read_bytes()) == {
        "one.txt": b"1" * 50,
        "two x.txt": b"2" * 50,
    }
    done = run_create("-C", "list", "-n", "other.zip", one, cwd=tmp_path)
    assert done.code == 0
    assert "one.txt" in done.out.decode()


def test_what_is_at_a_url_is_not_kept_in_the_cache(site: Site, tmp_path: Path) -> None:
    url = site.put("/one.txt", b"first", "")
    for data in (b"first", b"other"):
        site.put("/one.txt", data, "")
        assert run_create("-q", "--cache", "made.zip", url, cwd=tmp_path).code == 0
        assert read_contents((tmp_path / "made.zip").read_bytes()) == {"one.txt": data}


@pytest.mark.parametrize("command", ["list", "verify", "extract"])
def test_errors_name_the_url(site: Site, tmp_path: Path, command: str) -> None:
    url = f"{site.url}/missing.zip"
    done = run_parazip(command, url, cwd=tmp_path)
    assert_fails(done, 1, f"cannot read {url}: the server answers 404")


def test_a_url_is_a_source_whatever_it_holds() -> None:
    url = "https://host/a.zip?key=c3/=="
    assert _read_source(url, "") == url
    assert _read_source(f"lib/={url}", "") == ("lib", url)


@pytest.mark.parametrize(
    ("path", "is_url"),
    [
        ("https://host/a", True),
        ("s3://bucket", True),
        ("simplecache::https://host/a", True),
        ("C:/a", False),
        ("c://a", False),
        ("./s3://bucket", False),
        ("a b://c", False),
        ("/a://b", False),
        ("", False),
    ],
)
def test_urls_are_known_by_their_scheme(path: str, is_url: bool) -> None:
    assert files.is_url(path) == is_url


@pytest.mark.parametrize(
    ("url", "step"),
    [
        ("https://host/a/b.txt?key=1#there", "b.txt"),
        ("https://host/a/b/", "b"),
        ("https://host", ""),
        ("s3://bucket/a?b", "a?b"),
        ("s3://bucket/", "bucket"),
        ("memory://a%20b", "a%20b"),
    ],
)
def test_the_last_step_of_a_url_is_the_name(url: str, step: str) -> None:
    assert files.find_last_step(url) == step


def test_a_url_without_a_path_has_no_name(site: Site, tmp_path: Path) -> None:
    site.put("/", b"a page")
    with pytest.raises(parazip.MemberNameError, match="its name is empty"):
        parazip.create(tmp_path / "made.zip", [f"{site.url}/"])


def test_a_missing_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for room in ("parazip.sources.remote", "parazip.sources.stores", "parazip.output.objects"):
        monkeypatch.delitem(sys.modules, room, raising=False)
        monkeypatch.delattr(room, raising=False)
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(SourceError, match=r'fsspec is missing.*pip install "parazip\[remote\]"'):
        parazip.list_members("https://host/a.zip")
    with pytest.raises(OutputError, match=r'fsspec is missing.*pip install "parazip\[remote\]"'):
        parazip.create("s3://bucket/made.zip", ["a"])


@pytest.mark.parametrize("missing", ["aiohttp", "s3fs"])
def test_a_missing_backend_is_told(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    scheme = {"aiohttp": "https", "s3fs": "s3"}[missing]
    code = (
        f"import sys; sys.modules['{missing}'] = None; import parazip\n"
        f"try: parazip.list_members('{scheme}://host/a.zip')\n"
        "except parazip.SourceError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"cannot read {scheme}://host/a.zip: ")
    assert "install" in done.stdout
    assert done.stderr == ""


def test_without_urls_nothing_is_imported(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    code = (
        "import sys, parazip\n"
        "parazip.create('made.zip', ['a'])\n"
        "parazip.merge('merged.zip', ['made.zip'])\n"
        "parazip.extract('merged.zip', 'out')\n"
        "print([name for name in ('fsspec', 'aiohttp', 'asyncio', 'parazip.sources.remote') "
        "if name in sys.modules])"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_nothing_is_extracted_to_a_url(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    assert run_create("-q", "made.zip", "a", cwd=tmp_path).code == 0
    done = run_parazip("extract", "made.zip", "-d", "s3://bucket/out", cwd=tmp_path)
    assert_fails(done, 2, "cannot extract to s3://bucket/out: it is a URL; name a folder")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "made.zip"]


def test_a_proxy_is_asked_where_there_is_one(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "http://elsewhere.invalid/a.zip"
    site.put(url, LARGE)
    monkeypatch.setenv("http_proxy", site.url)
    done = run_parazip("list", url, cwd=tmp_path)
    assert (done.code, done.out.decode().split()) == (0, [*CONTENTS])
    monkeypatch.setenv("no_proxy", "elsewhere.invalid")
    monkeypatch.setattr("parazip.sources.web.TRIES", 1)
    with pytest.raises(SourceError, match="Cannot connect to host elsewhere"):
        parazip.list_members(url)


@pytest.mark.parametrize(("status", "requests"), [(403, 1), (503, 5)])
def test_a_proxy_that_refuses_is_told(
    site: Site, monkeypatch: pytest.MonkeyPatch, status: int, requests: int
) -> None:
    asked: list[str] = []

    def refuse(handler: Any) -> None:
        asked.append(handler.path)
        handler.send_error(status)

    monkeypatch.setattr("support.web_server._Handler.do_CONNECT", refuse, raising=False)
    monkeypatch.setenv("https_proxy", site.url)
    with pytest.raises(SourceError, match=rf"/a\.zip: the proxy answers {status} "):
        parazip.list_members("https://elsewhere.invalid/a.zip")
    assert asked == ["elsewhere.invalid:443"] * requests


def test_memory_that_runs_out_is_told_without_secrets() -> None:
    error = MemoryError()
    note_member(error, "https://me:pw@host/a?sig=SECRET")
    assert error.__notes__ == ["at https://me:***@host/a?***"]


def test_what_is_streamed_comes_from_urls(site: Site) -> None:
    urls = [site.put("/one.txt", b"1" * 50), site.put("/two.bin", bytes(9 << 20))]
    archive = b"".join(parazip.stream(urls))
    assert read_contents(archive) == {"one.txt": b"1" * 50, "two.bin": bytes(9 << 20)}


QUERY = "sig=SECRET&x=/y/z,a:b;c"


@pytest.mark.parametrize("command", ["create", "merge", "list", "extract", "verify"])
@pytest.mark.parametrize("status", [0, 403, pytest.param(503, marks=pytest.mark.slow)])
def test_no_command_shows_secrets(
    site: Site, tmp_path: Path, command: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signed URL is a key. Logs of CI are read by many."""
    site.put("/a.zip", make_large_archive(3), "")
    site.fail = lambda number, request: status
    url = f"{site.url}/a.zip?{QUERY}".replace("://", "://user:hunter2@")
    words = ["made.zip", url] if command in ("create", "merge") else [url]
    monkeypatch.setenv("PYTHONPATH", "")
    done = run_parazip(command, *words, *(["--json"] if status else []), cwd=tmp_path)
    assert done.code == (1 if status else 0)
    for secret in "hunter2", "SECRET", "x=/y":
        assert secret not in done.err
        assert secret not in done.out.decode()
        for path in tmp_path.rglob("*"):
            assert path.is_dir() or secret.encode() not in path.read_bytes()
    if status:
        assert "/a.zip?***" in done.err + done.out.decode()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cannot read https://h/a?k=1: no", "cannot read https://h/a?***: no"),
        ("'https://h/a?k=1', and 'http://h/b?k'", "'https://h/a?***', and 'http://h/b?***'"),
        ("https://h/a?k=1; is it?", "https://h/a?***; is it?"),
        ("read HTTPS://h/a?k='1'&sig=S: no", "read HTTPS://h/a?***: no"),
        ("['https://h/a?k=1', 2]", "['https://h/a?***', 2]"),
        ("ftp://me:pw@h/a?b", "ftp://me:***@h/a?b"),
        ("what is a?b: c@d", "what is a?b: c@d"),
    ],
)
def test_texts_for_people_have_no_secrets(text: str, shown: str) -> None:
    assert hide_secrets(text) == shown


def test_a_date_that_is_not_told_is_no_reason_for_a_note(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("support.web_server.LAST_MODIFIED", "")
    report = parazip.create(tmp_path / "made.zip", [site.put("/a", b"a")])
    assert report.notes == ()
    assert parazip.list_members(tmp_path / "made.zip")[0].date == datetime(1980, 1, 1)


@pytest.mark.parametrize("made", ["file", "path"])
@pytest.mark.parametrize("source", ["file", "path"])
def test_an_archive_is_not_put_into_itself_by_another_name(
    tmp_path: Path, made: str, source: str
) -> None:
    top = tmp_path / "top"
    top.mkdir()
    (top / "a").write_bytes(b"a")
    names = {"path": str(top), "file": f"file://{top}"}
    for _ in range(2):
        with pytest.raises(SourceError, match=r"lies inside .*--exclude .*top/made\.zip$"):
            parazip.create(f"{names[made]}/made.zip", [names[source]])
        with pytest.raises(SourceError, match="lies inside"):
            parazip.merge(f"{names[made]}/made.zip", [names[source]])
        (top / "made.zip").write_bytes(b"old")
    with pytest.raises(SourceError, match="is to be put into itself"):
        parazip.create(f"{names[made]}/made.zip", [f"{names[source]}/made.zip"])
    (tmp_path / "link").symlink_to(top)
    with pytest.raises(SourceError, match="lies inside"):
        parazip.create(f"{names[made]}/made.zip", [f"file://{tmp_path}/link"])
