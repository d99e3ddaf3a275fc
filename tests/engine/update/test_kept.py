"""What stays of the old archive, and what cannot be kept."""

from __future__ import annotations

import io
import os
import shlex
import shutil
import stat
import struct
import subprocess
import sys
import threading
import zipapp
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import parazip
from parazip import BadArchiveError, NotCopiedError, Selection
from parazip.format.reader import read_directory
from parazip.format.records import pack_central_header, pack_dos_date, pack_end_records
from parazip.format.refusals import Judge
from parazip.format.surroundings import Surroundings, read_surroundings
from parazip.format.values import Record
from parazip.output.stream import Pipe
from support.archives import contents_of, names_in
from support.command import COMMAND, assert_fails
from support.readers import programs, run_reader
from support.running import SHEBANG_PYTHON
from support.updating import (
    IN_TREE,
    MOMENT,
    NOTHING,
    PROGRAMS,
    TEXT,
    edit_file,
    plant_dated_files,
    run_change,
)

DATE = pack_dos_date(*MOMENT)

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
        edit_file(work / "d/b", b"new")
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
    edit_file(work / "d/b", b"new")
    parazip.update("out.zip", ["d"])
    assert stat.S_IMODE(os.stat("out.zip").st_mode) == mode
    parazip.delete("out.zip", ["d/b"])
    assert stat.S_IMODE(os.stat("out.zip").st_mode) == mode


def test_something_else_can_be_put_in_front(work: Path) -> None:
    (work / "out.zip").write_bytes(STUB + (work / "out.zip").read_bytes())
    (work / "boot").write_bytes(b"boot\n")
    assert run_change("update", "out.zip", "d", "--shebang", "/bin/sh", cwd=work).code == 0
    assert (work / "out.zip").read_bytes().startswith(b"#!/bin/sh\nPK\3\4")
    assert os.access("out.zip", os.X_OK)
    assert run_change("update", "out.zip", "d", "--prepend", "boot", cwd=work).code == 0
    assert (work / "out.zip").read_bytes().startswith(b"boot\nPK\3\4")
    assert names_in(work / "out.zip") == IN_TREE
    report = parazip.update("out.zip", [], prepend=b"")
    assert (work / "out.zip").read_bytes().startswith(b"PK\3\4")
    assert report.changes == NOTHING


def test_a_zipapp_runs_what_was_put_in(work: Path) -> None:
    plant_dated_files(
        work, {"app/__main__.py": b"import lib; print('ran', lib.ANSWER)", "app/lib.py": b""}
    )
    zipapp.create_archive("app", "app.pyz", SHEBANG_PYTHON, compressed=True)
    plant_dated_files(work, {"app/lib.py": b"ANSWER = 42"})
    assert run_change("update", "app.pyz", "-C", "app", ".", cwd=work).code == 0
    ran = subprocess.run(["./app.pyz"], capture_output=True, text=True, check=True, cwd=work)
    assert ran.stdout == "ran 42\n"


@pytest.mark.once
@pytest.mark.parametrize("boot", [[], ["--sh-boot"]], ids=["python", "sh"])
def test_a_pex_runs_what_was_put_in(work: Path, boot: list[str]) -> None:
    pytest.importorskip("pex.common", reason="pex is not installed")
    environment = {**os.environ, "PEX_ROOT": str(work / "root"), "PIP_NO_INDEX": "1"}
    plant_dated_files(work, {"src/thing.py": b"print('old')"})
    command = [*COMMAND, "pex", "-D", "src", "-m", "thing", "-o", "app.pex", *boot]
    command += ["--python-shebang", SHEBANG_PYTHON]
    subprocess.run(command, check=True, env=environment, cwd=work, capture_output=True)
    before = (work / "app.pex").read_bytes()
    edit_file(work / "src/thing.py", b"print('new')")
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
    done = run_change("update", "extra.zip", "d/b", cwd=work)
    assert done.code == 0
    assert "extra fields of 1 member were not kept: times (0x5455), the mark of a jar" in done.err
    with zipfile.ZipFile("extra.zip") as archive:
        assert [info.extra for info in archive.infolist()] == [b"", b"", b""]
    assert "not kept" not in run_change("delete", "extra.zip", "plain", cwd=work).err


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
    edit_file(work / "d/b", b"new")
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
    done = run_change("update", "odd.zip", "d/b", cwd=work)
    assert_fails(done, 1, told, "or change the archive with zip")
    advised = done.err.split("take it out with ")[1].split(", or change")[0]
    command = shlex.split(advised)
    assert command[0] == "parazip"
    assert run_change(*command[1:], cwd=work).code == 0
    assert names_in(work / "odd.zip") == ["plain", "other"]
    assert run_change("update", "odd.zip", "d/b", cwd=work).code == 0


