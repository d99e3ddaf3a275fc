"""The table of `dropin.journal` is what happens."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest

import parazip
from parazip.dropin import journal
from parazip.dropin.handle import MemberWriter
from parazip.dropin.journal import (
    BEGUN,
    COUNTED,
    DONE,
    FAILED,
    HELD,
    NEXT_STATES,
    READY,
    TORN,
    State,
)

NOISE = os.urandom(3 << 20)

STORED = zipfile.ZipInfo("stored")
"""What it gets is written by the very call that brings it; blocks that are deflated come later."""


class FullDisk(io.BytesIO):
    """Takes so many bytes and no more."""

    room = 1 << 30

    def write(self, data: Any, /) -> int:
        if self.tell() + len(data) > self.room:
            raise OSError(28, "No space left on device")
        return super().write(data)


def state_of(archive: zipfile.ZipFile) -> State:
    known: journal.Journal = vars(archive)["_parazip_journal"]
    member = known.member()
    return member.state if member is not None and member.state.is_open else known.at_rest


def put_by_all_ways(archive: Any, output: FullDisk) -> None:
    archive.writestr("short", b"1")
    archive.writestr("large", NOISE)
    with archive.open("begun at once", "w") as member:
        member.write(b"1")
    with archive.open("looked at", "w") as member:
        member.write(NOISE)
        assert archive.fp.tell() > 0
    held = archive.open("forgotten", "w")
    del held
    archive.open("abandoned", "w").abandon()
    for begun in (True, False):
        member = archive.open(STORED, "w")
        output.room = 0
        if begun:
            with pytest.raises(OSError, match="No space"):
                member.write(NOISE)
        with pytest.raises(OSError, match="No space"):
            member.close()
        output.room = 1 << 30
    member = archive.open(STORED, "w")
    output.room = 0
    with pytest.raises(OSError, match="No space"):
        member.write(NOISE)
    member.abandon()
    output.room = 1 << 30
    archive.writestr("last", b"1")


def test_members_go_from_state_to_state_as_the_table_says(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[tuple[State, State]] = set()

    def note(member: MemberWriter, name: str, value: Any) -> None:
        if name == "state":
            assert value in NEXT_STATES[member.state] or value is member.state is DONE
            seen.add((member.state, value))
        object.__setattr__(member, name, value)

    monkeypatch.setattr(MemberWriter, "__setattr__", note)
    output = FullDisk()
    with parazip.ZipFile(output, "w", level=1) as archive:
        put_by_all_ways(archive, output)
    with zipfile.ZipFile(output) as standard:
        assert standard.testzip() is None
        assert "stored" not in standard.namelist()
        assert "abandoned" not in standard.namelist()
    with parazip.ZipFile(tmp_path / "a.zip", "w", level=1) as archive:
        archive.open("abandoned while it is held", "w").abandon()  # type: ignore[attr-defined] # ours
        with pytest.raises(TypeError), archive.open("nothing", "w") as member:
            member.write(3)  # type: ignore[call-overload] # which is no failure of the archive's
    rare = {(HELD, FAILED), (journal.NEW, DONE)}  # no memory; an exception out of `open`
    assert seen >= {(old, new) for old, after in NEXT_STATES.items() for new in after} - rare


def test_what_is_behind_the_end_makes_an_archive_torn() -> None:
    output = FullDisk()
    with parazip.ZipFile(output, "w", level=1) as archive:
        assert state_of(archive) is READY
        member: Any = archive.open(STORED, "w")
        assert state_of(archive) is BEGUN
        output.room = 0
        with pytest.raises(OSError, match="No space"):
            member.write(NOISE)
        assert state_of(archive) is FAILED
        with pytest.raises(OSError, match="No space"):
            member.write(b"more")
        with pytest.raises(OSError, match="No space"):
            member.close()
        assert state_of(archive) is TORN
        output.room = 1 << 30
        archive.writestr("b", b"1")
        assert state_of(archive) is READY
    with zipfile.ZipFile(output) as standard:
        assert standard.namelist() == ["b"]


@pytest.mark.parametrize(
    "state", [each for each in NEXT_STATES if each.is_open], ids=lambda state: state.name
)
def test_while_a_member_is_open_nothing_else_is_done(state: State) -> None:
    output = FullDisk()
    archive = parazip.ZipFile(output, "w", level=1)
    archive.writestr("first", b"1")
    member: Any = archive.open("a", "w")
    member.state = state
    for call in (
        lambda: archive.writestr("b", b"1"),
        lambda: archive.mkdir("b"),
        lambda: archive.write(__file__),
        lambda: archive.open("b", "w"),
        lambda: archive.read("first"),
        archive.close,
    ):
        with pytest.raises(ValueError, match="writ"):
            call()
    member.state = BEGUN
    member.close()
    with pytest.raises(ValueError, match="closed"):
        member.write(b"1")
    archive.close()


def test_progress_is_told_before_another_member_may_be_put_in() -> None:
    states: list[State] = []
    archives: list[zipfile.ZipFile] = []
    archive = parazip.ZipFile(
        io.BytesIO(), "w", progress=lambda progress: states.append(state_of(archives[0]))
    )
    archives.append(archive)
    archive.writestr("a", b"1")
    archive.close()
    assert states == [COUNTED]


class FullFile(io.FileIO):
    """A file on a disk that may be full: a buffer above it keeps what it could not write."""

    room = 1 << 30

    def write(self, data: Any, /) -> int:
        if self.tell() + len(data) > self.room:
            raise OSError(28, "No space left on device")
        return super().write(data)


@pytest.mark.parametrize("failures", [1, 2, 3])
@pytest.mark.parametrize("goes_on", [False, True])
def test_nothing_is_left_behind_the_archive_once_the_disk_has_room_again(
    tmp_path: Path, failures: int, goes_on: bool
) -> None:
    raw = FullFile(tmp_path / "a.zip", "w+")
    with io.BufferedRandom(raw) as output, parazip.ZipFile(output, "w") as archive:
        archive.writestr("before", b"1")
        raw.room = 0
        for i in range(failures):
            with pytest.raises(OSError, match="No space"):
                archive.writestr(f"lost {i}", NOISE[: 2 << 10])
        raw.room = 1 << 30
        if goes_on:
            archive.writestr("after", b"1")
    with zipfile.ZipFile(tmp_path / "a.zip") as standard:
        assert standard.testzip() is None
        assert standard.namelist() == ["before", "after"][: 1 + goes_on]
    assert (tmp_path / "a.zip").read_bytes().rindex(b"PK\5\6") + 22 == os.path.getsize(
        tmp_path / "a.zip"
    )
