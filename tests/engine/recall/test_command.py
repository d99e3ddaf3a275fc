"""The options of the cache, what is told of it, and its own commands."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest

from parazip.engine import archive
from parazip.engine.cache import Cache, Usage
from support.command import Done, assert_fails, run_parazip
from support.patience import HUNG
from support.recalling import LAST_YEAR, flip_bit, list_parts, make_archive, start_python

pytestmark = pytest.mark.once


def run_recalling(*args: str | Path, cwd: Path) -> Done:
    process = start_python("from parazip.__main__ import main\nmain()", *args, cwd=cwd)
    out, err = process.communicate(timeout=HUNG)
    return Done(process.returncode, out, err.decode())


@pytest.fixture
def in_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    """The cache that commands use without being told."""
    monkeypatch.setenv("PARAZIP_CACHE_DIR", str(tmp_path / "cache"))
    return Cache()


SPELLINGS: dict[str, tuple[list[str], str | None]] = {
    "before": (["--cache", "out.zip", "t"], "stat"),
    "between": (["out.zip", "--cache", "t"], "stat"),
    "after": (["out.zip", "t", "--cache"], "stat"),
    "before options": (["--cache", "-1", "out.zip", "t"], "stat"),
    "before --": (["--cache", "--", "out.zip", "t"], "stat"),
    "=stat": (["--cache=stat", "out.zip", "t"], "stat"),
    "=content": (["--cache=content", "out.zip", "t"], "content"),
    "=content after": (["out.zip", "t", "--cache=content"], "content"),
    "content is the last word": (["--cache", "--cache=content", "out.zip", "t"], "content"),
    "none": (["out.zip", "t"], None),
}


@pytest.mark.parametrize(("args", "identity"), SPELLINGS.values(), ids=SPELLINGS)
def test_spellings_of_the_option(
    small: Path, in_environment: Cache, args: list[str], identity: archive.Identification | None
) -> None:
    work = small.parent
    level = [] if "-1" in args else ["-1"]
    done = run_recalling("create", "--symlinks=store", *level, *args, cwd=work)
    assert (done.code, done.out) == (0, b""), done.err
    assert done.err.startswith("out.zip: 6 members, ")
    assert (work / "out.zip").read_bytes() == make_archive(small).data
    assert in_environment.usage().parts == (identity is not None)
    if identity is not None:
        report = make_archive(small, in_environment, identity=identity).report
        assert report.recalled == report.members == 6
    assert sorted(os.listdir(work)) == [*(["cache"] if identity else []), "out.zip", "t"]


def test_behind_two_dashes_the_option_is_a_name(small: Path, in_environment: Cache) -> None:
    work = small.parent
    (work / "--cache").write_bytes(b"a file")
    done = run_recalling("create", "--", "out.zip", "--cache", cwd=work)
    assert done.code == 0, done.err
    assert zipfile.ZipFile(work / "out.zip").namelist() == ["--cache"]
    assert in_environment.usage() == Usage(0, 0)


@pytest.mark.parametrize("value", ["--cache=", "--cache=all", "--cache=Content"])
def test_other_values_of_the_option_are_refused(small: Path, value: str) -> None:
    done = run_recalling("create", value, "out.zip", "t", cwd=small.parent)
    assert_fails(done, 2, "--cache", "content")
    assert os.listdir(small.parent) == ["t"]


def test_the_summary_tells_what_was_recalled(small: Path, in_environment: Cache) -> None:
    work = small.parent
    command = ["create", "--cache", "out.zip", "t"]
    assert run_recalling(*command, cwd=work).err.startswith("out.zip: 6 members, ")
    assert run_recalling(*command, cwd=work).err.startswith("out.zip: 6 members (6 recalled), ")
    assert run_recalling(*command[:1], *command[2:], cwd=work).err.startswith(
        "out.zip: 6 members, "
    )
    assert run_recalling(*command, "-q", cwd=work) == Done(0, b"", "")


def test_notes_stand_below_the_summary(small: Path, in_environment: Cache) -> None:
    Path(in_environment.folder).write_text("no folder")
    done = run_recalling("create", "--cache", "out.zip", "t", cwd=small.parent)
    assert done.code == 0
    summary, note = done.err.splitlines()
    assert summary.startswith("out.zip: 6 members, ")
    assert note.startswith(f"parazip: nothing more was kept in the cache {in_environment.folder}: ")
    assert run_recalling("create", "--cache", "-q", "out.zip", "t", cwd=small.parent) == Done(
        0, b"", ""
    )


def test_the_last_event_tells_what_was_recalled_and_notes(
    small: Path, in_environment: Cache
) -> None:
    work = small.parent

    def done() -> dict[str, Any]:
        told = run_recalling("create", "--cache", "--progress=json", "out.zip", "t", cwd=work)
        assert told.code == 0, told.err
        event: dict[str, Any] = json.loads(told.err.splitlines()[-1])
        assert event["event"] == "done"
        assert event["members"] == 6
        return event

    first, second = done(), done()
    assert (first["recalled"], first["notes"]) == (0, [])
    assert (second["recalled"], second["notes"]) == (6, [])
    assert second["codecs"] == first["codecs"]
    assert second["sections"] == []
    flip_bit(list_parts(in_environment)[0], -1)
    third = done()
    assert third["recalled"] == 0
    (note,) = third["notes"]
    assert str(list_parts(in_environment)[0]) in note


def test_standard_output_does_without_the_cache(small: Path, in_environment: Cache) -> None:
    work = small.parent
    plain = run_recalling("create", "-", "t", cwd=work)
    for option in ("--cache", "--cache=content"):
        done = run_recalling("create", option, "-", "t", cwd=work)
        assert (done.code, done.out) == (0, plain.out)
        assert done.err.startswith("standard output: 6 members, ")
    assert in_environment.usage() == Usage(0, 0)
    assert sorted(os.listdir(work)) == ["t"]


def test_the_place_of_the_cache(small: Path, in_environment: Cache) -> None:
    work = small.parent
    for told, folder in (([], "cache"), (["--cache-dir", "c2"], "c2"), (["--cache-dir=c3"], "c3")):
        assert run_recalling(*told, "create", "--cache", "out.zip", "t", cwd=work).code == 0
        assert Cache(work / folder).usage().parts == 1
        info = run_recalling(*told, "cache", "info", cwd=work)
        assert info.out.decode().splitlines()[0] == f"folder  {work / folder}"


def test_cache_info_prune_and_clear(small: Path, in_environment: Cache) -> None:
    work = small.parent

    def told(*args: str) -> list[str]:
        done = run_recalling("cache", *args, cwd=work)
        assert (done.code, done.err) == (0, "")
        return [" ".join(line.split()) for line in done.out.decode().splitlines()]

    folder = f"folder {in_environment.folder}"
    assert told("info") == [folder, "parts 0", "size 0 B of at most 5.4 GB"]
    assert told("clear") == told("prune") == ["0 parts thrown away, 0 B"]
    assert not os.path.exists(in_environment.folder)
    for level in "123":
        assert run_recalling("create", "--cache", f"-{level}", "out.zip", "t", cwd=work).code == 0
    assert in_environment.usage().parts == 3
    sizes = [path.stat().st_size for path in list_parts(in_environment)]
    size = f"{sum(sizes) / 1000:.1f} kB"
    assert told("info") == [folder, "parts 3", f"size {size} of at most 5.4 GB"]
    assert told("prune") == ["0 parts thrown away, 0 B"]
    for path, use in zip(list_parts(in_environment), (3, 1, 2), strict=True):
        os.utime(path, (LAST_YEAR + use, LAST_YEAR))
    (gone,) = told("prune", "--size", str(sum(sizes) - 1))
    assert gone == f"1 part thrown away, {sizes[1] / 1000:.1f} kB"
    assert in_environment.usage() == Usage(2, sizes[0] + sizes[2])
    assert told("prune", "--size=0") == [
        f"2 parts thrown away, {(sizes[0] + sizes[2]) / 1000:.1f} kB"
    ]
    assert run_recalling("create", "--cache", "out.zip", "t", cwd=work).code == 0
    (gone,) = told("clear")
    assert gone.startswith("1 part thrown away, ")
    assert told("info")[1:] == ["parts 0", "size 0 B of at most 5.4 GB"]
    assert os.listdir(in_environment.folder) == []


def test_the_size_of_the_cache(
    small: Path, in_environment: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = small.parent
    for _ in range(2):  # it does not fit: nothing is kept
        done = run_recalling("--cache-size", "100", "create", "--cache", "out.zip", "t", cwd=work)
        assert done.code == 0
        assert in_environment.usage() == Usage(0, 0)
    monkeypatch.setenv("PARAZIP_CACHE_SIZE", "2M")
    assert "of at most 2.1 MB" in run_recalling("cache", "info", cwd=work).out.decode()
    assert (
        "of at most 1.0 kB"
        in run_recalling("--cache-size=1000", "cache", "info", cwd=work).out.decode()
    )
    assert run_recalling("create", "--cache", "out.zip", "t", cwd=work).code == 0
    assert in_environment.usage().parts == 1
    assert run_recalling("--cache-size=1", "cache", "prune", cwd=work).out.startswith(
        b"1 part thrown away"
    )


WRONG_SIZES: dict[str, tuple[list[str], str]] = {
    "info": (["--cache-size", "much", "cache", "info"], "cache size"),
    "prune": (["--cache-size", "-1", "cache", "prune"], "cache size"),
    "clear": (["--cache-size=1X", "cache", "clear"], "cache size"),
    "create": (["--cache-size=1X", "create", "--cache", "o.zip", "t"], "cache size"),
    "prune --size": (["cache", "prune", "--size", "much"], "--size"),
    "prune --size=-1": (["cache", "prune", "--size=-1"], "--size"),
}


@pytest.mark.parametrize(("args", "name"), WRONG_SIZES.values(), ids=WRONG_SIZES)
def test_a_wrong_size_is_a_wrong_command_line(
    small: Path, in_environment: Cache, args: list[str], name: str
) -> None:
    done = run_recalling(*args, cwd=small.parent)
    assert_fails(done, 2, "is not a size")
    assert name in done.err.replace("cache-size", "cache size")
    assert os.listdir(small.parent) == ["t"]


@pytest.mark.parametrize(
    "args", [["cache", "info"], ["cache", "clear"], ["create", "--cache", "o.zip", "t"]], ids=str
)
def test_a_wrong_size_in_the_environment_is_told(
    small: Path, monkeypatch: pytest.MonkeyPatch, args: list[str]
) -> None:
    monkeypatch.setenv("PARAZIP_CACHE_SIZE", "much")
    assert_fails(
        run_recalling(*args, cwd=small.parent), 2, "PARAZIP_CACHE_SIZE", "'much' is not a size"
    )
    assert os.listdir(small.parent) == ["t"]
    assert run_recalling("create", "o.zip", "t", cwd=small.parent).code == 0, "who does not use it"


STUCK = """
import os, errno
from parazip.__main__ import main

