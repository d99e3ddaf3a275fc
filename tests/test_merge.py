"""Archives and folders become one: `parazip.merge`, and the command of that name."""

from __future__ import annotations

import io
import json
import os
import re
import resource
import shlex
import stat
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import parazip
from parazip import (
    BadArchiveError,
    DuplicateMemberError,
    NotCopiedError,
    ParazipError,
    Progress,
    Selection,
    Settings,
    SettingsError,
    SourceChangedError,
    SourceError,
)
from parazip.cli import commands as command
from parazip.contents import RANGE
from parazip.merging import ON_DUPLICATE, OnDuplicate, Source
from patience import HUNG
from readers import PYTHONS, programs, pythons
from readers import run as run_reader

COMMAND = [sys.executable, "-m", "parazip"]
MOMENT = (2021, 3, 4, 5, 6, 8)
FILE, FOLDER, LINK = 0o100644 << 16, 0o040755 << 16 | 0x10, 0o120777 << 16
STORED, DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
TEXT = b"".join(b"line %d of a text that shrinks\n" % i for i in range(3000))


class Done(NamedTuple):
    code: int
    out: bytes
    err: str


def run(*args: str | Path, cwd: Path, env: Mapping[str, str] | None = None, **popen: Any) -> Done:
    kept = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
    done = subprocess.run(
        [*COMMAND, "merge", *map(str, args)],
        cwd=cwd,
        env={**kept, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=popen.pop("stdout", subprocess.PIPE),
        stderr=subprocess.PIPE,
        timeout=HUNG,
        check=False,
        **popen,
    )
    return Done(done.returncode, done.stdout or b"", done.stderr.decode())


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """As `run`, in this process: for tables of many command lines."""
    monkeypatch.setattr(command, "_taking_kill_for_interrupt", nullcontext)
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)

    def called(*args: str, cwd: Path) -> Done:
        monkeypatch.chdir(cwd)
        monkeypatch.setattr(sys, "argv", ["parazip", "merge", *args])
        with pytest.raises(SystemExit) as done:
            command.main()
        out, err = capfd.readouterr()
        assert isinstance(done.value.code, int)
        return Done(done.value.code, out.encode(), err)

    return called


def assert_fails(done: Done, code: int, *told: str) -> None:
    """A clear message and the right code, and nothing of Python's inside."""
    assert done.code == code, done.err
    assert "Traceback" not in done.err
    assert "Exception ignored" not in done.err
    for text in told:
        assert text in done.err


def opened(archive: Path | bytes) -> zipfile.ZipFile:
    data = archive if isinstance(archive, bytes) else archive.read_bytes()
    return zipfile.ZipFile(io.BytesIO(data))


def contents(archive: Path | bytes) -> dict[str, bytes]:
    with opened(archive) as read:
        assert read.testzip() is None
        names = read.namelist()
        assert len(set(names)) == len(names)
        return {name: read.read(name) for name in names}


def names(archive: Path | bytes) -> list[str]:
    return list(contents(archive))


def attributes(archive: Path | bytes) -> dict[str, int]:
    with opened(archive) as read:
        return {info.filename: info.external_attr for info in read.infolist()}


def put(
    path: Path,
    members: Mapping[str, bytes],
    method: int | Mapping[str, int] = DEFLATED,
    modes: Mapping[str, int] | None = None,
) -> Path:
    """An archive by zipfile; one method for all, or those of some, with deflate for the others."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo(name, MOMENT)
            default = FOLDER if info.is_dir() else FILE
            info.external_attr = (modes or {}).get(name, default)
            of_member = method if isinstance(method, int) else method.get(name, DEFLATED)
            info.compress_type = STORED if info.is_dir() else of_member
            archive.writestr(info, data)
    return path


def plant(folder: Path, files: Mapping[str, bytes]) -> Path:
    """A folder of files, and of folders where names end with a slash."""
    for name, data in files.items():
        path = folder / name
        (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            path.write_bytes(data)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def listing(folder: Path) -> dict[str, bytes | None]:
    """All that stands below a folder; None for what is no file."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


