"""Several members of one name: which is kept, and what is refused."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

import parazip
from parazip import DuplicateMemberError, NotCopiedError
from parazip.sources.merging import ON_DUPLICATE, OnDuplicate
from support.archives import contents_of, names_in, open_archive
from support.command import assert_fails
from support.merging import BZIP2, DEFLATED, STORED, TEXT, attributes_in, run_merge, write_archive
from support.paths import plant_files

ONE, OTHER = b"contents that are the same", b"contents that are other ones"

SWAPPED = ONE[::-1]
assert len(SWAPPED) == len(ONE)


class Twins(NamedTuple):
    """Two sources that have a member `n` each, and what becomes of it.

    Attributes:
        first: contents of `n` in the first source.
        second: in the second one.
        kinds: what they are: archive or folder.
        same: whether "same" allows it.
    """

    first: bytes
    second: bytes
    kinds: str
    same: bool


TWINS = {
    f"{what}, {kinds}": Twins(ONE, second, kinds, second == ONE)
    for kinds in ("zip and zip", "zip and tree", "tree and zip", "tree and tree", "zip and stored")
    for what, second in (("equal", ONE), ("of one size", SWAPPED), ("of two sizes", OTHER))
}


def make_twin(work: Path, name: str, kind: str, members: Mapping[str, bytes]) -> Path:
    if kind == "tree":
        return plant_files(work / name, members)
    return write_archive(work / f"{name}.zip", members, STORED if kind == "stored" else DEFLATED)


@pytest.mark.parametrize("policy", ON_DUPLICATE)
@pytest.mark.parametrize("case", TWINS)
def test_duplicates(tmp_path: Path, case: str, policy: OnDuplicate) -> None:
    first, second, kinds, same = TWINS[case]
    one, _, other = kinds.partition(" and ")
    sources = [
        make_twin(tmp_path, "one", one, {"1": b"", "n": first, "o": b""}),
        make_twin(tmp_path, "other", other, {"3": b"", "n": second, "p": b""}),
    ]
    out = tmp_path / "out.zip"
    if policy == "error" or (policy == "same" and not same):
        with pytest.raises(DuplicateMemberError) as error:
            parazip.merge(out, sources, on_duplicate=policy)
        assert error.value.member == "n"
        for told in (*map(str, sources), "--exclude", "NAME/=SOURCE", "--on-duplicate"):
            assert told in str(error.value)
        assert not out.exists()
        return
    parazip.merge(out, sources, on_duplicate=policy)
    if policy == "last":
        assert list(contents_of(out).items()) == [
            ("1", b""), ("o", b""), ("3", b""), ("n", second), ("p", b""),
        ]  # fmt: skip
    else:
        assert list(contents_of(out).items()) == [
            ("1", b""), ("n", first), ("o", b""), ("3", b""), ("p", b""),
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("policy", "code", "expected"),
    [
        ("error", 1, b""),
        ("same", 1, b""),
        ("first", 0, b"one"),
        ("last", 0, b"three"),
        (None, 1, b""),
    ],
)
def test_the_command_asks_what_to_do_with_duplicates(
    tmp_path: Path, policy: str | None, code: int, expected: bytes
) -> None:
    for text in ("one", "two", "three"):
        write_archive(tmp_path / f"{text}.zip", {"n": text.encode(), text: b""})
    option = [f"--on-duplicate={policy}"] if policy else []
    done = run_merge(*option, "out.zip", "one.zip", "two.zip", "three.zip", cwd=tmp_path)
    if code:
        told = "two members would have the name n: n in one.zip and n in two.zip"
        assert_fails(done, code, told, "--on-duplicate")
        assert not (tmp_path / "out.zip").exists()
    else:
        assert done.code == 0, done.err
        assert contents_of(tmp_path / "out.zip")["n"] == expected


def test_the_first_of_equal_members_is_the_one_that_is_kept(tmp_path: Path) -> None:
    write_archive(tmp_path / "deflated.zip", {"n": TEXT}, DEFLATED, {"n": 0o100600 << 16})
    write_archive(tmp_path / "stored.zip", {"n": TEXT}, STORED, {"n": 0o100755 << 16})
    for pair, method, mode in (
        (("deflated.zip", "stored.zip"), DEFLATED, 0o600),
        (("stored.zip", "deflated.zip"), STORED, 0o755),
    ):
        sources = [tmp_path / name for name in pair]
        parazip.merge(tmp_path / "out.zip", sources, on_duplicate="same")
        with open_archive(tmp_path / "out.zip") as archive:
            (info,) = archive.infolist()
        assert info.compress_type == method
        assert stat.S_IMODE(info.external_attr >> 16) == mode


@pytest.mark.parametrize("policy", ON_DUPLICATE)
def test_folders_may_come_any_number_of_times(tmp_path: Path, policy: OnDuplicate) -> None:
    modes = {"d/": 0o040700 << 16 | 0x10}
    write_archive(tmp_path / "one.zip", {"d/": b"", "d/e/": b"", "1": b""}, modes=modes)
    write_archive(tmp_path / "two.zip", {"2": b"", "d/": b"", "d/e/": b"", "d/e/x": b""})
    plant_files(tmp_path / "tree", {"d/e/y": b"", "d/f/": b""})
    sources = [tmp_path / name for name in ("one.zip", "tree", "two.zip", "tree/d/..")]
    parazip.merge(tmp_path / "out.zip", sources[:3], on_duplicate=policy)
    assert names_in(tmp_path / "out.zip") == ["d/", "d/e/", "1", "d/e/y", "d/f/", "2", "d/e/x"]
    assert attributes_in(tmp_path / "out.zip")["d/"] == modes["d/"]


@pytest.mark.parametrize("policy", ON_DUPLICATE)
@pytest.mark.parametrize("kinds", ["zip and zip", "tree and zip", "zip and tree", "tree and tree"])
@pytest.mark.parametrize("first", ["file", "folder"])
def test_a_file_and_a_folder_of_one_name_are_always_refused(
    tmp_path: Path, kinds: str, policy: OnDuplicate, first: str
) -> None:
    one, _, other = kinds.partition(" and ")
    members: list[dict[str, bytes]] = [{"n": b"file"}, {"n/": b"", "n/x": b"in it"}]
    if first == "folder":
        members.reverse()
    sources = [
        make_twin(tmp_path, "one", one, members[0]),
        make_twin(tmp_path, "two", other, members[1]),
    ]
    with pytest.raises(DuplicateMemberError) as error:
        parazip.merge(tmp_path / "out.zip", sources, on_duplicate=policy)
    assert "two members would have the name n: " in str(error.value)
    for path, kind in zip(sources, (one, other), strict=True):
        assert kind == "tree" or str(path) in str(error.value)
    assert not (tmp_path / "out.zip").exists()


def test_a_file_and_a_folder_of_one_name_can_be_kept_apart_as_told(tmp_path: Path) -> None:
    write_archive(tmp_path / "one.zip", {"n": b"file"})
    write_archive(tmp_path / "two.zip", {"n/": b""})
    done = run_merge("out.zip", "one.zip", "two.zip", cwd=tmp_path)
    assert_fails(done, 1, "NAME/=SOURCE")
    assert "--prefix" not in done.err


@pytest.mark.parametrize("order", [("one.zip", "two.zip"), ("two.zip", "one.zip")])
def test_a_file_where_another_member_needs_a_folder_is_refused(
    tmp_path: Path, order: tuple[str, str]
) -> None:
    """Nobody can take out both `n` and `n/x`."""
    write_archive(tmp_path / "one.zip", {"n": b"file"})
    write_archive(tmp_path / "two.zip", {"n/x": b"in a folder"})
    with pytest.raises(DuplicateMemberError):
        parazip.merge(tmp_path / "out.zip", [tmp_path / name for name in order])


@pytest.mark.parametrize(("choice", "order"), [("first", ["a", "b"]), ("last", ["b", "a"])])
def test_a_duplicate_that_is_dropped_need_not_be_one_that_can_be_copied(
    tmp_path: Path, choice: OnDuplicate, order: list[str]
) -> None:
    write_archive(tmp_path / "a", {"x": TEXT})
    write_archive(tmp_path / "b", {"x": TEXT}, {"x": BZIP2})
    sources = [tmp_path / name for name in order]
    parazip.merge(tmp_path / "out.zip", sources, on_duplicate=choice)
    assert contents_of(tmp_path / "out.zip") == {"x": TEXT}
    with pytest.raises(NotCopiedError, match="method 12"):
        parazip.merge(tmp_path / "out.zip", reversed(sources), on_duplicate=choice)