def refuse(*args, **more):
    raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), *args[:1])

os.unlink = refuse
main()
"""


def test_what_cannot_be_cleared_is_told(small: Path, in_environment: Cache) -> None:
    make_archive(small, in_environment)
    process = start_python(STUCK, "cache", "clear", cwd=small.parent)
    out, err = process.communicate(timeout=HUNG)
    assert_fails(Done(process.returncode, out, err.decode()), 1, "parazip: cannot ", "parts-1")
    assert in_environment.usage().parts == 1
    assert run_recalling("cache", "clear", cwd=small.parent).out.startswith(b"1 part thrown away, ")


def test_a_file_in_place_of_parts_is_told_and_stays(small: Path, in_environment: Cache) -> None:
    Path(in_environment.folder).mkdir()
    Path(in_environment.folder, "parts-1").write_text("no folder")
    assert b"parts   0" in run_recalling("cache", "info", cwd=small.parent).out
    done = run_parazip("cache", "prune", cwd=small.parent)
    assert_fails(done, 1, "parazip: the cache is not used: ", "parts-1 is not a folder")
    assert Path(in_environment.folder, "parts-1").read_text() == "no folder"


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="such folders are trusted on Windows")
def test_a_cache_that_is_not_trusted_is_not_said_to_be_emptied(
    small: Path, in_environment: Cache
) -> None:
    make_archive(small, in_environment)
    Path(in_environment.folder, "parts-1").chmod(0o777)
    for words in (["clear"], ["prune", "--size", "0"]):
        done = run_parazip("cache", *words, cwd=small.parent)
        assert_fails(done, 1, "parazip: the cache is not used: ")
        assert done.out == b""
    Path(in_environment.folder, "parts-1").chmod(0o700)
    assert in_environment.usage().parts == 1
