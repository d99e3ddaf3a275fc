"""Where a merged archive goes, also if it is one of its sources, and how it is made."""

from __future__ import annotations

import json
import os
import resource
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

import parazip
from parazip import Progress, Selection, SourceChangedError, SourceError
from parazip.sources.contents import RANGE
from support.archives import contents_of, names_in, open_archive
from support.command import Done, assert_fails
from support.merging import (
    IN_A,
    IN_TREE,
    MOMENT,
    STORED,
    TEXT,
    A,
    attributes_in,
    run_merge,
    write_archive,
)
from support.paths import list_below, plant_files
from support.running import SHEBANG_PYTHON


@pytest.mark.parametrize("where", ["first", "last", "below a name", "by a link"])
def test_the_archive_may_be_one_of_its_sources(tmp_path: Path, where: str) -> None:
    app = write_archive(tmp_path / "app.zip", {"app": TEXT, "large": os.urandom(3 * RANGE)}, STORED)
    app.chmod(0o750)
    write_archive(tmp_path / "extra.zip", {"extra": TEXT})
    (tmp_path / "link.zip").symlink_to("app.zip")
    before = contents_of(app)
    out, sources, expected = {
        "first": ("app.zip", ["app.zip", "extra.zip"], ["app", "large", "extra"]),
        "last": ("app.zip", ["extra.zip", "app.zip"], ["extra", "app", "large"]),
        "below a name": ("app.zip", ["p/=app.zip", "extra.zip"], ["p/app", "p/large", "extra"]),
        "by a link": ("link.zip", ["app.zip", "extra.zip"], ["app", "large", "extra"]),
    }[where]
    assert run_merge(out, *sources, cwd=tmp_path).code == 0
    assert names_in(app) == expected
    assert {name.removeprefix("p/"): data for name, data in contents_of(app).items()} == {
        **before,
        "extra": TEXT,
    }
    assert stat.S_IMODE(app.stat().st_mode) == 0o750
    assert sorted(os.listdir(tmp_path)) == ["app.zip", "extra.zip", "link.zip"]


def test_a_source_that_is_to_be_replaced_stays_if_something_fails(tmp_path: Path) -> None:
    app = write_archive(tmp_path / "app.zip", {"app": TEXT})
    write_archive(tmp_path / "extra.zip", {"app": b"another"})
    before = list_below(tmp_path)
    assert_fails(run_merge("app.zip", "app.zip", "extra.zip", cwd=tmp_path), 1, "app")
    assert list_below(tmp_path) == before
    assert names_in(app) == ["app"]


def test_an_archive_inside_a_folder_is_fine_when_it_is_left_out(work: Path) -> None:
    for _ in range(2):
        assert run_merge("-x", "out.zip", "tree/out.zip", "tree", "a.zip", cwd=work).code == 0
        assert names_in(work / "tree" / "out.zip") == [*IN_TREE, "a.txt", "d/x"]


def test_an_archive_goes_to_a_pipe(work: Path) -> None:
    expected = run_merge("out.zip", "a.zip", "tree", "p/=b.zip", cwd=work)
    done = run_merge("-", "a.zip", "tree", "p/=b.zip", cwd=work)
    assert (expected.code, done.code) == (0, 0)
    assert done.out == (work / "out.zip").read_bytes()
    assert done.err.startswith("standard output: 9 members")


@pytest.mark.parametrize("mode", ["wb", "ab"])
def test_an_archive_goes_to_a_redirected_file(work: Path, mode: str) -> None:
    (work / "out.zip").write_bytes(b"what was there before")
    with open(work / "out.zip", mode) as output:
        assert run_merge("-", "a.zip", "tree", cwd=work, stdout=output).code == 0
    data = (work / "out.zip").read_bytes()
    assert data.startswith(b"PK" if mode == "wb" else b"what was there beforePK")
    assert names_in(data) == [*IN_A, "d/z", "empty/", "t.txt"]


def test_a_redirected_file_inside_a_folder_is_refused(work: Path) -> None:
    with open(work / "tree" / "out.zip", "wb") as output:
        done = run_merge("-", "tree", cwd=work, stdout=output)
    assert_fails(done, 1, "the archive is to be put into itself, as out.zip")


def test_a_redirected_file_that_is_a_source_is_refused(work: Path) -> None:
    """`parazip merge - a.zip b.zip > a.zip`: the shell has emptied it by then."""
    with open(work / "a.zip", "wb") as output:
        done = run_merge("-", "a.zip", "b.zip", cwd=work, stdout=output)
    assert_fails(done, 1, "a.zip")
    assert (work / "a.zip").read_bytes() == b""