def test_a_name_that_leads_out_can_be_taken_out_as_told(work: Path) -> None:
    with zipfile.ZipFile("odd.zip", "w") as archive:
        archive.writestr("../up", TEXT)
        archive.writestr("plain", b"plain")
    done = run_change("update", "odd.zip", "d/b", cwd=work)
    assert_fails(done, 1, "leads out", "parazip delete odd.zip ../up")
    assert run_change("delete", "odd.zip", "../up", cwd=work).code == 0
    assert names_in(work / "odd.zip") == ["plain"]


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
    if shutil.which(shlex.split(ZIPPERS[zipper])[0]) is None:
        pytest.skip(f"{zipper} is not installed")
    subprocess.run(["sh", "-c", ZIPPERS[zipper]], check=True, stdout=subprocess.DEVNULL)
    before = contents_of(work / "x.zip")
    with zipfile.ZipFile("x.zip") as archive:
        comment = archive.comment
    edit_file(work / "d/b", b"new")
    edit_file(work / "d/new", b"new")
    parazip.update("x.zip", ["d/b", "d/new"])
    parazip.delete("x.zip", ["d/sub"])
    assert contents_of(work / "x.zip") == {
        **{name: data for name, data in before.items() if not name.startswith("d/sub")},
        "d/b": b"new",
        "d/new": b"new",
    }
    with zipfile.ZipFile("x.zip") as archive:
        assert archive.comment == comment
    for name, program in programs().items():
        done = run_reader([program.command, *PROGRAMS[name], "x.zip"], cwd=work)
        assert done.returncode == 0, done.stdout


# The commands


def make_one_member_archive(name: bytes = b"x") -> bytes:
    """The bytes of an archive of one member."""
    made = io.BytesIO()
    parazip.write(made, [parazip.Member(name.decode(), b"front", 0o100644 << 16, DATE)])
    return made.getvalue()


FRONTS: dict[str, tuple[bytes, str]] = {
    "a script": (b"#!/bin/sh\nexit\n", ""),
    "a program with signatures": (b"\x7fELF" + bytes(300) + b"PK\3\4PK\5\6" + bytes(400), ""),
    "an archive": (make_one_member_archive(), "[unlisted-record]"),
    "a record further on": (b"-" * (2 << 20) + make_one_member_archive()[:40], "[unlisted-record]"),
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
    assert names_in(work / "x.zip") == IN_TREE
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
    report = parazip.update("x.zip", [], prepend=make_one_member_archive(), shebang="/bin/sh")
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
    edit_file(work / "d/b", b"new")
    for args in (["update", "odd.zip", "d/b"], ["delete", "odd.zip", "plain"]):
        told = run_change(*args, cwd=work)
        assert_fails(told, 1, "bz", "../up", "xz", "of commented", "of d/commented")
        assert len(told.err.splitlines()) == 5
    left = run_change("delete", "odd.zip", "bz", "xz", cwd=work)
    assert_fails(left, 1, "../up", "of commented", "of d/commented")
    assert len(left.err.splitlines()) == 3
    for line in told.err.splitlines():
        command = shlex.split(line.split("take it out with ")[1].split(", or change")[0])
        patterns = command[3:]
        assert len(patterns) == 1
    assert run_change("delete", "odd.zip", "bz", "xz", "../up", "commented", cwd=work).code == 0
    assert names_in(work / "odd.zip") == ["plain"]


def test_what_is_advised_takes_out_one_member_alone(work: Path) -> None:
    with zipfile.ZipFile("odd.zip", "w") as archive:
        archive.writestr("x", TEXT, zipfile.ZIP_BZIP2)
        archive.writestr("d/x", TEXT)
        archive.writestr("d/e/x", TEXT)
    done = run_change("delete", "odd.zip", "d/e/x", cwd=work)
    command = shlex.split(done.err.split("take it out with ")[1].split(", or change")[0])
    assert command == ["parazip", "delete", "odd.zip", "./x"]
    assert run_change(*command[1:], cwd=work).code == 0
    assert names_in(work / "odd.zip") == ["d/x", "d/e/x"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_of_two_members_of_one_name_one_can_be_kept_as_told(work: Path) -> None:
    with zipfile.ZipFile("dup it.zip", "w") as archive:
        for data in (b"first", b"last"):
            archive.writestr("a", data)
        archive.writestr("d/a", b"another")
    before = (work / "dup it.zip").read_bytes()
    done = run_change("update", "dup it.zip", "d/b", cwd=work)
    assert_fails(done, 1, "two members of the name a")
    assert (work / "dup it.zip").read_bytes() == before
    keeping = done.err.split("keep the last of two files with ")[1].split(" (without")[0]
    assert run_change(*shlex.split(keeping)[1:], cwd=work).code == 0
    assert contents_of(work / "dup it.zip") == {"a": b"last", "d/a": b"another"}
    (work / "dup it.zip").write_bytes(before)
    taking = done.err.split("take out all of that name with ")[1]
    assert run_change(*shlex.split(taking)[1:], cwd=work).code == 0
    assert contents_of(work / "dup it.zip") == {"d/a": b"another"}
