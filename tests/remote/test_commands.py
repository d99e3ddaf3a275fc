"""The commands, given URLs; and what they say where packages are missing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import parazip
from parazip.cli.merge import _read_source
from parazip.errors import OutputError, SourceError
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


def test_what_is_streamed_comes_from_urls(site: Site) -> None:
    urls = [site.put("/one.txt", b"1" * 50), site.put("/two.bin", bytes(9 << 20))]
    archive = b"".join(parazip.stream(urls))
    assert read_contents(archive) == {"one.txt": b"1" * 50, "two.bin": bytes(9 << 20)}
