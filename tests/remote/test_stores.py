"""Files and folders of other stores: those in memory, those of this system by file://, and S3."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fsspec
import pytest

import parazip
from parazip.errors import SourceChangedError, SourceError
from parazip.sources import remote
from support.remote_archives import choose_ten, make_large_archive, read_contents
from support.s3_server import S3

LARGE = make_large_archive(60)
CONTENTS = read_contents(LARGE)
TEN = choose_ten([*CONTENTS])

TREE = {
    "a b.txt": b"a blank\n" * 10,
    "b/c.txt": b"c" * 100,
    "b/d/e.py": b"print()\n",
    "b.txt": b"after b/\n",
    "empty": b"",
    "mimetype": b"text/plain",
}
SORTED = ["a b.txt", "b.txt", "b/c.txt", "b/d/e.py", "empty", "mimetype"]


class Calls:
    """What a store is asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fetched: list[int] = []
        self.looks = 0
        fetch, look = remote._AnyStore.fetch, remote._AnyStore._look_at

        def count_fetch(store: Any, file: parazip.File, begin: int, end: int) -> bytes:
            self.fetched.append(end - begin)
            return fetch(store, file, begin, end)

        def count_look(store: Any, url: str) -> dict[str, Any]:
            self.looks += 1
            return look(store, url)

        monkeypatch.setattr(remote._AnyStore, "fetch", count_fetch)
        monkeypatch.setattr(remote._AnyStore, "_look_at", count_look)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    return Calls(monkeypatch)


def make_memory() -> Any:
    system = fsspec.filesystem("memory")
    system.store.clear()
    system.pseudo_dirs[:] = [""]
    return system


