"""An archive that is there is changed: `parazip.update`, `parazip.delete` and their commands."""

from __future__ import annotations

import io
import itertools
import json
import os
import random
import resource
import shlex
import shutil
import signal
import stat
import struct
import subprocess
import sys
import threading
import time
import zipapp
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import parazip
from parazip import (
    BadArchiveError,
    DuplicateMemberError,
    MemberNameError,
    NoSuchMemberError,
    NotCopiedError,
    ParazipError,
    Progress,
    Selection,
    Settings,
    SettingsError,
    SourceChangedError,
    SourceError,
    archives,
    existing,
    files,
    revision,
    temporary,
)
from parazip.codecs.sizes import BLOCK
from parazip.display import format_size
from parazip.format.reader import read_directory
from parazip.format.records import pack_central_header, pack_dos_date, pack_end_records
from parazip.format.refusals import Judge
from parazip.format.surroundings import Surroundings, read_surroundings
from parazip.format.values import Record
from parazip.output import Pipe
from patience import HUNG
from readers import PYTHONS, programs, pythons
from readers import run as run_reader

COMMAND = [sys.executable, "-m", "parazip"]
TEXT = b"".join(b"line %d of a text that shrinks\n" % i for i in range(3000))
MOMENT = (2021, 3, 4, 5, 6, 8)
DATE = pack_dos_date(*MOMENT)
SECONDS = time.mktime((*MOMENT, 0, 0, -1))
NOTHING = {"added": 0, "changed": 0, "deleted": 0}


class Done(NamedTuple):
    code: int
    err: str


def run(*args: str | Path, cwd: Path, stdin: bytes = b"", **popen: Any) -> Done:
    done = subprocess.run(
        [*COMMAND, *map(str, args)],
        cwd=cwd,
        input=stdin,
        env={**os.environ, "SOURCE_DATE_EPOCH": ""} | popen.pop("env", {}),
        capture_output=True,
        timeout=HUNG,
        check=False,
        **popen,
    )
    assert done.stdout == b"" or "--help" in args
    return Done(done.returncode, (done.stdout + done.stderr).decode())


def assert_fails(done: Done, code: int, *told: str) -> None:
    """A clear message and the right code, and nothing of Python's inside."""
    assert done.code == code, done.err
    assert "Traceback" not in done.err
    for text in told:
        assert text in done.err


