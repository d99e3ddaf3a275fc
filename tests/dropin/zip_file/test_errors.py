"""When something goes wrong: what was whole before stays."""

from __future__ import annotations

import errno
import io
import itertools
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

import parazip
from parazip.dropin import handle
from parazip.testing import FailingOutput
from support.paths import make_noise
from support.zip_file import MIB, make_text_lines


def write_members(archive: zipfile.ZipFile) -> Iterator[str]:
    for i in range(3):
        archive.writestr(f"{i}", make_text_lines(700_000, i))
        yield f"{i}"
    with archive.open("cut", "w") as target:
        for i in range(4):
            target.write(make_text_lines(MIB, i))
    yield "cut"
    archive.mkdir("folder")
    yield "folder/"
    archive.writestr("last", b"last")
    yield "last"


@pytest.mark.parametrize("operation", ["write", "seek", "tell"])
@pytest.mark.parametrize("memory", [MIB, 64 * MIB])
def test_an_output_that_fails_once_is_told_of_and_holds_whole_members(
    operation: str, memory: int
) -> None:
    for n in itertools.count(1):
        file = io.BytesIO()
        output: Any = FailingOutput(file, n, OSError(errno.ENOSPC, "full"), operations=[operation])
        with suppress(OSError):
            archive = parazip.ZipFile(output, "w", level=1, memory=memory)
            if output.calls >= n:  # zipfile takes it for an output that cannot seek
                archive.close()
                continue
            asked: list[str] = []
            with suppress(OSError):
                asked.extend(write_members(archive))
            has_failed = output.calls >= n
            archive.close()
            with zipfile.ZipFile(file) as stock:
                assert stock.testzip() is None
                assert stock.namelist() == archive.namelist()
                assert len(asked) <= len(stock.namelist()) <= 6
            if not has_failed:
                break
    assert n > 8


def test_after_an_error_the_archive_can_be_gone_on_with() -> None:
    file = io.BytesIO()
    output: Any = FailingOutput(file, 13, OSError(errno.ENOSPC, "full"), operations=["write"])
    archive = parazip.ZipFile(output, "w", level=1, memory=4 * MIB)

    def put() -> None:
        for i in range(30):
            archive.writestr(f"{i}", make_text_lines(MIB, i))

    with pytest.raises(OSError, match="full"):
        put()
    kept = archive.namelist()
    assert len(kept) == 12
    archive.writestr("after", make_text_lines(200_000))
    assert archive.getinfo("after").compress_size > 0
    archive.close()
    with zipfile.ZipFile(file) as stock:
        assert stock.namelist() == [*kept, "after"]
        assert stock.testzip() is None


def test_a_full_disk_keeps_each_member_that_fits() -> None:
    class Full(io.BytesIO):
        def write(self, data: Any, /) -> int:
            if self.tell() + len(data) > 500_000:
                raise OSError(errno.ENOSPC, "full")
            return super().write(data)

    output = Full()
    archive = parazip.ZipFile(output, "w")
    with pytest.raises(OSError, match="full"):
        list(map(archive.writestr, map(str, range(100, 200)), itertools.repeat(make_noise(9_900))))
    archive.close()
    with zipfile.ZipFile(output) as stock:
        assert len(stock.namelist()) == 500_000 // (9_900 + 33)
        assert stock.testzip() is None


def test_an_error_of_a_worker_is_raised_and_what_was_before_it_is_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compress = handle._compress_task

    def compress_until(piece: Any) -> Any:
        if piece.start == 2 * MIB:
            raise MemoryError
        return compress(piece)

    output = io.BytesIO()
    with parazip.ZipFile(output, "w", level=6) as archive:
        archive.writestr("0", make_text_lines(3 * MIB))
        monkeypatch.setattr(handle, "_compress_task", compress_until)
        with pytest.raises(MemoryError):
            archive.writestr("1", make_text_lines(9 * MIB, 1))
        archive.writestr("2", make_text_lines(MIB, 2))
    with zipfile.ZipFile(output) as stock:
        assert stock.namelist() == ["0", "2"]
        assert stock.testzip() is None


@pytest.mark.parametrize(("size", "is_in"), [(10, True), (3 * MIB, False)])
def test_an_error_of_progress_is_raised(size: int, is_in: bool) -> None:
    """A member is in if it was told to be finished; one of which a part was told is not."""

    def told(moment: parazip.Progress) -> None:
        assert (moment.members == 1) == is_in
        raise LookupError(moment.current)

    output = io.BytesIO()
    with parazip.ZipFile(output, "w", level=1, progress=told) as archive:
        with pytest.raises(LookupError, match="a"):
            archive.writestr("a", make_text_lines(size))
        assert archive.testzip() is None
    with zipfile.ZipFile(output) as stock:
        assert stock.namelist() == ["a"] * is_in
