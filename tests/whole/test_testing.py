"""The public fakes: files that take little, fail or keep no zeros."""

from __future__ import annotations

import errno
import io
import zipfile
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parazip.testing import FailingOutput, InlineExecutor, ShortOutput, SparseOutput

PAGE = 64 << 10

Step: TypeAlias = tuple[str, int, int]

_LENGTHS = st.sampled_from([0, 1, 2, PAGE - 1, PAGE, PAGE + 1, 3 * PAGE])

_STEPS = st.tuples(
    st.sampled_from(["write", "zeros", "read", "set", "relative", "from end", "truncate"]),
    st.sampled_from([0, 1, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE + 7]),
    _LENGTHS,
)


def _do(file: io.BufferedIOBase, step: Step) -> object:
    what, place, length = step
    match what:
        case "write":
            return file.write(b"x" * length)
        case "zeros":
            return file.write(memoryview(bytes(length)))
        case "read":
            return file.read(length)
        case "set":
            return file.seek(place)
        case "relative":
            return file.seek(place, 1)
        case "from end":
            return file.seek(place, 2)
        case _:
            return file.truncate(place)


@given(st.lists(_STEPS, max_size=12))
def test_sparse_output_does_what_bytesio_does(steps: list[Step]) -> None:
    sparse, plain = SparseOutput(), io.BytesIO()
    for step in steps:
        if step[0] == "truncate" and step[1] > len(plain.getvalue()):
            # BytesIO alone among files does not grow when it is truncated to more than it has.
            position = plain.tell()
            plain.seek(0, 2)
            plain.write(bytes(step[1] - plain.tell()))
            plain.seek(position)
        assert _do(sparse, step) == _do(plain, step)
        assert sparse.tell() == plain.tell()
    sparse.seek(0)
    assert sparse.read() == plain.getvalue()
    assert sparse.size == len(plain.getvalue())


def test_sparse_output_keeps_no_zeros() -> None:
    output = SparseOutput()
    for _ in range(64):
        output.write(bytes(1 << 20))
    assert (output.size, output.kept) == (64 << 20, 0)
    output.seek(1 << 40)
    output.write(b"far")
    assert (output.size, output.kept) == ((1 << 40) + 3, PAGE)
    output.seek(-4, 2)
    assert output.read() == b"\0far"


@pytest.mark.parametrize(("offset", "whence"), [(-1, 0), (-1, 1), (-1, 2), (0, 3)])
def test_sparse_output_refuses_impossible_seeks(offset: int, whence: int) -> None:
    with pytest.raises(ValueError, match=r"negative position|whence"):
        SparseOutput().seek(offset, whence)


def test_sparse_output_refuses_a_negative_size() -> None:
    with pytest.raises(ValueError, match="negative size"):
        SparseOutput().truncate(-1)


def test_sparse_output_holds_an_archive_that_zipfile_writes_and_reads() -> None:
    output = SparseOutput()
    with zipfile.ZipFile(output, "w") as archive:
        archive.writestr("a", bytes(3 << 20))
        archive.writestr("b", b"text")
    with zipfile.ZipFile(output) as archive:
        assert archive.testzip() is None
        assert archive.read("b") == b"text"
    assert output.kept < 4 * PAGE


def test_failing_output_fails_once_and_counts_on() -> None:
    file = io.BytesIO()
    output = FailingOutput(file, 2, OSError(errno.ENOSPC, "full"), ("write", "flush"))
    assert output.write(b"ab") == 2
    assert (output.seek(0), output.tell(), output.truncate(1)) == (0, 0, 1)
    with pytest.raises(OSError, match="full"):
        output.flush()
    output.write(b"cd")
    assert (output.calls, file.getvalue(), output.seekable()) == (3, b"cd", True)


def test_short_output_takes_one_bite() -> None:
    file = io.BytesIO()
    output = ShortOutput(file, 3)
    assert [output.write(b"abcdef"), output.write(b"gh")] == [3, 2]
    assert file.getvalue() == b"abcgh"


def test_inline_executor_runs_at_once_and_keeps_errors_for_the_result() -> None:
    executor = InlineExecutor()
    ran: list[str] = []
    good = executor.submit(ran.append, "now")
    bad = executor.submit(int, "no number")
    assert ran == ["now"]
    assert good.done()
    assert isinstance(bad.exception(), ValueError)


def test_inline_executor_lets_ctrl_c_through() -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        InlineExecutor().submit(interrupted)