def plant(folder: Path, files: Mapping[str, bytes], seconds: float = SECONDS) -> Path:
    """Files, and folders where names end with a slash, all of one date."""
    for name, data in files.items():
        path = folder / name
        (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            path.write_bytes(data)
    for place, folders, names in os.walk(folder):
        for name in (*folders, *names, "."):
            os.utime(os.path.join(place, name), (seconds, seconds))
    return folder


def contents(archive: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(archive) as read:
        assert read.testzip() is None
        names = read.namelist()
        assert len(set(names)) == len(names)
        return {name: read.read(name) for name in names}


def names(archive: Path) -> list[str]:
    return list(contents(archive))


def packed(archive: Path, name: str) -> bytes:
    """A member's bytes as they are compressed."""
    with zipfile.ZipFile(archive) as read:
        info = read.getinfo(name)
    data = archive.read_bytes()
    lengths = data[info.header_offset + 26 : info.header_offset + 30]
    begin = info.header_offset + 30 + int.from_bytes(lengths[:2], "little")
    begin += int.from_bytes(lengths[2:], "little")
    return data[begin : begin + info.compress_size]


def identity(path: Path) -> tuple[int, int, bytes]:
    info = path.stat()
    return info.st_ino, info.st_mtime_ns, path.read_bytes()


TREE = {"d/a": TEXT, "d/b": b"b" * 100, "d/c": b"", "d/sub/x": TEXT[:5000], "d/sub/y": b"y"}
IN_TREE = ["d/", "d/a", "d/b", "d/c", "d/sub/", "d/sub/x", "d/sub/y"]


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree, and the archive `out.zip` of it at level 1; the working folder is theirs."""
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    monkeypatch.chdir(tmp_path)
    plant(tmp_path, TREE)
    parazip.create("out.zip", ["d"], Settings(level=1))
    return tmp_path


# What goes where


def edit(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, (SECONDS + 100, SECONDS + 100))


def test_members_are_replaced_in_their_places_and_new_ones_come_last(work: Path) -> None:
    edit(work / "d/b", b"new b")
    edit(work / "d/0", b"0")
    edit(work / "d/sub/z", TEXT)
    (work / "d/c").unlink()
    report = parazip.update("out.zip", ["d"])
    assert names(work / "out.zip") == [*IN_TREE, "d/0", "d/sub/z"]
    assert contents(work / "out.zip") == {
        **{name: TREE.get(name, b"") for name in IN_TREE},
        "d/b": b"new b",
        "d/0": b"0",
        "d/sub/z": TEXT,
    }
    # The two folders have new dates, as files came and went.
    assert report.changes == {"added": 2, "changed": 3, "deleted": 0}
    assert report.members == 9
    assert report.bytes_out == os.stat("out.zip").st_size
    assert report.bytes_in == sum(map(len, contents(work / "out.zip").values()))


@pytest.mark.skipif(shutil.which("zip") is None, reason="zip is not installed")
@pytest.mark.parametrize("seed", range(6))
def test_zip_puts_in_the_same(work: Path, seed: int) -> None:
    draw = random.Random(seed)
    subprocess.run(["zip", "-qr", "zip.zip", "d"], check=True)
    parazip.create("ours.zip", ["d"])
    for name in draw.sample(list(TREE), k=2):
        edit(work / name, draw.randbytes(draw.choice([0, 1, len(TREE[name])])))
    for name in draw.sample(["d/0", "d/new", "d/sub/new", "d/n/e/w"], k=2):
        edit(work / name, draw.randbytes(10))
    (work / "d/sub/y").unlink(missing_ok=True)
    given = draw.choice([["d"], ["d/sub", "d/a"], ["d/b"]])
    subprocess.run(["zip", "-qr", "zip.zip", *given], check=True)
    parazip.update("ours.zip", given)
    theirs, ours = contents(work / "zip.zip"), contents(work / "ours.zip")
    assert theirs == ours
    before = len(IN_TREE)
    assert sorted(list(ours)[:before]) == sorted(list(theirs)[:before])  # each in its old place


TREES = st.dictionaries(
    st.sampled_from(["a", "b", "c/x", "c/y", "e/f/g", "\u00fc"]),
    st.sampled_from([b"", b"1", b"2", TEXT, TEXT[::-1]]),
)


@settings(max_examples=40)
@given(before=TREES, after=TREES)
def test_an_update_makes_what_create_makes_of_both(
    tmp_path_factory: pytest.TempPathFactory, before: dict[str, bytes], after: dict[str, bytes]
) -> None:
    root = tmp_path_factory.mktemp("trees")
    selection = Selection(directory=root / "old", timestamp="epoch", modes="normal")
    plant(root / "old", {"./": b"", **before})
    parazip.create(root / "out.zip", ["."], selection=selection)
    plant(root / "new", {"./": b"", **after})
    selection = Selection(directory=root / "new", timestamp="epoch", modes="normal")
    report = parazip.update(root / "out.zip", ["."], selection=selection)
    plant(root / "old", after)
    selection = Selection(directory=root / "old", timestamp="epoch", modes="normal")
    parazip.create(root / "both.zip", ["."], selection=selection)
    assert contents(root / "out.zip") == contents(root / "both.zip")
    assert report.changes is not None
    changed = sum(1 for name, data in after.items() if before.get(name, data) != data)
    assert report.changes["changed"] == changed
    assert parazip.update(root / "out.zip", ["."], selection=selection).changes == NOTHING


@pytest.mark.parametrize(
    "given", [Settings(jobs=1), Settings(jobs=4), Settings(memory=1 << 20)], ids=repr
)
def test_jobs_and_memory_change_no_byte(work: Path, given: Settings) -> None:
    old = (work / "out.zip").read_bytes()
    edit(work / "d/b", TEXT * 40)
    edit(work / "d/new", TEXT * 400)
    parazip.update("out.zip", ["d"])
    expected = (work / "out.zip").read_bytes()
    (work / "out.zip").write_bytes(old)
    parazip.update("out.zip", ["d"], given)
    assert (work / "out.zip").read_bytes() == expected


OPTIONS: dict[str, tuple[list[str], bytes, list[str]]] = {
    "a directory": (["out.zip", "-C", "d", "b"], b"", ["b"]),
    "a prefix": (["--prefix", "p/q", "out.zip", "d/b"], b"", ["p/q/d/b"]),
    "left out": (["out.zip", "d", "-x", "sub", "-x", "d/new"], b"", []),
    "a list": (["--files-from", "-", "out.zip"], b"d/new\nd/b\n", ["d/new"]),
    "a list with NUL": (["--files-from", "-", "--null", "out.zip"], b"d/new\0d/b", ["d/new"]),
    "a link followed": (["out.zip", "link"], b"", ["link"]),
    "a link stored": (["out.zip", "--symlinks", "store", "link"], b"", ["link"]),
    "no folder of the name": (["out.zip", "d/sub", "./d/../d/new"], b"", ["d/new"]),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_the_options_of_create_choose_what_is_put_in(work: Path, case: str) -> None:
    edit(work / "d/b", b"new b")
    edit(work / "d/new", b"new")
    (work / "link").symlink_to("d/b")
    args, stdin, added = OPTIONS[case]
    done = run("update", *args, cwd=work, stdin=stdin)
    assert done.code == 0, done.err
    assert names(work / "out.zip") == [*IN_TREE, *added]
    if "link" in added:
        with zipfile.ZipFile("out.zip") as archive:
            is_link = stat.S_ISLNK(archive.getinfo("link").external_attr >> 16)
            assert (is_link, archive.read("link")) == (
                (True, b"d/b") if "stored" in case else (False, b"new b")
            )


def test_an_archive_that_is_not_there_is_made(work: Path) -> None:
    done = run("update", "new.zip", "d", cwd=work)
    assert done.code == 0
    assert "(7 added)" in done.err
    parazip.create("create.zip", ["d"])
    assert (work / "new.zip").read_bytes() == (work / "create.zip").read_bytes()
    os.symlink("far.zip", "link.zip")
    parazip.update("link.zip", ["d"])
    assert (work / "far.zip").read_bytes() == (work / "create.zip").read_bytes()


def test_a_link_to_an_archive_is_followed(work: Path) -> None:
    os.symlink("out.zip", "link.zip")
    edit(work / "d/b", b"new")
    parazip.update("link.zip", ["d/b"])
    parazip.delete("link.zip", ["d/a"])
    assert os.path.islink("link.zip")
    assert contents(work / "out.zip")["d/b"] == b"new"
    assert "d/a" not in names(work / "out.zip")


def test_a_file_takes_the_place_of_an_empty_folder_and_the_other_way_round(work: Path) -> None:
    (work / "d/b").unlink()
    plant(work / "d/b", {"inside": b"i"})
    parazip.update("out.zip", ["d"])
    assert names(work / "out.zip") == [name if name != "d/b" else "d/b/" for name in IN_TREE] + [
        "d/b/inside"
    ]
    parazip.delete("out.zip", ["inside"])
    (work / "d/b/inside").unlink()
    (work / "d/b").rmdir()
    edit(work / "d/b", b"a file again")
    parazip.update("out.zip", ["d"])
    assert names(work / "out.zip") == IN_TREE
    assert contents(work / "out.zip")["d/b"] == b"a file again"


def test_a_file_in_the_place_of_a_folder_with_something_in_it_is_refused(work: Path) -> None:
    before = identity(work / "out.zip")
    (work / "d/sub/x").unlink()
    (work / "d/sub/y").unlink()
    (work / "d/sub").rmdir()
    edit(work / "d/sub", b"a file")
    with pytest.raises(DuplicateMemberError, match=r"d/sub.*parazip delete"):
        parazip.update("out.zip", ["d"])
    assert identity(work / "out.zip") == before
    parazip.delete("out.zip", ["d/sub"])
    parazip.update("out.zip", ["d"])
    assert names(work / "out.zip") == ["d/", "d/a", "d/b", "d/c", "d/sub"]


# What has not changed


def test_what_has_not_changed_is_copied_as_it_is_compressed(work: Path) -> None:
    before = {name: packed(work / "out.zip", name) for name in IN_TREE}
    edit(work / "d/sub/x", TEXT[:5001])
    report = parazip.update("out.zip", ["d"], Settings(level=9))
    after = {name: packed(work / "out.zip", name) for name in IN_TREE}
    assert [name for name in IN_TREE if before[name] != after[name]] == ["d/sub/x"]
    parazip.create("nine.zip", ["d"], Settings(level=9))
    assert after["d/sub/x"] == packed(work / "nine.zip", "d/sub/x")
    assert after["d/a"] != packed(work / "nine.zip", "d/a")
    same = sum(len(data) for name, data in TREE.items() if name != "d/sub/x")
    assert report.codecs["copied"].bytes_in == same


def test_contents_count_and_not_dates(work: Path) -> None:
    info = os.stat("d/b")
    (work / "d/b").write_bytes(b"c" * 100)  # what `zip -u` does not see
    os.utime("d/b", ns=(info.st_mtime_ns, info.st_mtime_ns))
    assert parazip.update("out.zip", ["d"]).changes == {**NOTHING, "changed": 1}
    assert contents(work / "out.zip")["d/b"] == b"c" * 100


@pytest.mark.parametrize("what", ["date", "mode"])
def test_a_new_date_or_mode_comes_with_the_old_bytes(work: Path, what: str) -> None:
    before = packed(work / "out.zip", "d/a")
    if what == "date":
        os.utime("d/a", (SECONDS + 100, SECONDS + 100))
    else:
        os.chmod("d/a", 0o750)
    report = parazip.update("out.zip", ["d"], Settings(level=9))
    assert report.changes == {**NOTHING, "changed": 1}
    assert packed(work / "out.zip", "d/a") == before
    with zipfile.ZipFile("out.zip") as archive:
        info = archive.getinfo("d/a")
    if what == "date":
        assert time.mktime((*info.date_time, 0, 0, -1)) == SECONDS + 100
    else:
        assert info.external_attr >> 16 == 0o100750


@pytest.mark.parametrize("given", [["d"], ["d/a"], []])
def test_an_archive_is_not_written_if_nothing_changed(work: Path, given: list[str]) -> None:
    before = identity(work / "out.zip")
    seen: list[Progress] = []
    report = parazip.update("out.zip", given, progress=seen.append)
    assert identity(work / "out.zip") == before
    assert report.changes == NOTHING
    assert (report.members, report.bytes_out) == (7, len(before[2]))
    assert report.bytes_in == sum(map(len, TREE.values()))
    done = run("update", "out.zip", "d", cwd=work)
    assert "out.zip: 7 members (nothing changed)" in done.err


def test_dates_and_modes_of_other_members_stay(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.chmod("d/a", 0o600)
    parazip.create("out.zip", ["d"])
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
    edit(work / "d/b", b"new")
    parazip.update("out.zip", ["d/b"], selection=Selection(modes="normal"))
    parazip.delete("out.zip", ["d/c"])
    with zipfile.ZipFile("out.zip") as archive:
        infos = {info.filename: info for info in archive.infolist()}
    assert infos["d/b"].date_time == (2001, 9, 9, 1, 46, 40)
    assert {info.date_time for name, info in infos.items() if name != "d/b"} == {MOMENT}
    assert infos["d/a"].external_attr >> 16 == 0o100600


def test_large_members_are_copied_or_cut_into_blocks(work: Path) -> None:
    noise = random.Random(0).randbytes(BLOCK // 2)
    large = (TEXT * 40 + noise) * 5  # more than any level compresses whole
    plant(work, {"d/changed": large, "d/same": large[::-1]})
    parazip.create("out.zip", ["d"], Settings(level=1))
    before = packed(work / "out.zip", "d/same")
    edit(work / "d/changed", large[:-1] + b"?")
    report = parazip.update("out.zip", ["d"])
    assert contents(work / "out.zip")["d/changed"] == large[:-1] + b"?"
    assert packed(work / "out.zip", "d/same") == before
    parazip.create("fresh.zip", ["d"])
    assert packed(work / "out.zip", "d/changed") == packed(work / "fresh.zip", "d/changed")
    assert report.changes == {**NOTHING, "changed": 1}


def test_of_many_members_only_what_changed_is_compressed(work: Path) -> None:
    files = {f"many/{i % 100}/{i}": b"member %d" % i for i in range(10_000)}
    plant(work, files)
    parazip.create("many.zip", ["many"])
    edit(work / "many/7/7", b"the only one that changed")
    report = parazip.update("many.zip", ["many/7/7"])
    assert report.changes == {**NOTHING, "changed": 1}
    assert report.codecs["copied"].bytes_in == sum(map(len, files.values())) - len(b"member 7")
    assert contents(work / "many.zip") == {
        **{name: files.get(name, b"") for name in names(work / "many.zip")},
        "many/7/7": b"the only one that changed",
    }


# What stays of the old archive


STUB = b"\x7fELF" + bytes(range(256)) * 20


@pytest.mark.parametrize("counted", [True, False], ids=["counted", "not counted"])
@pytest.mark.parametrize("change", ["update", "delete", "delete all"])
def test_what_is_in_front_and_the_comment_stay(work: Path, change: str, counted: bool) -> None:
    with zipfile.ZipFile("out.zip", "a") as archive:
        archive.comment = b"a comment"
    data = (work / "out.zip").read_bytes()
    (work / "out.zip").write_bytes(STUB + data)
    if counted:
        parazip.delete("out.zip", ["d/c"])  # our offsets count what is in front
    if change == "update":
        edit(work / "d/b", b"new")
        parazip.update("out.zip", ["d"])
    else:
        parazip.delete("out.zip", ["d/b"] if change == "delete" else ["d"])
    data = (work / "out.zip").read_bytes()
    assert data.startswith(STUB + (b"PK\5\6" if change == "delete all" else b"PK\3\4"))
    with zipfile.ZipFile("out.zip") as archive:
        assert archive.comment == b"a comment"
        assert archive.testzip() is None
    if "unzip" in programs() and change != "delete all":
        done = run_reader([programs()["unzip"].command, "-t", "out.zip"], cwd=work)
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o755, 0o711])
def test_permissions_stay(work: Path, mode: int) -> None:
    data = (work / "out.zip").read_bytes()
    (work / "out.zip").write_bytes(b"#!/bin/sh\nexit\n" + data)
    os.chmod("out.zip", mode)
    edit(work / "d/b", b"new")
    parazip.update("out.zip", ["d"])
    assert stat.S_IMODE(os.stat("out.zip").st_mode) == mode
    parazip.delete("out.zip", ["d/b"])
    assert stat.S_IMODE(os.stat("out.zip").st_mode) == mode


def test_something_else_can_be_put_in_front(work: Path) -> None:
    (work / "out.zip").write_bytes(STUB + (work / "out.zip").read_bytes())
    (work / "boot").write_bytes(b"boot\n")
    assert run("update", "out.zip", "d", "--shebang", "/bin/sh", cwd=work).code == 0
    assert (work / "out.zip").read_bytes().startswith(b"#!/bin/sh\nPK\3\4")
    assert os.access("out.zip", os.X_OK)
    assert run("update", "out.zip", "d", "--prepend", "boot", cwd=work).code == 0
    assert (work / "out.zip").read_bytes().startswith(b"boot\nPK\3\4")
    assert names(work / "out.zip") == IN_TREE
    report = parazip.update("out.zip", [], prepend=b"")
    assert (work / "out.zip").read_bytes().startswith(b"PK\3\4")
    assert report.changes == NOTHING


def test_a_zipapp_runs_what_was_put_in(work: Path) -> None:
    plant(work, {"app/__main__.py": b"import lib; print('ran', lib.ANSWER)", "app/lib.py": b""})
    zipapp.create_archive("app", "app.pyz", sys.executable, compressed=True)
    plant(work, {"app/lib.py": b"ANSWER = 42"})
    assert run("update", "app.pyz", "-C", "app", ".", cwd=work).code == 0
    ran = subprocess.run(["./app.pyz"], capture_output=True, text=True, check=True, cwd=work)
    assert ran.stdout == "ran 42\n"


@pytest.mark.once
@pytest.mark.parametrize("boot", [[], ["--sh-boot"]], ids=["python", "sh"])
def test_a_pex_runs_what_was_put_in(work: Path, boot: list[str]) -> None:
    pytest.importorskip("pex.common", reason="pex is not installed")
    environment = {**os.environ, "PEX_ROOT": str(work / "root"), "PIP_NO_INDEX": "1"}
    plant(work, {"src/thing.py": b"print('old')"})
    command = [*COMMAND, "pex", "-D", "src", "-m", "thing", "-o", "app.pex", *boot]
    command += ["--python-shebang", sys.executable]
    subprocess.run(command, check=True, env=environment, cwd=work, capture_output=True)
    before = (work / "app.pex").read_bytes()
    edit(work / "src/thing.py", b"print('new')")
    report = parazip.update("app.pex", ["thing.py"], selection=Selection(directory="src"))
    assert report.changes == {**NOTHING, "changed": 1}
    after = (work / "app.pex").read_bytes()
    assert after[: after.index(b"PK\3\4")] == before[: before.index(b"PK\3\4")] != b""
    ran = subprocess.run(
        [work / "app.pex"], check=True, env=environment, capture_output=True, text=True
    )
    assert ran.stdout == "new\n"


def test_extra_fields_are_told_that_are_not_kept(work: Path) -> None:
    info = zipfile.ZipInfo("with times", MOMENT)
    info.extra = b"UT\5\0\1\0\0\0\0" + b"\xfe\xca\0\0"
    with zipfile.ZipFile("extra.zip", "w") as archive:
        archive.writestr(info, TEXT)
        archive.writestr("plain", TEXT)
    done = run("update", "extra.zip", "d/b", cwd=work)
    assert done.code == 0
    assert "extra fields of 1 member were not kept: times (0x5455), the mark of a jar" in done.err
    with zipfile.ZipFile("extra.zip") as archive:
        assert [info.extra for info in archive.infolist()] == [b"", b"", b""]
    assert "not kept" not in run("delete", "extra.zip", "plain", cwd=work).err


def test_extra_fields_of_what_is_deleted_are_not_told(work: Path) -> None:
    info = zipfile.ZipInfo("with times", MOMENT)
    info.extra = b"UT\5\0\1\0\0\0\0"
    with zipfile.ZipFile("extra.zip", "w") as archive:
        archive.writestr(info, TEXT)
        archive.writestr("plain", TEXT)
    assert parazip.delete("extra.zip", ["with times"]).notes == ()


class Refused(NamedTuple):
    """A member that cannot be kept, as zipfile or we write it.

    Attributes:
        told: why.
        method: its compression method.
        flags: its flags, besides those that it has.
        comment: its comment.
    """

    told: str
    method: int = zipfile.ZIP_DEFLATED
    flags: int = 0
    comment: bytes = b""


REFUSED = {
    "encrypted": Refused("it is encrypted", flags=1),
    "bzip2": Refused("the compression method 12", zipfile.ZIP_BZIP2),
    "lzma": Refused("the compression method 14", zipfile.ZIP_LZMA),
    "a comment": Refused("cannot keep the comment", comment=b"written by a person"),
}
ODD = "odd [1] file's.txt"


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_kept_is_refused_and_can_be_taken_out_as_told(work: Path, case: str) -> None:
    told, method, flags, comment = REFUSED[case]
    info = zipfile.ZipInfo(ODD, MOMENT)
    info.compress_type, info.comment = method, comment
    with zipfile.ZipFile("odd.zip", "w") as archive:
        archive.writestr(info, TEXT)
        archive.writestr("plain", b"plain")
        archive.writestr("other", b"other")
        where, directory = info.header_offset, archive.start_dir
    data = bytearray((work / "odd.zip").read_bytes())
    if flags:
        with zipfile.ZipFile("odd.zip") as archive:
            directory = archive.start_dir
        data[where + 6] |= flags
        data[directory + 8] |= flags
    (work / "odd.zip").write_bytes(data)
    edit(work / "d/b", b"new")
    calls: list[Callable[[], object]] = [
        lambda: parazip.update("odd.zip", ["d/b"]),
        lambda: parazip.delete("odd.zip", ["other"]),
    ]
    for call in calls:
        with pytest.raises(NotCopiedError) as raised:
            call()
        assert told in str(raised.value)
        assert raised.value.member == ODD
        assert raised.value.reason in str(raised.value)
        assert (work / "odd.zip").read_bytes() == bytes(data)
    done = run("update", "odd.zip", "d/b", cwd=work)
    assert_fails(done, 1, told, "or change the archive with zip")
    advised = done.err.split("take it out with ")[1].split(", or change")[0]
    command = shlex.split(advised)
    assert command[0] == "parazip"
    assert run(*command[1:], cwd=work).code == 0
    assert names(work / "odd.zip") == ["plain", "other"]
    assert run("update", "odd.zip", "d/b", cwd=work).code == 0


def test_a_name_that_leads_out_can_be_taken_out_as_told(work: Path) -> None:
    with zipfile.ZipFile("odd.zip", "w") as archive:
        archive.writestr("../up", TEXT)
        archive.writestr("plain", b"plain")
    done = run("update", "odd.zip", "d/b", cwd=work)
    assert_fails(done, 1, "leads out", "parazip delete odd.zip ../up")
    assert run("delete", "odd.zip", "../up", cwd=work).code == 0
    assert names(work / "odd.zip") == ["plain"]


def test_what_an_archive_has_besides_its_members_is_found() -> None:
    extra = b"UT\5\0\1\0\0\0\0" + struct.pack("<2H", 0x7875, 0)
    fields = [
        (b"wide", 5 << 30, 0, b"", b""),
        (b"times", 10, 6 << 30, extra, b""),
        (b"told", 10, 7 << 30, b"", b"a comment"),
    ]
    directory = b""
    for name, size, offset, more, comment in fields:
        record = Record(name, 0, 0, DATE, 0, size, size, 0, offset + 100)
        header = bytearray(pack_central_header(record))
        struct.pack_into("<2H", header, 30, len(header) - 46 - len(name) + len(more), len(comment))
        directory += header + more + comment
    begin = 8 << 30
    end = directory + pack_end_records(len(fields), len(directory), begin, b"of all")

    def read(offset: int, length: int) -> bytes:
        if offset + length <= begin:
            return bytes(length)
        return (bytes(1 << 16) + end)[offset - begin + (1 << 16) :][:length]

    entries = read_directory("some.zip", begin + len(end), read)
    assert read_surroundings(Judge("some.zip"), begin + len(end), read, entries) == Surroundings(
        prefix_size=100,
        comment=b"of all",
        names=["wide", "times", "told"],
        commented={"told"},
        extras={"times": [0x5455, 0x7875]},
    )


ZIPPERS = {
    "zip": "zip -qr x.zip d",
    "zip to a pipe": "zip -qr - d | cat > x.zip",
    "zip with a comment": "zip -qr x.zip d && echo a comment | zip -qz x.zip",
    "7z": "7z a -tzip x.zip d",
    "bsdtar": "bsdtar -acf x.zip d",
    "jar": "jar cf x.zip d",
    "git": "git init -q && git add d && git archive --format=zip -o x.zip $(git write-tree)",
    "python": f"{shlex.quote(sys.executable)} -m zipfile -c x.zip d",
}


@pytest.mark.parametrize("zipper", ZIPPERS)
def test_archives_of_other_programs_are_changed(work: Path, zipper: str) -> None:
    if shutil.which(ZIPPERS[zipper].split()[0].strip("'")) is None:
        pytest.skip(f"{zipper} is not installed")
    subprocess.run(["sh", "-c", ZIPPERS[zipper]], check=True, stdout=subprocess.DEVNULL)
    before = contents(work / "x.zip")
    with zipfile.ZipFile("x.zip") as archive:
        comment = archive.comment
    edit(work / "d/b", b"new")
    edit(work / "d/new", b"new")
    parazip.update("x.zip", ["d/b", "d/new"])
    parazip.delete("x.zip", ["d/sub"])
    assert contents(work / "x.zip") == {
        **{name: data for name, data in before.items() if not name.startswith("d/sub")},
        "d/b": b"new",
        "d/new": b"new",
    }
    with zipfile.ZipFile("x.zip") as archive:
        assert archive.comment == comment
    for name, program in programs().items():
        done = run_reader([program.command, *PROGRAMS[name], "x.zip"], cwd=work)
        assert done.returncode == 0, done.stdout


# Deleting


DELETED: dict[str, tuple[list[str], list[str]]] = {
    "a name": (["d/b"], ["d/", "d/a", "d/c", "d/sub/", "d/sub/x", "d/sub/y"]),
    "a step": (["b", "c"], ["d/", "d/a", "d/sub/", "d/sub/x", "d/sub/y"]),
    "a folder": (["d/sub"], ["d/", "d/a", "d/b", "d/c"]),
    "a folder with a slash": (["d/sub/"], ["d/", "d/a", "d/b", "d/c"]),
    "a folder further down": (["*/sub/"], ["d/", "d/a", "d/b", "d/c"]),
    "a folder at the top": (["/d/"], []),
    "a name at the top": (["/d/a", "./d/b"], ["d/", "d/c", "d/sub/", "d/sub/x", "d/sub/y"]),
    "what a folder holds": (["d/sub/*"], ["d/", "d/a", "d/b", "d/c", "d/sub/"]),
    "stars": (["d/*x"], ["d/", "d/a", "d/b", "d/c", "d/sub/", "d/sub/y"]),
    "a set": (["[abc]"], ["d/", "d/sub/", "d/sub/x", "d/sub/y"]),
    "twice": (["d/a", "d/*", "d/a"], ["d/"]),
    "with a dot": (["./d/a"], [name for name in IN_TREE if name != "d/a"]),
    "all": (["*"], []),
    "the top": (["d"], []),
}


@pytest.mark.parametrize("case", DELETED)
def test_what_matches_is_deleted(work: Path, case: str) -> None:
    patterns, left = DELETED[case]
    before = {name: packed(work / "out.zip", name) for name in left}
    report = parazip.delete("out.zip", patterns)
    assert names(work / "out.zip") == left
    assert {name: packed(work / "out.zip", name) for name in left} == before
    assert report.changes == {**NOTHING, "deleted": len(IN_TREE) - len(left)}
    parazip.create("exclude.zip", ["d"], Settings(level=1), Selection(exclude=tuple(patterns)))
    assert names(work / "exclude.zip") == left  # as --exclude does


def test_the_command_deletes_and_tells_how_many(work: Path) -> None:
    done = run("delete", "out.zip", "sub", "d/a", cwd=work)
    assert done.code == 0
    assert "out.zip: 3 members (4 deleted)" in done.err
    assert names(work / "out.zip") == ["d/", "d/b", "d/c"]


@pytest.mark.parametrize(
    ("patterns", "told"),
    [
        (["nope"], "cannot delete nope from out.zip"),
        (["d/a", "no pe", "b", "*.x"], "cannot delete 'no pe' '*.x' from out.zip"),
        (["a/d"], "cannot delete a/d"),
        (["D/A"], "cannot delete D/A"),
        ([""], "cannot delete ''"),
    ],
)
def test_a_pattern_that_matches_nothing_is_named_and_nothing_is_deleted(
    work: Path, patterns: list[str], told: str
) -> None:
    before = identity(work / "out.zip")
    assert_fails(run("delete", "out.zip", *patterns, cwd=work), 1, told, "nothing was deleted")
    assert identity(work / "out.zip") == before
    with pytest.raises(KeyError):
        parazip.delete("out.zip", patterns)
    with pytest.raises(NoSuchMemberError):
        parazip.delete("out.zip", patterns)


def test_names_with_steps_that_lead_nowhere_are_found(work: Path) -> None:
    with zipfile.ZipFile("odd.zip", "w") as archive:
        archive.writestr("./a//b", b"b")
        archive.writestr("c/./d", b"d")
    parazip.delete("odd.zip", ["a/b"])
    assert names(work / "odd.zip") == ["c/d"]
    edit(work / "c/d", b"new")
    assert parazip.update("odd.zip", ["c/d"]).changes == {**NOTHING, "changed": 1}
    assert contents(work / "odd.zip") == {"c/d": b"new"}


# All or nothing


def bad_archives(work: Path) -> dict[str, Callable[[], Path]]:
    def cut_off() -> Path:
        (work / "x").write_bytes((work / "out.zip").read_bytes()[:-30])
        return work / "x"

    def written(data: bytes) -> Path:
        (work / "x").write_bytes(data)
        return work / "x"

    def piped() -> Path:
        os.mkfifo(work / "x")
        return work / "x"

    return {
        "empty": lambda: written(b""),
        "no archive": lambda: written(TEXT),
        "cut off": cut_off,
        "a folder": lambda: work / "d",
        "a named pipe": piped,
        "a device": lambda: Path("/dev/null"),
    }


@pytest.mark.parametrize(
    "case", ["empty", "no archive", "cut off", "a folder", "a named pipe", "a device"]
)
def test_what_is_no_archive_is_refused_and_left_alone(work: Path, case: str) -> None:
    path = bad_archives(work)[case]()
    before = sorted(os.listdir(work))
    for command in ("update", "delete"):
        assert_fails(run(command, path, "d/a", cwd=work), 1, str(path))
    expected = SourceError if case in ("a folder", "a named pipe", "a device") else BadArchiveError
    with pytest.raises(expected):
        parazip.update(path, ["d/a"])
    with pytest.raises(expected):
        parazip.delete(path, ["d/a"])
    assert sorted(os.listdir(work)) == before


def test_an_archive_to_delete_from_must_be_there(work: Path) -> None:
    assert_fails(run("delete", "none.zip", "a", cwd=work), 1, "none.zip: No such file")
    assert not os.path.exists("none.zip")


WRONG: dict[str, tuple[list[str], int, str]] = {
    "nothing": (["update", "out.zip"], 2, "nothing to put in"),
    "no patterns": (["delete", "out.zip"], 2, "GLOB"),
    "standard output": (["update", "-", "d"], 2, "name a file instead of -"),
    "delete from standard output": (["delete", "-", "d"], 2, "name a file instead of -"),
    "--null alone": (["update", "--null", "out.zip", "d"], 2, "--files-from"),
    "a level": (["update", "-l", "11", "out.zip", "d"], 2, "11"),
    "a prefix": (["update", "--prefix", "../x", "out.zip", "d"], 2, "leads out"),
    "a file that is gone": (["update", "out.zip", "d/a", "gone"], 1, "gone: No such file"),
    "itself": (["update", "out.zip", "d", "out.zip"], 1, "put into itself"),
    "in a folder": (["update", "out.zip", "."], 1, "lies inside"),
    "two of a name": (["update", "out.zip", "d/a", "../d/a"], 1, "two members"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_fails_is_told_and_changes_nothing(work: Path, case: str) -> None:
    put_beside(work)
    args, code, told = WRONG[case]
    (work / "other").mkdir()
    edit(work / "d/b", b"new")
    before = identity(work / "out.zip"), sorted(os.listdir(work))
    assert_fails(run(*args, cwd=work), code, told)
    assert (identity(work / "out.zip"), sorted(os.listdir(work))) == before


def test_an_archive_inside_a_folder_is_fine_when_it_is_left_out(work: Path) -> None:
    edit(work / "d/b", b"new")
    report = parazip.update("out.zip", ["."], selection=Selection(exclude=("*.zip",)))
    assert names(work / "out.zip") == IN_TREE
    assert report.changes is not None
    assert report.changes["added"] == 0


def test_single_strings_and_open_files_are_type_errors(work: Path) -> None:
    with pytest.raises(TypeError):
        parazip.update("out.zip", "d")
    with pytest.raises(TypeError):
        parazip.delete("out.zip", "d")
    with open("out.zip", "r+b") as file, pytest.raises(TypeError):
        parazip.update(cast("Path", file), ["d"])


def put_beside(work: Path) -> None:
    """A file outside that has the name of one inside, as leading steps upwards are dropped."""
    (work.parent / "d").mkdir(exist_ok=True)
    (work.parent / "d/a").write_bytes(b"another")


def test_errors_of_names_and_settings_are_their_own(work: Path) -> None:
    put_beside(work)
    with pytest.raises(MemberNameError):
        parazip.update("out.zip", ["d/a", "../d/a"])
    with pytest.raises(SettingsError):
        parazip.update("out.zip", ["d"], selection=Selection(prefix="../up"))
    with pytest.raises(ParazipError):
        parazip.update("", ["d"])
    assert names(work / "out.zip") == IN_TREE


def when_written(change: Callable[[], object], calls: int = 0) -> Callable[[Progress], None]:
    """A sink that calls `change` once, when something has been written; `calls` times more."""
    due: list[Callable[[], object]] = [change, *[lambda: None] * calls]

    def sink(progress: Progress) -> None:
        if due:
            due.pop()()

    return sink


@pytest.mark.parametrize("how", ["replaced", "appended to", "gone", "touched"])
@pytest.mark.parametrize("call", ["update", "delete"])
def test_an_archive_that_changes_meanwhile_stays_as_it_was_changed(
    work: Path, how: str, call: str
) -> None:
    def change() -> None:
        if how == "replaced":
            (work / "other.zip").write_bytes((work / "out.zip").read_bytes())
            os.replace("other.zip", "out.zip")
        elif how == "appended to":
            with open("out.zip", "ab") as file:
                file.write(b"more")
        elif how == "gone":
            os.unlink("out.zip")
        else:
            os.utime("out.zip", (1, 1))

    edit(work / "d/b", b"new")
    expected = SourceError if how == "gone" else SourceChangedError
    sink = when_written(change)
    calls = {
        "update": lambda: parazip.update("out.zip", ["d"], progress=sink),
        "delete": lambda: parazip.delete("out.zip", ["d/b"], progress=sink),
    }
    with pytest.raises(expected, match=r"out\.zip"):
        calls[call]()
    left = ["d"] if how == "gone" else ["d", "out.zip"]
    assert sorted(os.listdir(work)) == left
    if how == "replaced":
        assert contents(work / "out.zip")["d/b"] == TREE["d/b"]


def test_of_two_updates_at_once_none_is_lost(work: Path) -> None:
    edit(work / "d/b", b"ours")
    plant(work, {"theirs": b"theirs"})

    def other() -> None:
        parazip.update("out.zip", ["theirs"])

    with pytest.raises(SourceChangedError):
        parazip.update("out.zip", ["d/b"], progress=when_written(other))
    assert names(work / "out.zip") == [*IN_TREE, "theirs"]
    parazip.update("out.zip", ["d/b"])
    assert names(work / "out.zip") == [*IN_TREE, "theirs"]
    assert contents(work / "out.zip")["d/b"] == b"ours"


def refuse_links(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*args: Any, **options: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    monkeypatch.setattr(os, "link", refused)


@pytest.mark.parametrize("way", ["a file without a name", "hard links", "neither", "elsewhere"])
@pytest.mark.parametrize("is_link", [False, True])
def test_an_archive_that_comes_meanwhile_is_not_replaced(
    work: Path, monkeypatch: pytest.MonkeyPatch, way: str, is_link: bool
) -> None:
    plant(work, {"theirs": b"theirs"})
    if is_link:
        os.symlink("far.zip", "new.zip")
    before = sorted(os.listdir(work))
    if way == "hard links":
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    elif way == "neither":
        refuse_links(monkeypatch)
    elif way == "elsewhere":
        (work / "tmp").mkdir()
        monkeypatch.setattr("tempfile.tempdir", str(work / "tmp"))
        open_in = temporary._open_in

        def refused(folder: str, *args: Any, **options: Any) -> temporary.Temporary:
            if folder == str(work):
                raise PermissionError(13, "Permission denied")
            return open_in(folder, *args, **options)

        monkeypatch.setattr(temporary, "_open_in", refused)
    made = "far.zip" if is_link else "new.zip"

    def other() -> None:
        with monkeypatch.context() as patch:
            if way == "elsewhere":
                patch.setattr(temporary, "_open_in", open_in)
            parazip.update("new.zip", ["theirs"])

    with pytest.raises(SourceChangedError, match=r"new\.zip was made by somebody else meanwhile"):
        parazip.update("new.zip", ["d"], progress=when_written(other))
    assert names(work / made) == ["theirs"]
    left = sorted({*before, made} | ({"tmp"} if way == "elsewhere" else set()))
    assert sorted(os.listdir(work)) == left
    assert way != "elsewhere" or os.listdir(work / "tmp") == []
    parazip.update("new.zip", ["d"])
    assert names(work / made) == ["theirs", *IN_TREE]
    os.unlink(made)
    parazip.update("new.zip", ["d"])  # each way makes what is not there
    assert names(work / made) == IN_TREE
    assert sorted(os.listdir(work)) == left


@pytest.mark.parametrize("way", ["a file without a name", "hard links", "neither"])
def test_what_comes_at_the_last_moment_is_not_replaced_either(
    work: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """After the last look: only what gives the name can see it."""
    if way == "hard links":
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    elif way == "neither":
        refuse_links(monkeypatch)
    check = existing.ExistingFile.check
    calls = 0

    def look(standing: existing.ExistingFile) -> os.stat_result | None:
        nonlocal calls
        calls += 1
        found = check(standing)
        if calls == 3 - (way == "a file without a name"):
            (work / "new.zip").write_bytes(b"theirs")
        return found

    monkeypatch.setattr(existing.ExistingFile, "check", look)
    with pytest.raises(SourceChangedError, match="made by somebody else"):
        parazip.update("new.zip", ["d"])
    assert (work / "new.zip").read_bytes() == b"theirs"
    assert sorted(os.listdir(work)) == ["d", "new.zip", "out.zip"]


def test_of_many_updates_at_once_each_is_there_or_has_failed(work: Path) -> None:
    plant(work, {f"n{number}": b"%d" % number for number in range(8)})
    for archive in ("new.zip", "out.zip"):
        running = [
            subprocess.Popen(
                [*COMMAND, "update", "-q", archive, f"n{number}"], cwd=work, stderr=subprocess.PIPE
            )
            for number in range(8)
        ]
        told = [process.communicate(timeout=HUNG)[1].decode() for process in running]
        done = [f"n{n}" for n, process in enumerate(running) if process.returncode == 0]
        assert done
        expected = {*done, *(IN_TREE if archive == "out.zip" else ())}
        assert {*names(work / archive)} == expected, told
        assert all("run the command again" in text for text in told if text)
    assert sorted(os.listdir(work)) == ["d", *(f"n{n}" for n in range(8)), "new.zip", "out.zip"]


@pytest.mark.skipif(sys.platform == "win32", reason="flock is POSIX's")
def test_an_archive_that_somebody_has_locked_is_left_alone(work: Path) -> None:
    import fcntl

    before = identity(work / "out.zip")
    with open("out.zip", "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(SourceChangedError, match=r"out\.zip is locked by somebody else"):
            parazip.delete("out.zip", ["d/a"])
    assert identity(work / "out.zip") == before
    parazip.delete("out.zip", ["d/a"])


@pytest.mark.skipif(sys.platform == "win32", reason="flock is POSIX's")
def test_file_systems_without_locks_do_without(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*args: Any) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", refused)
    parazip.delete("out.zip", ["d/a"])
    assert "d/a" not in names(work / "out.zip")


@pytest.mark.parametrize("call", ["update", "delete"])
def test_new_rights_of_the_archive_are_no_change_and_are_handed_on(work: Path, call: str) -> None:
    edit(work / "d/b", b"new")
    sink = when_written(lambda: os.chmod("out.zip", 0o640))
    if call == "update":
        parazip.update("out.zip", ["d"], progress=sink)
    else:
        parazip.delete("out.zip", ["d/b"], progress=sink)
    assert stat.S_IMODE(os.stat("out.zip").st_mode) == 0o640
    assert names(work / "out.zip") == [
        name for name in IN_TREE if call == "update" or name != "d/b"
    ]


def test_contents_that_change_while_their_date_is_put_back_are_seen(work: Path) -> None:
    if not files.HAS_CTIME:
        pytest.skip("the system has no change times")

    def change() -> None:
        info = os.stat("out.zip")
        with open("out.zip", "r+b") as file:
            file.seek(40)
            file.write(b"theirs")
        os.utime("out.zip", ns=(info.st_atime_ns, info.st_mtime_ns))

    told = "by somebody else meanwhile: its change time is not what it was; it stays"
    with pytest.raises(SourceChangedError, match=told):
        parazip.delete("out.zip", ["d/b"], progress=when_written(change))
    assert b"theirs" in (work / "out.zip").read_bytes()


@pytest.mark.parametrize("how", ["replaced", "appended to", "touched", "gone", "a named pipe"])
def test_errors_of_the_archive_do_not_advise_to_leave_it_out(work: Path, how: str) -> None:
    if how == "a named pipe" and not hasattr(os, "mkfifo"):
        pytest.skip("there are no named pipes")

    def change() -> None:
        if how == "replaced":
            parazip.delete("out.zip", ["d/a"])
        elif how == "appended to":
            with open("out.zip", "ab") as file:
                file.write(b"more")
        elif how == "touched":
            os.utime("out.zip", (1, 1))
        else:
            os.unlink("out.zip")
            if how == "a named pipe":
                os.mkfifo("out.zip")

    edit(work / "d/b", b"new")
    with pytest.raises(SourceError, match=r"out\.zip .*run the command again") as told:
        parazip.update("out.zip", ["d"], progress=when_written(change))
    assert "--exclude" not in str(told.value)


def test_who_reads_the_old_archive_reads_on(work: Path) -> None:
    with zipfile.ZipFile("out.zip") as archive, archive.open("d/a") as member:
        begin = member.read(100)
        edit(work / "d/a", b"new")
        parazip.update("out.zip", ["d"])
        parazip.delete("out.zip", ["d/b"])
        assert begin + member.read() == TEXT
        assert archive.testzip() is None
    assert contents(work / "out.zip")["d/a"] == b"new"


def test_a_file_that_changes_while_it_is_put_in_is_an_error(work: Path) -> None:
    large = random.Random(1).randbytes(1 << 20) * 20
    edit(work / "d/large", large)
    before = identity(work / "out.zip")

    def change() -> None:
        (work / "d/large").write_bytes(large[1:])

    with pytest.raises(SourceChangedError, match="d/large"):
        parazip.update(
            "out.zip", ["d"], Settings(jobs=1, memory=1 << 20), progress=when_written(change)
        )
    assert identity(work / "out.zip") == before


@pytest.mark.parametrize("call", ["update", "delete"])
def test_a_full_disk_leaves_the_old_archive(work: Path, call: str) -> None:
    plant(work, {"random": os.urandom(4 << 20), "more": b"more"})
    parazip.create("out.zip", ["random", "more"])
    plant(work, {"d/new": os.urandom(1 << 20)})
    before = identity(work / "out.zip")
    args = ["update", "out.zip", "d"] if call == "update" else ["delete", "out.zip", "more"]
    done = run(
        *args,
        cwd=work,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20)),
    )
    assert_fails(done, 1, "cannot write out.zip: File too large")
    assert identity(work / "out.zip") == before
    assert sorted(os.listdir(work)) == ["d", "more", "out.zip", "random"]


KILLED = """
import os, signal, sys, parazip
left = int(sys.argv[1])
def hook(event, args):
    global left
    if event == "open" or event.startswith("os."):
        left -= 1
        if left == -1:
            os.kill(os.getpid(), signal.SIGKILL)
settings = parazip.Settings(level=1)
parazip.create("warm.zip", ["d"], settings)  # so that all is imported
parazip.delete("warm.zip", ["d/a"])
sys.addaudithook(hook)
if sys.argv[2] == "update":
    parazip.update("out.zip", ["d"])
else:
    parazip.delete("out.zip", ["d/a"])
print(int(sys.argv[1]) - left)
"""


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="where files without a name exist")
@pytest.mark.parametrize("call", ["update", "delete"])
def test_a_kill_leaves_the_old_archive_or_the_new_one(work: Path, call: str) -> None:
    command = [sys.executable, "-c", KILLED]
    old = (work / "out.zip").read_bytes()
    edit(work / "d/a", b"new")
    ended = subprocess.run(
        [*command, "1000", call], cwd=work, capture_output=True, text=True, check=True
    )
    new = (work / "out.zip").read_bytes()
    moments = int(ended.stdout)  # files opened, and what else is asked of the system
    assert moments > 5
    became = []
    for moment in range(moments):
        (work / "out.zip").write_bytes(old)
        killed = subprocess.run([*command, str(moment), call], cwd=work, check=False)
        assert killed.returncode == -signal.SIGKILL
        became.append((work / "out.zip").read_bytes())
        # A kill between a link and what takes its name away leaves that name, as for `create`.
        left = [name for name in os.listdir(work) if name.startswith(".parazip")]
        assert len(left) <= 1
        for name in left:
            os.unlink(work / name)
    assert set(became) <= {old, new}
    assert became[0] == old


@pytest.mark.parametrize("lacks", ["files without a name", "change times", "its own copying"])
def test_other_systems_change_archives_in_their_ways(
    work: Path, monkeypatch: pytest.MonkeyPatch, lacks: str
) -> None:
    if lacks == "files without a name":
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    elif lacks == "change times":
        monkeypatch.setattr("parazip.files.HAS_CTIME", False)
    else:
        monkeypatch.setattr("parazip.output._copy_file_range", None)
    edit(work / "d/b", b"new")
    parazip.update("out.zip", ["d"])
    parazip.delete("out.zip", ["d/a"])
    assert contents(work / "out.zip")["d/b"] == b"new"
    edit(work / "d/b", b"newer")

    def change() -> None:
        os.utime("out.zip", (1, 1))

    before = (work / "out.zip").read_bytes()
    with pytest.raises(SourceChangedError):
        parazip.update("out.zip", ["d"], progress=when_written(change))
    assert (work / "out.zip").read_bytes() == before
    assert sorted(os.listdir(work)) == ["d", "out.zip"]


def test_an_interrupt_leaves_the_old_archive(work: Path) -> None:
    plant(work, {"d/large": random.Random(2).randbytes(5 << 20)})
    parazip.create("out.zip", ["d"])
    plant(work, {"d/large": random.Random(3).randbytes(5 << 20)})
    before = identity(work / "out.zip")

    def interrupt() -> None:
        raise KeyboardInterrupt

    for calls in range(4):
        sink = when_written(interrupt, calls)
        with pytest.raises(KeyboardInterrupt):
            parazip.update("out.zip", ["d"], Settings(level=1), progress=sink)
        assert identity(work / "out.zip") == before
    assert sorted(os.listdir(work)) == ["d", "out.zip"]


# Who reads it


MODULE = b"VALUE = 'imported from the archive'\n"


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    """An archive of zipfile's that was updated and deleted from, and what it holds."""
    root = tmp_path_factory.mktemp("everything")
    first = {"module_in_zip.py": b"VALUE = 'old'\n", "text": TEXT, "gone": TEXT, "none": b""}
    with zipfile.ZipFile(root / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in first.items():
            archive.writestr(name, data)
        with archive.open("wide", "w", force_zip64=True) as member:
            member.write(TEXT)
    plant(
        root / "tree",
        {
            "module_in_zip.py": MODULE,
            "package_in_zip/__init__.py": MODULE,
            "gr\u00fc\u00df": os.urandom(300_000),
        },
    )
    parazip.update(root / "all.zip", ["."], selection=Selection(directory=root / "tree"))
    parazip.delete(root / "all.zip", ["gone"])
    del first["gone"]
    more = {path.relative_to(root / "tree").as_posix(): path for path in root.rglob("tree/**/*")}
    new = {name: path.read_bytes() for name, path in more.items() if path.is_file()}
    return root / "all.zip", {**first, "wide": TEXT, "package_in_zip/": b"", **new}


def test_zipfile_reads_what_was_changed(everything: tuple[Path, dict[str, bytes]]) -> None:
    assert contents(everything[0]) == everything[1]


PROGRAMS = {"unzip": ["-t"], "7z": ["t"], "bsdtar": ["-tvf"], "jar": ["tf"]}


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_test_what_was_changed(
    everything: tuple[Path, dict[str, bytes]], name: str
) -> None:
    if name not in programs():
        pytest.skip(f"{name} is not installed")
    done = run_reader([programs()[name].command, *PROGRAMS[name], everything[0]])
    assert done.returncode == 0, done.stdout
    assert "warning" not in done.stdout.lower(), done.stdout


READ_ALL = """
import sys, zipfile
assert zipfile.ZipFile(sys.argv[1]).testzip() is None
sys.path.insert(0, sys.argv[1])
import module_in_zip, package_in_zip
assert module_in_zip.VALUE == package_in_zip.VALUE == "imported from the archive"
"""


@pytest.mark.parametrize("name", PYTHONS)
def test_python_reads_and_imports_what_was_changed(
    everything: tuple[Path, dict[str, bytes]], name: str
) -> None:
    if name not in pythons():
        pytest.skip(f"{name} is not installed")
    done = run_reader([pythons()[name].command, "-c", READ_ALL, everything[0]])
    assert done.returncode == 0, done.stdout


# The commands


def test_json_tells_what_changed(work: Path) -> None:
    edit(work / "d/b", b"new")
    done = run("update", "--progress", "json", "out.zip", "d/b", cwd=work)
    last = json.loads(done.err.splitlines()[-1])
    assert last["event"] == "done"
    assert last["changes"] == {**NOTHING, "changed": 1}
    assert last["members"] == 7


def listing(*args: str, cwd: Path) -> str:
    """What a command that writes nothing tells on standard output."""
    before = {path: path.read_bytes() for path in cwd.rglob("*") if path.is_file()}
    done = subprocess.run(
        [*COMMAND, *args], cwd=cwd, capture_output=True, timeout=HUNG, check=True, text=True
    )
    assert {path: path.read_bytes() for path in cwd.rglob("*") if path.is_file()} == before
    assert done.stderr == ""
    return done.stdout


def test_a_dry_run_tells_what_would_be_added_and_changed(work: Path) -> None:
    edit(work / "d/b", b"new")
    edit(work / "d/new", TEXT)
    os.utime("d", (SECONDS, SECONDS))
    assert listing("update", "-n", "-x", "c", "out.zip", "d", cwd=work).splitlines() == [
        "      3 B  d/b  (changed)",
        f"{format_size(len(TEXT)):>9}  d/new  (added)",
        " left out  d/c  (--exclude c)",
        f"out.zip would have 8 members (1 added, 1 changed, 6 kept), "
        f"{format_size(sum(map(len, TREE.values())) - 97 + len(TEXT))}, 1 left out",
    ]
    told = json.loads(listing("update", "-n", "--json", "out.zip", "d", cwd=work))
    assert told["changes"] == {"added": 1, "changed": 1, "deleted": 0}
    changes = {member["name"]: member["change"] for member in told["put_in"]}
    assert changes == {**dict.fromkeys(IN_TREE, "kept"), "d/b": "changed", "d/new": "added"}
    report = parazip.update("out.zip", ["d"])
    assert report.changes == told["changes"]
    assert [*changes] == names(work / "out.zip")
    assert "(8 kept)" in listing("update", "-n", "out.zip", "d", cwd=work)


def test_a_dry_run_of_an_archive_that_is_not_there_makes_none(work: Path) -> None:
    told = json.loads(listing("update", "--dry-run", "--json", "new.zip", "d", cwd=work))
    assert {member["change"] for member in told["put_in"]} == {"added"}
    assert not (work / "new.zip").exists()


def test_a_dry_run_tells_what_would_be_deleted(work: Path) -> None:
    assert listing("delete", "-n", "out.zip", "d/sub/", "b", cwd=work).splitlines() == [
        "  deleted  d/b  (b)",
        "  deleted  d/sub/  (d/sub/)",
        "  deleted  d/sub/x  (d/sub/)",
        "  deleted  d/sub/y  (d/sub/)",
        f"out.zip would have 3 members (4 deleted, 3 kept), {format_size(len(TEXT))}",
    ]
    told = json.loads(listing("delete", "-n", "--json", "out.zip", "d/sub/", cwd=work))
    assert told["deleted"] == [
        {"name": name, "why": "d/sub/"} for name in ("d/sub/", "d/sub/x", "d/sub/y")
    ]
    assert (told["changes"], told["left_out"]) == ({**NOTHING, "deleted": 3}, [])
    assert [member["name"] for member in told["put_in"]] == IN_TREE[:4]
    assert parazip.delete("out.zip", ["d/sub/"]).changes == told["changes"]


def test_a_dry_run_tells_the_problems_that_there_would_be(work: Path) -> None:
    info = zipfile.ZipInfo("commented", MOMENT)
    info.comment = b"by a person"
    with zipfile.ZipFile("out.zip", "a") as archive:
        archive.writestr(info, b"")
    edit(work / "d/b", b"new")
    before = identity(work / "out.zip")
    assert_fails(run("update", "-n", "out.zip", "d", "gone", cwd=work), 1, "cannot read gone")
    for args in (["update", "out.zip", "d"], ["delete", "out.zip", "d/a"]):
        told = run(*args, cwd=work)
        assert_fails(told, 1, "cannot keep the comment of commented")
        assert run(args[0], "-n", *args[1:], cwd=work) == told
    assert identity(work / "out.zip") == before


@pytest.mark.parametrize("args", [["update", "out.zip", "d"], ["delete", "out.zip", "d/b"]])
def test_json_is_one_document_on_standard_output(work: Path, args: list[str]) -> None:
    edit(work / "d/b", b"new")
    command = [*COMMAND, args[0], "--json", *args[1:]]
    done = subprocess.run(command, cwd=work, capture_output=True, timeout=HUNG, check=True)
    told = json.loads(done.stdout)
    assert done.stderr == b""
    assert (told["archive"], told["dry_run"]) == ("out.zip", False)
    assert sum(told["changes"].values()) == 1
    assert told["members"] == len(names(work / "out.zip"))
    failed = subprocess.run(
        [*COMMAND, args[0], "--json", "out.zip", "gone"], cwd=work, capture_output=True, check=False
    )
    assert failed.returncode == 1
    assert len(json.loads(failed.stdout)["problems"]) == 1


@pytest.mark.parametrize("args", [["update", "out.zip", "d"], ["delete", "out.zip", "d/b"]])
def test_quiet_says_nothing(work: Path, args: list[str]) -> None:
    assert run(*args, "-q", cwd=work) == (0, "")


def test_help_tells_each_option_of_create(work: Path) -> None:
    text = " ".join(run("update", "--help", cwd=work).err.split())
    for option in (
        "-C", "-x", "--prefix", "--files-from", "--null", "--symlinks", "-l", "-0 to -9", "--codec",
        "-j", "--memory", "--timestamp", "--modes", "--prepend", "--shebang", "--progress", "-q",
    ):  # fmt: skip
        assert option in text
    text = run("delete", "--help", cwd=work).err
    assert "GLOB" in text
    assert "--progress" in text
    text = run("--help", cwd=work).err
    assert "update" in text
    assert "delete" in text


def test_the_public_functions_are_those_of_the_room() -> None:
    assert parazip.update is revision.update
    assert parazip.delete is revision.delete


def test_a_first_member_mimetype_stays_stored(tmp_path: Path) -> None:
    """Containers begin with it, and readers look for its text there (EPUB, OpenDocument)."""
    (tmp_path / "mimetype").write_bytes(b"short")
    (tmp_path / "b").write_bytes(b"b")
    parazip.create(tmp_path / "a.zip", ["mimetype", "b"], selection=Selection(directory=tmp_path))
    (tmp_path / "mimetype").write_bytes(b"application/vnd.oasis.opendocument.text " * 9)
    parazip.update(tmp_path / "a.zip", ["mimetype"], selection=Selection(directory=tmp_path))
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        first, second = archive.infolist()
        assert (first.filename, first.compress_type, first.extra) == ("mimetype", 0, b"")
        assert second.filename == "b"
        assert archive.testzip() is None


def test_an_archive_that_is_cut_off_while_it_is_read_is_told(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(work / "d/a", b"new")
    whole = (work / "out.zip").read_bytes()
    read = archives.read_at
    for moment in itertools.count():
        (work / "out.zip").write_bytes(whole)
        calls = itertools.count()

        def cut_off(
            file: Any, offset: int, length: int, moment: int = moment, calls: Any = calls
        ) -> bytes:
            if next(calls) == moment:
                os.truncate("out.zip", 20)
            return read(file, offset, length)

        monkeypatch.setattr(archives, "read_at", cut_off)
        try:
            parazip.update("out.zip", ["d"])
        except ParazipError:
            continue
        break
    assert moment > 5


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="where named pipes exist")
def test_an_archive_that_has_become_a_named_pipe_is_not_waited_for(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(work / "d/a", b"new")
    surroundings = archives.read_archive_surroundings

    def swapped(archive: Any) -> Surroundings:
        found = surroundings(archive)
        os.unlink("out.zip")
        os.mkfifo("out.zip")
        return found

    monkeypatch.setattr(archives, "read_archive_surroundings", swapped)
    with pytest.raises(SourceError, match="a named pipe"):
        parazip.update("out.zip", ["d"])


def records(name: bytes = b"x") -> bytes:
    """The bytes of an archive of one member."""
    made = io.BytesIO()
    parazip.write(made, [parazip.Member(name.decode(), b"front", 0o100644 << 16, DATE)])
    return made.getvalue()


FRONTS: dict[str, tuple[bytes, str]] = {
    "a script": (b"#!/bin/sh\nexit\n", ""),
    "a program with signatures": (b"\x7fELF" + bytes(300) + b"PK\3\4PK\5\6" + bytes(400), ""),
    "an archive": (records(), "[unlisted-record]"),
    "a record further on": (b"-" * (2 << 20) + records()[:40], "[unlisted-record]"),
    "a signature at the front": (b"PK\3\4" + bytes(60), "[unlisted-record]"),
    "an empty archive": (b"PK\5\6" + bytes(18), "[end-record-in-front]"),
}


@pytest.mark.parametrize("output", ["a file", "a pipe"])
@pytest.mark.parametrize("given", ["bytes", "a file", "a pipe"])
@pytest.mark.parametrize("case", FRONTS)
def test_what_is_put_in_front_is_told_if_merge_refuses_it(
    work: Path, case: str, given: str, output: str
) -> None:
    front, rule = FRONTS[case]
    prepend: Any = front
    if given == "a file":
        (work / "front").write_bytes(front)
        prepend = Path("front")
    elif given == "a pipe":
        if not hasattr(os, "mkfifo"):
            pytest.skip("there are no named pipes")
        os.mkfifo("front")
        prepend = "front"
        writer = threading.Thread(target=lambda: (work / "front").write_bytes(front))
        writer.start()
    if output == "a pipe":
        file = io.BytesIO()
        report = parazip.create(Pipe(file, "-"), ["d"], prepend=prepend)
        (work / "x.zip").write_bytes(file.getvalue())
    else:
        report = parazip.create("x.zip", ["d"], prepend=prepend)
    if given == "a pipe":
        writer.join()
    assert (work / "x.zip").read_bytes().startswith(front)
    assert names(work / "x.zip") == IN_TREE
    if rule:
        (note,) = report.notes
        assert rule in note
        with pytest.raises(BadArchiveError) as told:
            parazip.merge("y.zip", ["x.zip"])
        assert f"[{told.value.id}]" == rule
        with pytest.raises(BadArchiveError):
            parazip.delete("x.zip", ["d/a"])
    else:
        assert report.notes == ()
        parazip.delete("x.zip", ["d/a"])


def test_a_shebang_line_counts_in_front(work: Path) -> None:
    front = FRONTS["a signature at the front"][0]
    assert parazip.create("x.zip", ["d"], prepend=front, shebang="/bin/sh").notes == ()
    parazip.delete("x.zip", ["d/a"])
    report = parazip.update("x.zip", [], prepend=records(), shebang="/bin/sh")
    assert "at offset 10;" in " ".join(report.notes)
    assert (work / "x.zip").read_bytes().startswith(b"#!/bin/sh\nPK\3\4")


def test_all_that_cannot_be_kept_is_told_in_one_run(work: Path) -> None:
    with zipfile.ZipFile("odd.zip", "w") as archive:
        archive.writestr("bz", TEXT, zipfile.ZIP_BZIP2)
        archive.writestr("../up", TEXT)
        archive.writestr("plain", b"plain")
        archive.writestr("xz", TEXT, zipfile.ZIP_LZMA)
        for name in ("commented", "d/commented"):
            info = zipfile.ZipInfo(name, MOMENT)
            info.comment = b"by a person"
            archive.writestr(info, b"")
    edit(work / "d/b", b"new")
    for args in (["update", "odd.zip", "d/b"], ["delete", "odd.zip", "plain"]):
        told = run(*args, cwd=work)
        assert_fails(told, 1, "bz", "../up", "xz", "of commented", "of d/commented")
        assert len(told.err.splitlines()) == 5
    left = run("delete", "odd.zip", "bz", "xz", cwd=work)
    assert_fails(left, 1, "../up", "of commented", "of d/commented")
    assert len(left.err.splitlines()) == 3
    for line in told.err.splitlines():
        command = shlex.split(line.split("take it out with ")[1].split(", or change")[0])
        patterns = command[3:]
        assert len(patterns) == 1
    assert run("delete", "odd.zip", "bz", "xz", "../up", "commented", cwd=work).code == 0
    assert names(work / "odd.zip") == ["plain"]


def test_what_is_advised_takes_out_one_member_alone(work: Path) -> None:
    with zipfile.ZipFile("odd.zip", "w") as archive:
        archive.writestr("x", TEXT, zipfile.ZIP_BZIP2)
        archive.writestr("d/x", TEXT)
        archive.writestr("d/e/x", TEXT)
    done = run("delete", "odd.zip", "d/e/x", cwd=work)
    command = shlex.split(done.err.split("take it out with ")[1].split(", or change")[0])
    assert command == ["parazip", "delete", "odd.zip", "./x"]
    assert run(*command[1:], cwd=work).code == 0
    assert names(work / "odd.zip") == ["d/x", "d/e/x"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_of_two_members_of_one_name_one_can_be_kept_as_told(work: Path) -> None:
    with zipfile.ZipFile("dup it.zip", "w") as archive:
        for data in (b"first", b"last"):
            archive.writestr("a", data)
        archive.writestr("d/a", b"another")
    before = (work / "dup it.zip").read_bytes()
    done = run("update", "dup it.zip", "d/b", cwd=work)
    assert_fails(done, 1, "two members of the name a")
    assert (work / "dup it.zip").read_bytes() == before
    keeping = done.err.split("keep the last of two files with ")[1].split(" (without")[0]
    assert run(*shlex.split(keeping)[1:], cwd=work).code == 0
    assert contents(work / "dup it.zip") == {"a": b"last", "d/a": b"another"}
    (work / "dup it.zip").write_bytes(before)
    taking = done.err.split("take out all of that name with ")[1]
    assert run(*shlex.split(taking)[1:], cwd=work).code == 0
    assert contents(work / "dup it.zip") == {"d/a": b"another"}


@pytest.mark.parametrize("changes", ["ctime", "mtime", "size", "none"])
def test_the_archive_is_looked_at_whatever_shows_that_files_changed(
    work: Path, changes: Any
) -> None:
    """But inodes and change times that are unsteady are no matter where that is said of files."""

    def given_another_inode() -> None:
        shutil.copy2("out.zip", "other.zip")
        os.replace("other.zip", "out.zip")

    edit(work / "d/b", b"new")
    selection = Selection(changes=changes)
    due: list[Callable[[], object]] = [lambda: os.truncate("out.zip", 10), given_another_inode]
    for change in reversed(due):
        is_seen = changes == "ctime" or change is due[0]
        before = identity(work / "out.zip")
        try:
            parazip.update("out.zip", ["d"], None, selection, progress=when_written(change))
        except SourceChangedError:
            assert is_seen
        else:
            assert not is_seen
        if change is due[1]:
            (work / "out.zip").write_bytes(before[2])
    assert (work / "out.zip").stat().st_size == 10