def test_an_open_file_that_is_a_source_is_refused(work: Path) -> None:
    before = write_archive(
        work / "s.zip", {"n": TEXT, "large": os.urandom(2 * RANGE)}, STORED
    ).read_bytes()
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
        write_archive(tmp_path / f"{i:03}.zip", members, STORED)
        expected += members
    args = [f"{i:03}.zip" for i in range(600)]
    done = run_merge(
        "-j8",
        "out.zip",
        *args,
        cwd=tmp_path,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)),
    )
    assert done.code == 0, done.err
    assert names_in(tmp_path / "out.zip") == expected


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
    done = run_merge(*options, "out.zip", "a.zip", "tree", cwd=work, env={"TZ": "UTC0", **env})
    assert done.code == 0, done.err
    with open_archive(work / "out.zip") as archive:
        dates = {info.filename: info.date_time for info in archive.infolist()}
    if date is not None:
        assert set(dates.values()) == {date}
    else:
        assert dates["a.txt"] == dates["d/"] == MOMENT
        assert dates["t.txt"] == (2020, 9, 13, 12, 26, 40)


def test_a_wrong_source_date_epoch_is_told(work: Path) -> None:
    done = run_merge("out.zip", "a.zip", cwd=work, env={"SOURCE_DATE_EPOCH": "yesterday"})
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
    write_archive(
        tmp_path / "s.zip", members, modes={name: mode << 16 for name, (mode, _) in MODES.items()}
    )
    tree = plant_files(tmp_path / "tree", {"t/": b"", "t/file": b"", "t/script": b""})
    for name, mode in (("t/file", 0o600), ("t/script", 0o710), ("t", 0o700)):
        (tree / name).chmod(mode)
    options = [] if modes is None else ["--modes", modes]
    assert run_merge(*options, "out.zip", "s.zip", "tree", cwd=tmp_path).code == 0
    found = {name: value >> 16 for name, value in attributes_in(tmp_path / "out.zip").items()}
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
    assert attributes_in(tmp_path / "out.zip")["folder/"] & 0x10


def test_a_merged_archive_with_a_shebang_runs(tmp_path: Path) -> None:
    write_archive(tmp_path / "app.zip", {"__main__.py": b"import lib; print('ran', lib.ANSWER)"})
    plant_files(tmp_path / "tree", {"lib.py": b"ANSWER = 42"})
    done = run_merge("--shebang", SHEBANG_PYTHON, "run.pyz", "app.zip", "tree", cwd=tmp_path)
    assert done.code == 0, done.err
    path = tmp_path / "run.pyz"
    assert path.read_bytes().startswith(b"#!" + SHEBANG_PYTHON.encode() + b"\nPK\3\4")
    assert path.stat().st_mode & 0o100
    assert names_in(path) == ["__main__.py", "lib.py"]
    ran = subprocess.run([path], capture_output=True, text=True, check=True)
    assert ran.stdout == "ran 42\n"
    # What stands in front of a source is no part of what it holds.
    assert run_merge("plain.zip", "run.pyz", cwd=tmp_path).code == 0
    assert (tmp_path / "plain.zip").read_bytes().startswith(b"PK\3\4")
    assert not (tmp_path / "plain.zip").stat().st_mode & 0o111


def test_a_prepended_file_stands_in_front(work: Path) -> None:
    (work / "stub").write_bytes(b"#!/bin/sh\nexit 0\n")
    assert run_merge("--prepend", "stub", "out", "a.zip", cwd=work).code == 0
    assert (work / "out").read_bytes().startswith(b"#!/bin/sh\nexit 0\nPK\3\4")
    assert (work / "out").stat().st_mode & 0o111 == 0o111 & ~_umask()
    assert names_in(work / "out") == IN_A
    report = parazip.merge(work / "api", [work / "a.zip"], prepend=b"#!/bin/sh\nexit 0\n")
    assert (work / "api").read_bytes() == (work / "out").read_bytes()
    assert report.bytes_out == (work / "api").stat().st_size


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_json_tells_what_was_copied_and_what_compressed(work: Path) -> None:
    done = run_merge("--progress", "json", "-6", "out.zip", "a.zip", "tree", cwd=work)
    assert (done.code, done.out) == (0, b"")
    *events, last = [json.loads(line) for line in done.err.splitlines()]
    with open_archive(work / "out.zip") as archive:
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
    assert run_merge("-q", "out.zip", "a.zip", cwd=work) == Done(0, b"", "")


def test_help_tells_each_option(work: Path) -> None:
    done = run_merge("--help", cwd=work)
    assert done.code == 0
    text = " ".join(done.out.decode().split())
    for told in (
        "NAME/=", "-C", "-x", "--on-duplicate", "error|first|last|same", "--check-crc", "--store",
        "--align", "-l", "-j",
        "--memory", "--timestamp", "--modes", "--prepend", "--shebang", "--progress", "-q",
    ):  # fmt: skip
        assert told in text


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
    assert names_in(work / "a.zip") == [name for name in IN_A if name != "a.txt"]
    parazip.merge(work / "a.zip", [source, work / "tree"], selection=selection)
    assert names_in(work / "a.zip")[-1] == "t.txt"


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
        assert names_in(work / "out.zip") == IN_A
