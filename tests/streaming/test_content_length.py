"""How long an archive will be, before it is made."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import parazip
from parazip import Settings, content_length, make_member, stream

MIB = 1 << 20
STORED = Settings(level=0)
LARGE = 1_100_000

SIZES = st.sampled_from([0, 1, 100, MIB - 1, MIB, MIB + 1, 2 * MIB, 9 * MIB + 1])


@given(
    members=st.lists(st.tuples(SIZES, st.booleans(), st.booleans()), max_size=5),
    level=st.sampled_from([0, 1, 6]),
    prepend=st.binary(max_size=20),
)
def test_it_is_as_long_as_what_is_streamed(
    members: list[tuple[int, bool, bool]], level: int, prepend: bytes
) -> None:
    def make() -> list[parazip.Member]:
        return [
            make_member(
                f"näme {number}",
                iter([bytes(size)]) if is_iterated else bytes(size),
                size=size,
                store=is_stored or not level,
            )
            for number, (size, is_iterated, is_stored) in enumerate(members)
        ]

    settings = Settings(level=level)
    length = content_length(make(), settings, prepend=prepend)
    if length is None:
        assert level
        assert any(size and not is_stored for size, _, is_stored in members)
    else:
        made = b"".join(stream(make(), settings, prepend=prepend))
        assert length == len(made)


@pytest.mark.parametrize("level", [0, 6])
def test_files_and_folders_count_by_their_sizes(tmp_path: Path, level: int) -> None:
    for name, size in (("a", 0), ("b", 10), ("c", LARGE)):
        (tmp_path / name).write_bytes(bytes(size))
    selection = parazip.Selection(store=("*",), directory=tmp_path, align=((4096, "c"),))
    arguments: tuple[Any, ...] = (["."], Settings(level=level), selection)
    made = b"".join(stream(*arguments, shebang="/bin/sh"))
    assert content_length(*arguments, shebang="/bin/sh") == len(made)


def test_a_member_of_4_gib_and_more_has_wide_numbers(tmp_path: Path) -> None:
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(5 << 30)
    for store in (False, True):
        members = [make_member("a", tmp_path / "sparse", store=store), make_member("b", b"b")]
        length = content_length(members, STORED)
        assert length is not None
        assert length > 5 << 30
    sized = make_member("a", itertools.repeat(b""), size=5 << 30)
    assert content_length([sized, make_member("b", b"b")], STORED) > 5 << 30  # type: ignore[operator]


@pytest.mark.slow
@pytest.mark.parametrize("store", [False, True])
def test_what_is_said_of_4_gib_and_more_is_so(tmp_path: Path, store: bool) -> None:
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate((4 << 30) + 5)
    members = [make_member("a", tmp_path / "sparse", store=store), make_member("b", b"b")]
    length = sum(len(chunk) for chunk in stream(members, STORED))
    assert content_length(members, STORED) == length


def test_nobody_knows_what_compressing_or_iterating_will_make() -> None:
    assert content_length([make_member("a", b"text")]) is None
    assert content_length([make_member("a", iter([b"text"]))], STORED) is None
    members = iter([make_member("a", b"a")])
    assert content_length(members, STORED) is None
    assert len([*members]) == 1
    assert content_length([make_member("a", b"")]) is not None
    assert content_length([]) == len(b"".join(stream([])))


def test_what_stream_refuses_it_refuses(tmp_path: Path) -> None:
    with pytest.raises(parazip.SourceError, match="nowhere"):
        content_length([tmp_path / "nowhere"], STORED)
    with pytest.raises(parazip.DuplicateMemberError):
        content_length([make_member("a", b""), make_member("a", b"")], STORED)