A = {"a.txt": TEXT, "d/": b"", "d/x": b"of a"}
B = {"b.txt": TEXT[:500], "d/": b"", "d/y": b"of b"}
TREE = {"d/z": b"of tree", "empty/": b"", "t.txt": TEXT[:9000]}
ODD = {"odd": b"1"}
IN_A, IN_B, IN_TREE = list(A), list(B), ["d/", "d/z", "empty/", "t.txt"]


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A working folder with some archives and a tree."""
    work = tmp_path / "work"
    put(work / "a.zip", A)
    put(work / "b.zip", B, STORED)
    put(work / "o" / "=odd.zip", ODD)
    plant(work / "tree", TREE)
    return work


# Names and order


def source(text: str) -> Source:
    name, given, path = text.partition("/=")
    return (name, path) if given else text


def below(prefix: str, inside: list[str]) -> list[str]:
    return [prefix + name for name in inside]


SOURCES: dict[str, tuple[list[str], list[str]]] = {
    "an archive": (["a.zip"], IN_A),
    "two archives": (["a.zip", "b.zip"], [*IN_A, "b.txt", "d/y"]),
    "the other way round": (["b.zip", "a.zip"], [*IN_B, "a.txt", "d/x"]),
    "a folder": (["tree"], IN_TREE),
    "a folder with a slash": (["tree/"], IN_TREE),
    "a folder between": (
        ["a.zip", "tree", "b.zip"],
        [*IN_A, "d/z", "empty/", "t.txt", "b.txt", "d/y"],
    ),
    "a folder first": (["tree", "a.zip"], [*IN_TREE, "a.txt", "d/x"]),
    "a folder in a folder": (["o"], ["=odd.zip"]),
    "below a name": (["lib/=a.zip"], below("lib/", IN_A)),
    "below a name that is long": (["x/y/z/=a.zip"], below("x/y/z/", IN_A)),
    "below a name with dots": (["./x/./y/=a.zip"], below("x/y/", IN_A)),
    "a folder below a name": (["t/=tree"], below("t/", IN_TREE)),
    "below no name": (["/=a.zip"], IN_A),
    "a path with /= in it": (["/=o/=odd.zip"], ["odd"]),
    "the same below a name": (["n/=o/=odd.zip"], ["n/odd"]),
    "one archive twice": (["p/=a.zip", "q/=a.zip"], below("p/", IN_A) + below("q/", IN_A)),
    "below a name that is there": (
        ["a.zip", "d/=b.zip"],
        [*IN_A, "d/b.txt", "d/d/", "d/d/y"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SOURCES)
def test_members_come_in_the_order_of_their_sources(
    work: Path, call: Callable[..., Done], case: str
) -> None:
    args, expected = SOURCES[case]
    done = call("out.zip", *args, cwd=work)
    assert (done.code, done.out) == (0, b""), done.err
    assert names(work / "out.zip") == expected
    report = parazip.merge("api.zip", [source(text) for text in args])
    assert (work / "api.zip").read_bytes() == (work / "out.zip").read_bytes()
    assert (report.archive, report.members) == ("api.zip", len(expected))


def test_paths_are_taken_relative_to_a_directory(work: Path) -> None:
    assert run("-C", "o", "out.zip", "n/==odd.zip", "../a.zip", cwd=work).code == 0
    assert names(work / "out.zip") == ["n/odd", *IN_A]
    selection = Selection(directory=work)
    parazip.merge(work / "api.zip", ["a.zip", ("t", "tree"), work / "b.zip"], selection=selection)
    assert names(work / "api.zip") == [*IN_A, *below("t/", IN_TREE), "b.txt", "d/y"]


def test_contents_are_what_the_sources_had(work: Path) -> None:
    parazip.merge(work / "out.zip", [work / "tree", work / "a.zip", ("b", work / "b.zip")])
    inside = {f"b/{name}": data for name, data in B.items()}
    assert contents(work / "out.zip") == {**TREE, "d/": b"", **A, **inside}


def test_what_folders_hold_is_compressed_at_the_level_asked_for(work: Path) -> None:
    for level, method in ((0, STORED), (6, DEFLATED)):
        assert run(f"-{level}", "out.zip", "tree", "a.zip", "b.zip", cwd=work).code == 0
        with opened(work / "out.zip") as archive:
            assert archive.getinfo("t.txt").compress_type == method
            assert archive.getinfo("a.txt").compress_type == DEFLATED
            assert archive.getinfo("b.txt").compress_type == STORED


def test_a_prefix_of_the_selection_stands_in_front_of_all(work: Path) -> None:
    selection = Selection(directory=work, prefix="all")
    parazip.merge(work / "out.zip", ["a.zip", ("t", "tree")], selection=selection)
    assert names(work / "out.zip") == below("all/", IN_A) + below("all/t/", IN_TREE)


def test_links_in_folders_are_followed_or_stored(work: Path) -> None:
    (work / "tree" / "link").symlink_to("t.txt")
    parazip.merge(work / "out.zip", [work / "tree"])
    assert contents(work / "out.zip")["link"] == TREE["t.txt"]
    parazip.merge(work / "out.zip", [work / "tree"], selection=Selection(symlinks="store"))
    assert contents(work / "out.zip")["link"] == b"t.txt"
    assert attributes(work / "out.zip")["link"] == LINK
    parazip.merge(work / "again.zip", [work / "out.zip"])
    assert contents(work / "again.zip")["link"] == b"t.txt"
    assert attributes(work / "again.zip")["link"] == LINK


def test_sources_may_be_links(work: Path) -> None:
    (work / "to a.zip").symlink_to("a.zip")
    (work / "to tree").symlink_to("tree")
    assert run("out.zip", "to a.zip", "to tree", cwd=work).code == 0
    assert names(work / "out.zip") == [*IN_A, "d/z", "empty/", "t.txt"]


def test_a_link_to_a_folder_is_a_source_also_where_links_are_stored(work: Path) -> None:
    (work / "to tree").symlink_to("tree")
    parazip.merge(work / "out.zip", [work / "to tree"], selection=Selection(symlinks="store"))
    assert names(work / "out.zip") == IN_TREE


def test_no_members_make_an_archive(work: Path) -> None:
    put(work / "none.zip", {})
    (work / "nothing").mkdir()
    done = run("out.zip", "none.zip", "nothing", "p/=none.zip", cwd=work)
    assert done.code == 0
    assert done.err.startswith("out.zip: 0 members")
    assert names(work / "out.zip") == []
    assert (work / "out.zip").stat().st_size == 22


# What is left out

EXCLUDES: dict[str, tuple[list[str], list[str], list[str]]] = {
    "a name": (["a.txt"], ["a.zip"], ["d/", "d/x"]),
    "a name at any depth": (["x"], ["a.zip"], ["a.txt", "d/"]),
    "a pattern": (["*.txt"], ["a.zip", "tree"], ["d/", "d/x", "d/z", "empty/"]),
    "two": (["*.txt", "x"], ["a.zip"], ["d/"]),
    "a whole name": (["d/x"], ["a.zip", "b.zip"], ["a.txt", "d/", "b.txt", "d/y"]),
    "a whole name that is none": (["e/x", "./x", "a.txt/"], ["a.zip"], IN_A),
    "a name at the top": (["/a.txt", "./b.txt"], ["a.zip", "b.zip"], ["d/", "d/x", "d/y"]),
    "what a folder holds": (["d/*"], ["a.zip", "tree"], ["a.txt", "d/", "empty/", "t.txt"]),
    "a folder": (["d"], ["a.zip", "tree"], ["a.txt", "empty/", "t.txt"]),
    "a folder with a slash": (["d/"], ["a.zip", "tree"], ["a.txt", "empty/", "t.txt"]),
    "a folder that has no member": (["only"], ["deep.zip"], ["rest"]),
    "a folder in it": (["only/in"], ["deep.zip"], ["only/x", "rest"]),
    "with ./": (["./a.txt"], ["a.zip"], ["d/", "d/x"]),
    "the name without NAME": (["d/x"], ["p/=a.zip"], ["p/a.txt", "p/d/"]),
    "the name with NAME": (["p/d/x", "p"], ["p/=a.zip"], below("p/", IN_A)),
    "a folder's own name": (["tree", "tree/*"], ["tree"], IN_TREE),
    "everything": (["*"], ["a.zip", "tree"], []),
    "an archive is no member": (["a.zip"], ["a.zip", "o"], [*IN_A, "=odd.zip"]),
}


@pytest.mark.parametrize("case", EXCLUDES)
def test_what_is_excluded_is_left_out(work: Path, case: str) -> None:
    patterns, sources, expected = EXCLUDES[case]
    put(work / "deep.zip", {"only/x": b"", "only/in/y": b"", "rest": b""})
    selection = Selection(directory=work, exclude=tuple(patterns))
    parazip.merge(work / "out.zip", [source(text) for text in sources], selection=selection)
    assert names(work / "out.zip") == expected


def test_the_command_leaves_out_what_it_is_told(work: Path) -> None:
    done = run("-x", "*.txt", "--exclude", "d/x", "out.zip", "a.zip", "tree", cwd=work)
    assert done.code == 0
    assert names(work / "out.zip") == ["d/", "d/z", "empty/"]


# Duplicates

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


def twin(work: Path, name: str, kind: str, members: Mapping[str, bytes]) -> Path:
    if kind == "tree":
        return plant(work / name, members)
    return put(work / f"{name}.zip", members, STORED if kind == "stored" else DEFLATED)


@pytest.mark.parametrize("policy", ON_DUPLICATE)
@pytest.mark.parametrize("case", TWINS)
def test_duplicates(tmp_path: Path, case: str, policy: OnDuplicate) -> None:
    first, second, kinds, same = TWINS[case]
    one, _, other = kinds.partition(" and ")
    sources = [
        twin(tmp_path, "one", one, {"1": b"", "n": first, "o": b""}),
        twin(tmp_path, "other", other, {"3": b"", "n": second, "p": b""}),
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
        assert list(contents(out).items()) == [
            ("1", b""), ("o", b""), ("3", b""), ("n", second), ("p", b""),
        ]  # fmt: skip
    else:
        assert list(contents(out).items()) == [
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
        put(tmp_path / f"{text}.zip", {"n": text.encode(), text: b""})
    option = [f"--on-duplicate={policy}"] if policy else []
    done = run(*option, "out.zip", "one.zip", "two.zip", "three.zip", cwd=tmp_path)
    if code:
        told = "two members would have the name n: n in one.zip and n in two.zip"
        assert_fails(done, code, told, "--on-duplicate")
        assert not (tmp_path / "out.zip").exists()
    else:
        assert done.code == 0, done.err
        assert contents(tmp_path / "out.zip")["n"] == expected


def test_the_first_of_equal_members_is_the_one_that_is_kept(tmp_path: Path) -> None:
    put(tmp_path / "deflated.zip", {"n": TEXT}, DEFLATED, {"n": 0o100600 << 16})
    put(tmp_path / "stored.zip", {"n": TEXT}, STORED, {"n": 0o100755 << 16})
    for pair, method, mode in (
        (("deflated.zip", "stored.zip"), DEFLATED, 0o600),
        (("stored.zip", "deflated.zip"), STORED, 0o755),
    ):
        sources = [tmp_path / name for name in pair]
        parazip.merge(tmp_path / "out.zip", sources, on_duplicate="same")
        with opened(tmp_path / "out.zip") as archive:
            (info,) = archive.infolist()
        assert info.compress_type == method
        assert stat.S_IMODE(info.external_attr >> 16) == mode


@pytest.mark.parametrize("policy", ON_DUPLICATE)
def test_folders_may_come_any_number_of_times(tmp_path: Path, policy: OnDuplicate) -> None:
    modes = {"d/": 0o040700 << 16 | 0x10}
    put(tmp_path / "one.zip", {"d/": b"", "d/e/": b"", "1": b""}, modes=modes)
    put(tmp_path / "two.zip", {"2": b"", "d/": b"", "d/e/": b"", "d/e/x": b""})
    plant(tmp_path / "tree", {"d/e/y": b"", "d/f/": b""})
    sources = [tmp_path / name for name in ("one.zip", "tree", "two.zip", "tree/d/..")]
    parazip.merge(tmp_path / "out.zip", sources[:3], on_duplicate=policy)
    assert names(tmp_path / "out.zip") == ["d/", "d/e/", "1", "d/e/y", "d/f/", "2", "d/e/x"]
    assert attributes(tmp_path / "out.zip")["d/"] == modes["d/"]


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
    sources = [twin(tmp_path, "one", one, members[0]), twin(tmp_path, "two", other, members[1])]
    with pytest.raises(DuplicateMemberError) as error:
        parazip.merge(tmp_path / "out.zip", sources, on_duplicate=policy)
    assert "two members would have the name n: " in str(error.value)
    for path, kind in zip(sources, (one, other), strict=True):
        assert kind == "tree" or str(path) in str(error.value)
    assert not (tmp_path / "out.zip").exists()


def test_a_file_and_a_folder_of_one_name_can_be_kept_apart_as_told(tmp_path: Path) -> None:
    put(tmp_path / "one.zip", {"n": b"file"})
    put(tmp_path / "two.zip", {"n/": b""})
    done = run("out.zip", "one.zip", "two.zip", cwd=tmp_path)
    assert_fails(done, 1, "NAME/=SOURCE")
    assert "--prefix" not in done.err


@pytest.mark.parametrize("order", [("one.zip", "two.zip"), ("two.zip", "one.zip")])
def test_a_file_where_another_member_needs_a_folder_is_refused(
    tmp_path: Path, order: tuple[str, str]
) -> None:
    """Nobody can take out both `n` and `n/x`."""
    put(tmp_path / "one.zip", {"n": b"file"})
    put(tmp_path / "two.zip", {"n/x": b"in a folder"})
    with pytest.raises(DuplicateMemberError):
        parazip.merge(tmp_path / "out.zip", [tmp_path / name for name in order])


# What cannot be copied

ENCRYPTED, PATCH, STRONG = 1, 1 << 5, 1 << 6


def flagged(path: Path, name: str, flags: int) -> None:
    """Sets flags of a member in both headers."""
    with zipfile.ZipFile(path) as archive:
        local, directory = archive.getinfo(name).header_offset, archive.start_dir
    data = bytearray(path.read_bytes())
    central = data.index(name.encode(), directory) - 46
    for at in (local + 6, central + 8):
        old = int.from_bytes(data[at : at + 2], "little")
        data[at : at + 2] = (old | flags).to_bytes(2, "little")
    path.write_bytes(data)


class Refused(NamedTuple):
    """A member that cannot be copied.

    Attributes:
        name: its name.
        told: why.
        method: its compression method.
        flags: its flags, besides those that it has.
    """

    name: str
    told: str
    method: int = DEFLATED
    flags: int = 0


BZIP2, LZMA = zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA
LEADS_OUT = "its name leads out of the archive"
A_FOLDER = "its name is that of a folder, and it is a file"
REFUSED = {
    "encrypted": Refused("secret.txt", "it is encrypted", flags=ENCRYPTED),
    "encrypted in a folder": Refused("d/secret.txt", "it is encrypted", flags=ENCRYPTED),
    "strong encryption": Refused("secret.txt", "it is encrypted", flags=ENCRYPTED | STRONG),
    "patch": Refused("patch.txt", "cannot copy patch.txt", flags=PATCH),
    "bzip2": Refused("packed.bin", "the compression method 12, not stored or deflated", BZIP2),
    "lzma": Refused("packed.bin", "the compression method 14, not stored or deflated", LZMA),
    "up": Refused("../up.txt", LEADS_OUT),
    "up in between": Refused("d/../../up.txt", LEADS_OUT),
    "up and back": Refused("d/../up.txt", LEADS_OUT),
    "absolute": Refused("/etc/up.txt", LEADS_OUT),
    "up on Windows": Refused("d\\..\\..\\up.txt", LEADS_OUT),
    "absolute on Windows": Refused("\\up.txt", LEADS_OUT),
    "a drive": Refused("C:/up.txt", LEADS_OUT),
    "a drive on Windows": Refused("c:\\up.txt", LEADS_OUT),
    "the folder of a drive": Refused("c:up.txt", LEADS_OUT),
    "the top": Refused(".", A_FOLDER),
    "the top, longer": Refused("./.", A_FOLDER),
    "a folder's own name": Refused("d/.", A_FOLDER),
    "a name with spaces": Refused("a b/c d.bin", "method 12", BZIP2),
    "a name that is not ASCII": Refused("gr\u00fc\u00df.bin", "method 12", BZIP2),
    "a name with a dash": Refused("-x", "method 12", BZIP2),
    "a name with brackets": Refused("a[1].bin", "method 12", BZIP2),
    "a name with a star": Refused("a*.bin", "method 12", BZIP2),
    "a name with a quote": Refused("it's.bin", "method 12", BZIP2),
}


def refused(folder: Path, case: str) -> tuple[Path, str]:
    """An archive of a member that cannot be copied, and some that can; and what is told of it."""
    name, told, method, flags = REFUSED[case]
    path = folder / "s.zip"
    put(path, {"before": b"1", name: TEXT, "a1.bin": b"2"}, {name: method})
    flagged(path, name, flags)
    before = listing(folder)
    with pytest.raises(NotCopiedError) as error:
        parazip.merge(folder / "out.zip", [path])
    assert isinstance(error.value, NotImplementedError)
    assert error.value.member == name
    assert listing(folder) == before
    message = str(error.value)
    assert message.startswith(f"cannot copy {name} of {path}: ")
    assert told in message
    return path, message


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_copied_is_refused_by_name(tmp_path: Path, case: str) -> None:
    _, message = refused(tmp_path, case)
    assert "; leave it out with --exclude " in message


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_copied_can_be_left_out_as_told(tmp_path: Path, case: str) -> None:
    path, message = refused(tmp_path, case)
    found = re.search(r"--exclude (.*?)(, or unpack.*)? \[[a-z-]+\]$", message)
    assert found is not None
    (pattern,) = shlex.split(found[1])
    parazip.merge(tmp_path / "out.zip", [path], selection=Selection(exclude=(pattern,)))
    assert contents(tmp_path / "out.zip") == {"before": b"1", "a1.bin": b"2"}


@pytest.mark.parametrize("case", ["encrypted", "lzma", "up", "a name with a dash"])
def test_the_command_refuses_what_cannot_be_copied_and_leaves_it_out(
    tmp_path: Path, case: str
) -> None:
    _, message = refused(tmp_path, case)
    name = REFUSED[case].name
    told = message.replace(str(tmp_path) + "/", "")
    assert_fails(run("out.zip", "s.zip", cwd=tmp_path), 1, f"parazip: {told}\n")
    assert os.listdir(tmp_path) == ["s.zip"]
    assert run("--exclude", name, "out.zip", "s.zip", cwd=tmp_path).code == 0
    assert names(tmp_path / "out.zip") == ["before", "a1.bin"]


def test_what_is_in_an_excluded_folder_is_not_refused(tmp_path: Path) -> None:
    path = put(tmp_path / "s.zip", {"d/": b"", "d/secret": TEXT, "rest": b"1"})
    flagged(path, "d/secret", ENCRYPTED)
    parazip.merge(tmp_path / "out.zip", [path], selection=Selection(exclude=("d",)))
    assert names(tmp_path / "out.zip") == ["rest"]


# What fails

TOLD_ALL = "an archive is read from its end; write it to a file first"
FAILURES: dict[str, tuple[list[str], int, list[str]]] = {
    "missing": (["out.zip", "a.zip", "gone.zip"], 1, ["cannot read gone.zip: No such file"]),
    "missing, below a name": (["out.zip", "p/=gone.zip"], 1, ["cannot read gone.zip: No such"]),
    "missing -C": (["-C", "gone", "out.zip", "a.zip"], 1, ["cannot read gone/a.zip: No such"]),
    "below a file": (["out.zip", "a.zip/x"], 1, ["cannot read a.zip/x: Not a directory"]),
    "link to nowhere": (["out.zip", "bad/dead"], 1, ["cannot read bad/dead: No such file"]),
    "no archive": (["out.zip", "a.zip", "bad/text"], 1, ["bad/text is no zip archive", "EOCD"]),
    "empty file": (["out.zip", "bad/empty"], 1, ["bad/empty is no zip archive"]),
    "cut off": (["out.zip", "bad/cut.zip"], 1, ["bad/cut.zip is no zip archive or was cut off"]),
    "damaged": (["out.zip", "bad/damaged.zip"], 1, ["bad/damaged.zip is damaged: ", "offset"]),
    "damaged, CRC": (
        ["--check-crc", "out.zip", "a.zip", "bad/crc.zip"],
        1,
        ["bad/crc.zip is damaged: the data of n at offset 0: expected CRC"],
    ),
    "named pipe": (["out.zip", "bad/pipe"], 1, ["cannot merge bad/pipe", TOLD_ALL]),
    "device": (["out.zip", "/dev/null"], 1, ["cannot merge /dev/null", TOLD_ALL]),
    "named pipe in a folder": (["out.zip", "bad/folder"], 1, ["bad/folder/pipe", "a named pipe"]),
    "duplicate": (["out.zip", "a.zip", "p/=b.zip", "a.zip"], 1, ["a.txt", "--on-duplicate"]),
    "inside": (["tree/out.zip", "tree"], 1, ["tree/out.zip lies inside tree", "--exclude out.zip"]),
    "inside, deep": (["tree/d/out.zip", "p/=tree"], 1, ["lies inside", "--exclude d/out.zip"]),
    "inside .": (["out.zip", "a.zip", "."], 1, ["out.zip lies inside .", "--exclude out.zip"]),
    "archive is a folder": (["tree", "a.zip"], 1, ["cannot write tree: it is a folder"]),
    "no such folder": (["gone/out.zip", "a.zip"], 1, ["cannot write gone/out.zip", "make it"]),
    "full disk": (["/dev/full", "a.zip"], 1, ["cannot write /dev/full: the disk is full"]),
    "prepended file": (["--prepend", "gone", "out.zip", "a.zip"], 1, ["cannot read gone: "]),
    "nothing": ([], 2, ["ARCHIVE"]),
    "no sources": (["out.zip"], 2, ["SOURCE"]),
    "policy": (["--on-duplicate", "newest", "out.zip", "a.zip"], 2, ["newest", "same"]),
    "prefix": (["out.zip", "../p/=a.zip"], 2, ["'../p' leads out of the archive"]),
    "absolute prefix": (["out.zip", "/p/=a.zip"], 2, ["'/p' leads out of the archive"]),
    "date": (["--timestamp", "1979-12-31", "out.zip", "a.zip"], 2, ["1979-12-31"]),
    "modes": (["--modes", "0644", "out.zip", "a.zip"], 2, ["0644", "normal"]),
    "shebang": (["--shebang", "a\nb", "out.zip", "a.zip"], 2, ["is not one line"]),
    "unknown option": (["--prefix", "p", "out.zip", "a.zip"], 2, ["--prefix"]),
}


@pytest.fixture
def bad(work: Path) -> Path:
    """The working folder, and things in it that cannot be merged."""
    plant(work / "bad", {"text": TEXT, "empty": b"", "folder/": b""})
    (work / "bad" / "dead").symlink_to("nowhere")
    os.mkfifo(work / "bad" / "pipe")
    os.mkfifo(work / "bad" / "folder" / "pipe")
    data = put(work / "bad" / "crc.zip", {"n": b"contents"}, STORED).read_bytes()
    (work / "bad" / "crc.zip").write_bytes(data.replace(b"contents", b"kontents"))
    (work / "bad" / "damaged.zip").write_bytes(data.replace(b"PK\1\2", b"PK\1\3"))
    (work / "bad" / "cut.zip").write_bytes(data[:-1])
    return work


@pytest.mark.parametrize("case", FAILURES)
def test_what_fails_is_told_with_its_code_and_changes_nothing(
    bad: Path, call: Callable[..., Done], case: str
) -> None:
    args, code, told = FAILURES[case]
    if "/dev/full" in args and not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    (bad / "out.zip").write_bytes(b"what stood there before")
    before = listing(bad)
    assert_fails(call(*args, cwd=bad), code, *told)
    assert listing(bad) == before


def test_the_command_ends_with_the_code_that_fits(bad: Path) -> None:
    """As the tables above tell of, seen from outside."""
    for case in ("no archive", "damaged, CRC", "named pipe", "inside, deep", "nothing", "prefix"):
        args, code, told = FAILURES[case]
        assert_fails(run(*args, cwd=bad), code, *told)


ERRORS: dict[str, tuple[list[Source], type[ParazipError], str]] = {
    "missing": (["a.zip", "gone.zip"], SourceError, "gone.zip"),
    "NUL in a path": (["a\0.zip"], SourceError, "a\0.zip"),
    "no archive": ([("p", "bad/text")], BadArchiveError, "bad/text"),
    "a named pipe": (["bad/pipe"], SourceError, "bad/pipe"),
    "damaged": (["bad/damaged.zip"], BadArchiveError, "bad/damaged.zip"),
    "duplicate": (["a.zip", ("", "a.zip")], DuplicateMemberError, "a.txt"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors_carry_what_they_concern(
    bad: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    sources, error, member = ERRORS[case]
    monkeypatch.chdir(bad)
    before = listing(bad)
    with pytest.raises(error) as raised:
        parazip.merge("out.zip", sources)
    assert raised.value.member == member
    assert listing(bad) == before


def test_a_prefix_that_leads_out_is_an_error(work: Path) -> None:
    for prefix in ("..", "a/../b", "/a"):
        with pytest.raises(SettingsError, match="leads out of the archive"):
            parazip.merge(work / "out.zip", [(prefix, work / "a.zip")])


def test_an_unknown_policy_is_an_error(work: Path) -> None:
    policy: Any = "newest"
    with pytest.raises(SettingsError, match="newest"):
        parazip.merge(work / "out.zip", [work / "a.zip"], on_duplicate=policy)


def test_a_single_path_is_an_error(work: Path) -> None:
    with pytest.raises(TypeError, match="list"):
        parazip.merge(work / "out.zip", str(work / "a.zip"))


# Where it goes


@pytest.mark.parametrize("where", ["first", "last", "below a name", "by a link"])
def test_the_archive_may_be_one_of_its_sources(tmp_path: Path, where: str) -> None:
    app = put(tmp_path / "app.zip", {"app": TEXT, "large": os.urandom(3 * RANGE)}, STORED)
    app.chmod(0o750)
    put(tmp_path / "extra.zip", {"extra": TEXT})
    (tmp_path / "link.zip").symlink_to("app.zip")
    before = contents(app)
    out, sources, expected = {
        "first": ("app.zip", ["app.zip", "extra.zip"], ["app", "large", "extra"]),
        "last": ("app.zip", ["extra.zip", "app.zip"], ["extra", "app", "large"]),
        "below a name": ("app.zip", ["p/=app.zip", "extra.zip"], ["p/app", "p/large", "extra"]),
        "by a link": ("link.zip", ["app.zip", "extra.zip"], ["app", "large", "extra"]),
    }[where]
    assert run(out, *sources, cwd=tmp_path).code == 0
    assert names(app) == expected
    assert {name.removeprefix("p/"): data for name, data in contents(app).items()} == {
        **before,
        "extra": TEXT,
    }
    assert stat.S_IMODE(app.stat().st_mode) == 0o750
    assert sorted(os.listdir(tmp_path)) == ["app.zip", "extra.zip", "link.zip"]


def test_a_source_that_is_to_be_replaced_stays_if_something_fails(tmp_path: Path) -> None:
    app = put(tmp_path / "app.zip", {"app": TEXT})
    put(tmp_path / "extra.zip", {"app": b"another"})
    before = listing(tmp_path)
    assert_fails(run("app.zip", "app.zip", "extra.zip", cwd=tmp_path), 1, "app")
    assert listing(tmp_path) == before
    assert names(app) == ["app"]


def test_an_archive_inside_a_folder_is_fine_when_it_is_left_out(work: Path) -> None:
    for _ in range(2):
        assert run("-x", "out.zip", "tree/out.zip", "tree", "a.zip", cwd=work).code == 0
        assert names(work / "tree" / "out.zip") == [*IN_TREE, "a.txt", "d/x"]


def test_an_archive_goes_to_a_pipe(work: Path) -> None:
    expected = run("out.zip", "a.zip", "tree", "p/=b.zip", cwd=work)
    done = run("-", "a.zip", "tree", "p/=b.zip", cwd=work)
    assert (expected.code, done.code) == (0, 0)
    assert done.out == (work / "out.zip").read_bytes()
    assert done.err.startswith("standard output: 9 members")


@pytest.mark.parametrize("mode", ["wb", "ab"])
def test_an_archive_goes_to_a_redirected_file(work: Path, mode: str) -> None:
    (work / "out.zip").write_bytes(b"what was there before")
    with open(work / "out.zip", mode) as output:
        assert run("-", "a.zip", "tree", cwd=work, stdout=output).code == 0
    data = (work / "out.zip").read_bytes()
    assert data.startswith(b"PK" if mode == "wb" else b"what was there beforePK")
    assert names(data) == [*IN_A, "d/z", "empty/", "t.txt"]


def test_a_redirected_file_inside_a_folder_is_refused(work: Path) -> None:
    with open(work / "tree" / "out.zip", "wb") as output:
        done = run("-", "tree", cwd=work, stdout=output)
    assert_fails(done, 1, "the archive is to be put into itself, as out.zip")


def test_a_redirected_file_that_is_a_source_is_refused(work: Path) -> None:
    """`parazip merge - a.zip b.zip > a.zip`: the shell has emptied it by then."""
    with open(work / "a.zip", "wb") as output:
        done = run("-", "a.zip", "b.zip", cwd=work, stdout=output)
    assert_fails(done, 1, "a.zip")
    assert (work / "a.zip").read_bytes() == b""


def test_an_open_file_that_is_a_source_is_refused(work: Path) -> None:
    before = put(work / "s.zip", {"n": TEXT, "large": os.urandom(2 * RANGE)}, STORED).read_bytes()
    with (
        open(work / "s.zip", "r+b") as file,
        pytest.raises(SourceError),
    ):
        parazip.merge(file, [work / "b.zip", work / "s.zip"])
    assert (work / "s.zip").read_bytes() == before


def test_few_open_files_are_enough_for_many_sources(tmp_path: Path) -> None:
    expected: list[str] = []
    for i in range(600):
        members = {f"{i}/small": b"%d" % i}
        if i % 100 == 50:
            members[f"{i}/large"] = os.urandom(RANGE + 1)
        put(tmp_path / f"{i:03}.zip", members, STORED)
        expected += members
    args = [f"{i:03}.zip" for i in range(600)]
    done = run(
        "-j8",
        "out.zip",
        *args,
        cwd=tmp_path,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)),
    )
    assert done.code == 0, done.err
    assert names(tmp_path / "out.zip") == expected


# How it is made

TIMESTAMPS: dict[str, tuple[list[str], dict[str, str], tuple[int, ...] | None]] = {
    "nothing": ([], {}, None),
    "keep": (["--timestamp", "keep"], {}, None),
    "epoch": (["--timestamp", "epoch"], {}, (1980, 1, 1, 0, 0, 0)),
    "a date": (["--timestamp", "2026-01-31T12:34:56"], {}, (2026, 1, 31, 12, 34, 56)),
    "SOURCE_DATE_EPOCH": ([], {"SOURCE_DATE_EPOCH": "1700000000"}, (2023, 11, 14, 22, 13, 20)),
    "keep, SOURCE_DATE_EPOCH": (
        ["--timestamp=keep"],
        {"SOURCE_DATE_EPOCH": "1700000000"},
        None,
    ),
}


@pytest.mark.parametrize("case", TIMESTAMPS)
def test_timestamps(work: Path, case: str) -> None:
    options, env, date = TIMESTAMPS[case]
    os.utime(work / "tree" / "t.txt", (1_600_000_000, 1_600_000_000))
    done = run(*options, "out.zip", "a.zip", "tree", cwd=work, env={"TZ": "UTC0", **env})
    assert done.code == 0, done.err
    with opened(work / "out.zip") as archive:
        dates = {info.filename: info.date_time for info in archive.infolist()}
    if date is not None:
        assert set(dates.values()) == {date}
    else:
        assert dates["a.txt"] == dates["d/"] == MOMENT
        assert dates["t.txt"] == (2020, 9, 13, 12, 26, 40)


def test_a_wrong_source_date_epoch_is_told(work: Path) -> None:
    done = run("out.zip", "a.zip", cwd=work, env={"SOURCE_DATE_EPOCH": "yesterday"})
    assert_fails(done, 2, "SOURCE_DATE_EPOCH=yesterday")
    assert not (work / "out.zip").exists()


# The mode of a member, and what `normal` makes of it.
MODES = {
    "file": (0o100644, 0o100644),
    "private": (0o100600, 0o100644),
    "nobody's": (0o100000, 0o100644),
    "executable": (0o100755, 0o100755),
    "mine to execute": (0o100700, 0o100755),
    "theirs to execute": (0o100611, 0o100755),
    "setuid": (0o104755, 0o100755),
    "link": (0o120777, 0o120777),
    "folder/": (0o040700, 0o040755),
}


@pytest.mark.parametrize("modes", [None, "keep", "normal"])
def test_modes(tmp_path: Path, modes: str | None) -> None:
    members = {name: b"" if name.endswith("/") else b"target" for name in MODES}
    put(tmp_path / "s.zip", members, modes={name: mode << 16 for name, (mode, _) in MODES.items()})
    tree = plant(tmp_path / "tree", {"t/": b"", "t/file": b"", "t/script": b""})
    for name, mode in (("t/file", 0o600), ("t/script", 0o710), ("t", 0o700)):
        (tree / name).chmod(mode)
    options = [] if modes is None else ["--modes", modes]
    assert run(*options, "out.zip", "s.zip", "tree", cwd=tmp_path).code == 0
    found = {name: value >> 16 for name, value in attributes(tmp_path / "out.zip").items()}
    if modes == "normal":
        assert found == {
            **{name: normal for name, (_, normal) in MODES.items()},
            "t/": 0o040755,
            "t/file": 0o100644,
            "t/script": 0o100755,
        }
    else:
        assert found == {
            **{name: mode for name, (mode, _) in MODES.items()},
            "t/": 0o040700,
            "t/file": 0o100600,
            "t/script": 0o100710,
        }
    assert attributes(tmp_path / "out.zip")["folder/"] & 0x10


def test_a_merged_archive_with_a_shebang_runs(tmp_path: Path) -> None:
    put(tmp_path / "app.zip", {"__main__.py": b"import lib; print('ran', lib.ANSWER)"})
    plant(tmp_path / "tree", {"lib.py": b"ANSWER = 42"})
    done = run("--shebang", sys.executable, "run.pyz", "app.zip", "tree", cwd=tmp_path)
    assert done.code == 0, done.err
    path = tmp_path / "run.pyz"
    assert path.read_bytes().startswith(b"#!" + sys.executable.encode() + b"\nPK\3\4")
    assert path.stat().st_mode & 0o100
    assert names(path) == ["__main__.py", "lib.py"]
    ran = subprocess.run([path], capture_output=True, text=True, check=True)
    assert ran.stdout == "ran 42\n"
    # What stands in front of a source is no part of what it holds.
    assert run("plain.zip", "run.pyz", cwd=tmp_path).code == 0
    assert (tmp_path / "plain.zip").read_bytes().startswith(b"PK\3\4")
    assert not (tmp_path / "plain.zip").stat().st_mode & 0o111


def test_a_prepended_file_stands_in_front(work: Path) -> None:
    (work / "stub").write_bytes(b"#!/bin/sh\nexit 0\n")
    assert run("--prepend", "stub", "out", "a.zip", cwd=work).code == 0
    assert (work / "out").read_bytes().startswith(b"#!/bin/sh\nexit 0\nPK\3\4")
    assert (work / "out").stat().st_mode & 0o111 == 0o111 & ~_umask()
    assert names(work / "out") == IN_A
    report = parazip.merge(work / "api", [work / "a.zip"], prepend=b"#!/bin/sh\nexit 0\n")
    assert (work / "api").read_bytes() == (work / "out").read_bytes()
    assert report.bytes_out == (work / "api").stat().st_size


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_json_tells_what_was_copied_and_what_compressed(work: Path) -> None:
    done = run("--progress", "json", "-6", "out.zip", "a.zip", "tree", cwd=work)
    assert (done.code, done.out) == (0, b"")
    *events, last = [json.loads(line) for line in done.err.splitlines()]
    with opened(work / "out.zip") as archive:
        infos = archive.infolist()
    assert (last["event"], last["members"]) == ("done", len(infos))
    assert last["bytes_in"] == sum(info.file_size for info in infos)
    assert last["bytes_out"] == (work / "out.zip").stat().st_size
    copied = last["codecs"]["copied"]
    assert copied["bytes_in"] == sum(map(len, A.values()))
    assert sum(tally["members"] for tally in last["codecs"].values()) == len(infos)
    for event in events:
        assert event["members"] <= event["members_total"] == len(infos)
        assert event["bytes"] <= event["bytes_total"] == last["bytes_in"]


def test_quiet_says_nothing(work: Path) -> None:
    assert run("-q", "out.zip", "a.zip", cwd=work) == Done(0, b"", "")


def test_help_tells_each_option(work: Path) -> None:
    done = run("--help", cwd=work)
    assert done.code == 0
    text = " ".join(done.out.decode().split())
    for told in (
        "NAME/=", "-C", "-x", "--on-duplicate", "error|first|last|same", "--check-crc", "--store",
        "--align", "-l", "-j",
        "--memory", "--timestamp", "--modes", "--prepend", "--shebang", "--progress", "-q",
    ):  # fmt: skip
        assert told in text


# Other people's readers


class OneWay(io.BytesIO):
    """A file that cannot seek: zipfile writes data descriptors to it."""

    def tell(self) -> int:
        raise io.UnsupportedOperation


MODULE = b"VALUE = 'imported from the archive'\n"


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    """An archive of all kinds of sources, and what it holds."""
    root = tmp_path_factory.mktemp("everything")
    noise = os.urandom(RANGE + 1)
    plain = {"module_in_zip.py": MODULE, "stored/": b"", "stored/\u4e2d\U0001f600": TEXT}
    put(root / "stored.zip", {**plain, "noise": noise}, STORED)
    put(root / "deflated.zip", {"folder/text": TEXT * 100, "folder/noise": noise, "none": b""})
    with zipfile.ZipFile(root / "zip64.zip", "w", DEFLATED) as archive:
        with archive.open("wide", "w", force_zip64=True) as member:
            member.write(TEXT)
        archive.comment = b"a comment"
    streamed = OneWay()
    with zipfile.ZipFile(streamed, "w", DEFLATED) as archive:
        archive.writestr("streamed", TEXT)
        archive.writestr("streamed noise", noise)
    (root / "pipe.zip").write_bytes(streamed.getvalue())
    plant(root / "tree", {"package_in_zip/__init__.py": MODULE, "large": TEXT * 30, "e/": b""})
    parazip.merge(
        root / "all.zip",
        [
            root / "stored.zip", ("deflated", root / "deflated.zip"), root / "zip64.zip",
            root / "tree", ("gr\u00fc\u00df", root / "pipe.zip"),
        ],
        Settings(level=1),
    )  # fmt: skip
    return root / "all.zip", {
        **plain, "noise": noise, "deflated/folder/text": TEXT * 100, "deflated/folder/noise": noise,
        "deflated/none": b"", "wide": TEXT, "package_in_zip/__init__.py": MODULE,
        "package_in_zip/": b"", "large": TEXT * 30, "e/": b"", "gr\u00fc\u00df/streamed": TEXT,
        "gr\u00fc\u00df/streamed noise": noise,
    }  # fmt: skip


def test_zipfile_reads_what_was_merged(everything: tuple[Path, dict[str, bytes]]) -> None:
    assert contents(everything[0]) == everything[1]


PROGRAMS = {
    "unzip": (["-t"], []),
    "7z": (["t"], ["Everything is Ok"]),
    "bsdtar": (["-tvf"], []),
    "jar": (["tf"], []),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_test_and_take_out_what_was_merged(
    tmp_path: Path, everything: tuple[Path, dict[str, bytes]], name: str
) -> None:
    if name not in programs():
        pytest.skip(f"{name} is not installed")
    program = programs()[name].command
    path, members = everything
    options, told = PROGRAMS[name]
    done = run_reader([program, *options, path])
    assert done.returncode == 0, done.stdout
    assert "warning" not in done.stdout.lower(), done.stdout
    assert all(text in done.stdout for text in told), done.stdout
    take_out = {"unzip": "-q", "7z": "x", "bsdtar": "-xf", "jar": "xf"}[name]
    done = run_reader([program, take_out, path], cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    files = {name: data for name, data in listing(tmp_path).items() if data is not None}
    assert files == {name: data for name, data in members.items() if not name.endswith("/")}


READ_ALL = """
import sys, zipfile, zlib
archive = zipfile.ZipFile(sys.argv[1])
assert archive.testzip() is None
sys.path.insert(0, sys.argv[1])
import module_in_zip, package_in_zip
assert type(module_in_zip.__loader__).__name__ == "zipimporter", module_in_zip.__loader__
print(sorted(zlib.crc32(archive.read(name)) & 0xFFFFFFFF for name in archive.namelist()))
"""


@pytest.mark.parametrize("name", PYTHONS)
def test_python_reads_and_imports_what_was_merged(
    everything: tuple[Path, dict[str, bytes]], name: str
) -> None:
    if name not in pythons():
        pytest.skip(f"{name} is not installed")
    path, members = everything
    done = run_reader([pythons()[name].command, "-c", READ_ALL, path])
    assert done.returncode == 0, done.stdout
    assert json.loads(done.stdout.replace("L", "")) == sorted(map(zlib.crc32, members.values()))


def test_steps_that_lead_nowhere_are_left_out_of_names(tmp_path: Path) -> None:
    put(tmp_path / "s.zip", {"./": b"", "./a/": b"", "./a//b": b"1", "c/./d": b"2"})
    parazip.merge(tmp_path / "out.zip", [tmp_path / "s.zip"])
    assert contents(tmp_path / "out.zip") == {"a/": b"", "a/b": b"1", "c/d": b"2"}


@pytest.mark.parametrize(("choice", "order"), [("first", ["a", "b"]), ("last", ["b", "a"])])
def test_a_duplicate_that_is_dropped_need_not_be_one_that_can_be_copied(
    tmp_path: Path, choice: OnDuplicate, order: list[str]
) -> None:
    put(tmp_path / "a", {"x": TEXT})
    put(tmp_path / "b", {"x": TEXT}, {"x": BZIP2})
    sources = [tmp_path / name for name in order]
    parazip.merge(tmp_path / "out.zip", sources, on_duplicate=choice)
    assert contents(tmp_path / "out.zip") == {"x": TEXT}
    with pytest.raises(NotCopiedError, match="method 12"):
        parazip.merge(tmp_path / "out.zip", reversed(sources), on_duplicate=choice)


@pytest.mark.parametrize("how", ["as it is", "by a link", "below a name", "in a directory"])
def test_an_archive_that_is_merged_into_itself_is_not_lost_when_it_changes(
    work: Path, how: str
) -> None:
    """As `update`: what others have made of it since it was read would be gone."""
    os.symlink("a.zip", work / "link.zip")
    given = {"by a link": work / "link.zip", "below a name": ("n", work / "a.zip")}
    source: Any = given.get(how, work / "a.zip")
    selection = Selection(directory=work) if how == "in a directory" else Selection()
    if how == "in a directory":
        source = "a.zip"
    due = [True]

    def sink(progress: Progress) -> None:
        if due.pop() if due else False:
            parazip.delete(work / "a.zip", ["a.txt"])

    with pytest.raises(SourceChangedError, match=r"a\.zip .*run the command again") as told:
        parazip.merge(work / "a.zip", [source, work / "tree"], selection=selection, progress=sink)
    assert "--exclude" not in str(told.value)
    assert names(work / "a.zip") == [name for name in IN_A if name != "a.txt"]
    parazip.merge(work / "a.zip", [source, work / "tree"], selection=selection)
    assert names(work / "a.zip")[-1] == "t.txt"


def test_an_archive_that_is_merged_into_itself_may_get_other_rights(work: Path) -> None:
    due = [True]

    def sink(progress: Progress) -> None:
        if due.pop() if due else False:
            os.chmod(work / "a.zip", 0o604)

    parazip.merge(work / "a.zip", [work / "a.zip", work / "tree"], progress=sink)
    assert (work / "a.zip").stat().st_mode & 0o777 == 0o604


def test_what_is_no_source_is_replaced_whatever_becomes_of_it(work: Path) -> None:
    due = [True]

    def sink(progress: Progress) -> None:
        if due.pop() if due else False:
            (work / "out.zip").write_bytes(b"theirs")

    for _ in range(2):
        due.append(True)
        parazip.merge(work / "out.zip", [work / "a.zip"], progress=sink)
        assert names(work / "out.zip") == IN_A


def test_a_path_with_the_sign_of_a_name_in_it_is_a_path_where_nothing_else_is_meant(
    work: Path,
) -> None:
    (work / "o").mkdir(exist_ok=True)
    (work / "o/=b2.zip").write_bytes((work / "b.zip").read_bytes())
    assert run("out.zip", "o/=b2.zip", cwd=work).code == 0
    assert names(work / "out.zip") == IN_B
    assert run("-C", "..", "out.zip", f"{work.name}/o/=b2.zip", cwd=work).code == 0
    assert names(work / "out.zip") == IN_B
    (work / "b2.zip").write_bytes((work / "a.zip").read_bytes())
    assert run("out.zip", "o/=b2.zip", cwd=work).code == 0
    assert names(work / "out.zip") == below("o/", IN_A)
    assert run("out.zip", "/=o/=b2.zip", cwd=work).code == 0
    assert names(work / "out.zip") == IN_B
    assert_fails(run("out.zip", "o/=b3.zip", cwd=work), 1, "cannot read b3.zip")


def test_an_archive_from_a_pipe_is_refused_with_a_way_out(work: Path) -> None:
    if not os.path.isdir("/dev/fd"):
        pytest.skip("there is no /dev/fd")
    command = [sys.executable, "-m", "parazip", "merge", "out.zip", "/dev/stdin"]
    done = subprocess.run(
        command, cwd=work, input=b"PK", capture_output=True, timeout=HUNG, check=False
    )
    assert done.returncode == 1
    assert b"it is a named pipe, and an archive is read from its end; write it to" in done.stderr