@pytest.fixture(params=["memory", "file"])
def top(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a folder that has a tree and an archive."""
    if request.param == "memory":
        system = make_memory()
        for name, data in TREE.items():
            system.pipe(f"/top/tree/{name}", data)
        system.pipe("/top/large.zip", LARGE)
        yield "memory://top"
        system.store.clear()
        return
    for name, data in TREE.items():
        path = tmp_path / "top/tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (tmp_path / "top/large.zip").write_bytes(LARGE)
    yield f"file://{tmp_path / 'top'}"


def test_a_folder_is_put_in_with_all_below_it(top: str, tmp_path: Path) -> None:
    made = tmp_path / "made.zip"
    assert parazip.create(made, [f"{top}/tree", f"{top}/tree/empty"]).members == 7
    contents = read_contents(made.read_bytes())
    assert contents == {"empty": b""} | {f"tree/{name}": data for name, data in TREE.items()}
    assert [*contents] == [*(f"tree/{name}" for name in SORTED), "empty"]


def test_names_are_left_out_and_moved_as_usual(top: str, tmp_path: Path) -> None:
    made = tmp_path / "made.zip"
    selection = parazip.Selection(exclude=("d", "*.txt"), prefix="new")
    parazip.create(made, [f"{top}/tree"], selection=selection)
    assert [*read_contents(made.read_bytes())] == ["new/tree/empty", "new/tree/mimetype"]
    left_out = parazip.preview([f"{top}/tree"], selection).left_out
    assert [(each.name, each.why) for each in left_out][:2] == [
        ("new/tree/a b.txt", "--exclude *.txt"),
        ("new/tree/b.txt", "--exclude *.txt"),
    ]


def test_folders_and_archives_are_merged(top: str, tmp_path: Path) -> None:
    made = tmp_path / "made.zip"
    parazip.merge(made, [f"{top}/tree", ("more", f"{top}/large.zip")])
    contents = read_contents(made.read_bytes())
    assert contents == TREE | {f"more/{name}": data for name, data in CONTENTS.items()}
    assert next(iter(contents)) == "mimetype"


def test_ten_members_are_extracted_alone(top: str, tmp_path: Path, calls: Calls) -> None:
    url = f"{top}/large.zip"
    extraction = parazip.Extraction(members=TEN)
    parazip.extract(url, tmp_path / "out", extraction)
    assert {name: (tmp_path / "out" / name).read_bytes() for name in TEN} == {
        name: CONTENTS[name] for name in TEN
    }
    assert len(calls.fetched) <= 12
    assert sum(calls.fetched) <= (300 << 10) + 10 * 41_000


def test_what_the_commands_read_is_sound(top: str) -> None:
    url = f"{top}/large.zip"
    assert [member.name for member in parazip.list_members(url)] == [*CONTENTS]
    assert parazip.verify(url).is_sound


def test_an_archive_is_updated_by_files_at_urls(top: str, tmp_path: Path) -> None:
    made = tmp_path / "made.zip"
    parazip.create(made, [f"{top}/tree"])
    report = parazip.update(made, [f"{top}/tree", f"{top}/large.zip"])
    assert report.members == 7
    assert read_contents(made.read_bytes())["large.zip"] == LARGE


def test_what_is_missing_is_told(top: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"/no: [Nn]o such file or "):
        parazip.create(tmp_path / "made.zip", [f"{top}/no", f"{top}/tree"])
    with pytest.raises(SourceError, match="tree: it is a folder, not a file; name an archive"):
        parazip.list_members(f"{top}/tree")
    assert not (tmp_path / "made.zip").exists()


@pytest.mark.parametrize("size", [len(LARGE), 1000])
def test_an_archive_that_changes_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """It is another one of the same or another length from the second range on."""
    system = make_memory()
    system.pipe("/a.zip", LARGE)
    fetch = remote._AnyStore.fetch
    count = 0

    def change(store: Any, file: parazip.File, begin: int, end: int) -> bytes:
        nonlocal count
        count += 1
        if count == 2:
            system.pipe("/a.zip", LARGE[:size])
        return fetch(store, file, begin, end)

    monkeypatch.setattr(remote._AnyStore, "fetch", change)
    with pytest.raises(SourceChangedError, match=r"a\.zip changed while it was read: it"):
        parazip.extract("memory://a.zip", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_small_files_that_change_are_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = make_memory()
    system.pipe("/tree/a", b"old")

    def list_and_change(url: str, changes: Any) -> list[tuple[str, parazip.File]]:
        found = listed(url, changes)
        system.pipe("/tree/a", b"new")
        return found

    listed = remote.list_folder
    monkeypatch.setattr(remote, "list_folder", list_and_change)
    with pytest.raises(SourceChangedError, match="memory://tree/a changed while it was read"):
        parazip.create(tmp_path / "made.zip", ["memory://tree"])
    assert list(tmp_path.iterdir()) == []


def test_errors_of_a_store_are_told_with_the_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = make_memory()
    system.pipe("/a.zip", LARGE)

    def fail(*args: object, **more: object) -> bytes:
        raise RuntimeError("token\nexpired")

    monkeypatch.setattr(type(system), "cat_file", fail)
    with pytest.raises(SourceError, match=r"cannot read memory://a\.zip: token expired"):
        parazip.merge(tmp_path / "made.zip", ["memory://a.zip"])


@pytest.mark.parametrize("url", ["unknown://a/b", "https://[/a", "s3x:///a"])
def test_a_url_that_leads_nowhere_is_told(url: str) -> None:
    with pytest.raises(SourceError, match="cannot read "):
        parazip.list_members(url)


@pytest.mark.parametrize(
    ("facts", "mtime_ns", "version"),
    [
        ({"ETag": '"1"', "mtime": 5.0}, 5 * 10**9, '"1"'),
        ({"updated": "1970-01-01T00:00:07Z", "generation": 3}, 7 * 10**9, "3"),
        ({"last_modified": datetime(1970, 1, 1, 0, 0, 9, tzinfo=UTC)}, 9 * 10**9, str(9 * 10**9)),
        ({"updated": "yesterday"}, 0, "0"),
        ({}, 0, "0"),
    ],
)
def test_what_stores_tell_makes_a_version(
    facts: dict[str, Any], mtime_ns: int, version: str
) -> None:
    file = remote._describe("x://a", {"size": 1, **facts}, "ctime")
    assert (file.mtime_ns, file.version) == (mtime_ns, version)


def test_a_file_of_unknown_length_is_an_error() -> None:
    with pytest.raises(SourceError, match="nobody tells how long it is"):
        remote._describe("x://a", {"size": None}, "ctime")


def test_a_local_file_may_be_named_like_a_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "memory:").mkdir()
    (tmp_path / "memory:/a.txt").write_bytes(b"here")
    parazip.create("made.zip", ["./memory://a.txt"])
    assert [*read_contents((tmp_path / "made.zip").read_bytes()).values()] == [b"here"]


@pytest.fixture
def filled(s3: S3) -> Any:
    """fsspec's file system of an S3 that has a bucket with the tree and the archive."""
    for name, data in TREE.items():
        s3.system.pipe(f"bucket/tree/{name}", data)
    s3.system.pipe("bucket/large.zip", LARGE)
    return s3.system


@pytest.mark.filterwarnings("default")  # of botocore and moto
def test_s3_is_read_by_ranges(filled: Any, tmp_path: Path, calls: Calls) -> None:
    url = "s3://bucket/large.zip"
    assert [member.name for member in parazip.list_members(url)] == [*CONTENTS]
    assert sum(calls.fetched) <= 300 << 10
    calls.fetched.clear()
    others = tuple(name for name in CONTENTS if name not in TEN)
    made = tmp_path / "made.zip"
    parazip.merge(made, [url], selection=parazip.Selection(exclude=others))
    assert read_contents(made.read_bytes()) == {name: CONTENTS[name] for name in TEN}
    assert len(calls.fetched) <= 12
    assert sum(calls.fetched) <= (300 << 10) + 10 * 41_000


@pytest.mark.filterwarnings("default")  # of botocore and moto
def test_s3_folders_are_put_in(filled: Any, tmp_path: Path, calls: Calls) -> None:
    made = tmp_path / "made.zip"
    parazip.create(made, ["s3://bucket/tree"])
    assert read_contents(made.read_bytes()) == {f"tree/{name}": TREE[name] for name in SORTED}
    assert calls.looks == 1  # at the folder, and at no file
    parazip.create(made, ["s3://bucket"], selection=parazip.Selection(exclude=("*.zip",)))
    assert [*read_contents(made.read_bytes())] == [f"bucket/tree/{name}" for name in SORTED]
    with zipfile.ZipFile(made) as archive:
        assert archive.getinfo("bucket/tree/b.txt").date_time > (2020, 1, 1)


@pytest.mark.filterwarnings("default")  # of botocore and moto
def test_an_s3_object_that_changes_is_an_error(
    filled: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled.pipe("bucket/changing.zip", LARGE)
    fetch = remote._AnyStore.fetch

    def change(store: Any, file: parazip.File, begin: int, end: int) -> bytes:
        if begin == 0:
            filled.pipe("bucket/changing.zip", make_large_archive(61))
        return fetch(store, file, begin, end)

    monkeypatch.setattr(remote._AnyStore, "fetch", change)
    with pytest.raises(
        SourceChangedError, match=r"changing\.zip changed while it was read: it had"
    ):
        parazip.merge(tmp_path / "made.zip", ["s3://bucket/changing.zip"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("default")  # of botocore and moto
@pytest.mark.parametrize("moment", ["listed", "opened"])
def test_small_s3_objects_that_change_are_an_error(
    filled: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """They keep their length, and change when they were listed, or right before they are read."""
    filled.pipe("bucket/small/a", b"old")
    owner, name = {
        "listed": (remote, "list_folder"),
        "opened": (remote._S3Store, "read_whole"),
    }[moment]
    done = getattr(owner, name)

    def change(*args: Any) -> Any:
        if moment == "opened":
            filled.pipe("bucket/small/a", b"new")
            return done(*args)
        found = done(*args)
        filled.pipe("bucket/small/a", b"new")
        return found

    monkeypatch.setattr(owner, name, change)
    with pytest.raises(SourceChangedError, match="small/a changed while it was read: its version"):
        parazip.create(tmp_path / "made.zip", ["s3://bucket/small"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("folder", ["s3://bucket", "s3://bucket/", "s3a://bucket/dir/"])
@pytest.mark.parametrize("is_there", [False, True])
def test_an_archive_is_not_put_into_itself(
    s3: S3, tmp_path: Path, folder: str, is_there: bool
) -> None:
    s3.system.pipe("bucket/dir/other", b"other")
    url = "s3://bucket/dir/made.zip"
    if is_there:
        s3.system.pipe(url, b"old")
    refusal = r"^the archive s3://bucket/dir/made\.zip lies inside .*--exclude "
    with pytest.raises(SourceError, match=refusal):
        parazip.create(url, [folder])
    if is_there:
        with pytest.raises(SourceError, match=r"^the archive is to be put into itself"):
            parazip.create(url, [url])
    name = "made.zip" if folder.endswith("/dir/") else "dir/made.zip"
    pattern = f"{folder.strip('/').rpartition('/')[2]}/{name}"
    report = parazip.create(url, [folder], selection=parazip.Selection(exclude=(pattern,)))
    assert report.members == 1
    assert [member.size for member in parazip.list_members(url)] == [5]
    # Beside a folder, and with a name that begins like one, it is where it should be.
    parazip.create("s3://bucket/dir.zip", ["s3://bucket/dir"])
    parazip.merge("s3://bucket/dir2.zip", ["s3://bucket/dir"])


def test_an_archive_takes_the_place_of_its_own_source(s3: S3) -> None:
    url = "s3://bucket/made.zip"
    s3.system.pipe("bucket/dir/other", b"other")
    parazip.create(url, ["s3://bucket/dir/other"])
    parazip.merge(url, [url, ("more", "s3://bucket/dir")])
    assert [member.name for member in parazip.list_members(url)] == ["other", "more/other"]
