"""Hostile and damaged archives: merge refuses them, or makes a correct archive of them.

Two real-looking wheels are damaged at random (the seeds are fixed), and archives are made by hand
that lie in one thing each. A mutation that hits compressed data is merged with `check_crc` alone:
without it, contents are believed to be what the directory says. All others are merged both ways.
"""

from __future__ import annotations

import contextlib
import faulthandler
import fnmatch
import io
import os
import resource
import signal
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import pytest

import parazip
from parazip import ParazipError, Settings
from support.hostile_archives import cases_by_hand
from support.hostile_cases import Case
from support.hostile_wheels import ANATOMIES, EACH, MUTATIONS, WHEELS, mutations
from support.readers import programs, run_reader

HANGS = 20
"""Seconds until one merge of a few KB must be taken to hang."""

ALL_HANG = 200
"""Seconds until a thread that never ends is told of, and the tests with it."""

MEMORY = 2 << 30
"""What all merges may take together: no length is believed that the file cannot have."""


class Outcome(NamedTuple):
    """What a merge did: it raised `error`, or wrote `path`."""

    case: Case
    check: bool
    error: BaseException | None
    path: Path | None

    def __str__(self) -> str:
        case = self.case
        return f"{case.kind}, {case.name}{', check_crc' * self.check}: {self.error or self.path}"


class HangError(BaseException):
    """A merge did not end."""


@contextlib.contextmanager
def guarded(stderr: int) -> Iterator[None]:
    """Neither time nor memory without end is given to the block."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise HangError

    before = signal.signal(signal.SIGALRM, ring)
    faulthandler.dump_traceback_later(ALL_HANG, file=stderr, exit=True)
    limits = resource.getrlimit(resource.RLIMIT_AS)
    if os.path.exists("/proc/self/statm"):
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
        faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGALRM, before)


def merge_case(case: Case, check: bool, folder: Path, name: str) -> Outcome:
    """Archives without members go to a folder of their own, as unzip warns of them."""
    source, path = folder / "source.zip", folder / ("members" if case.contents else "none") / name
    source.write_bytes(case.data)
    signal.setitimer(signal.ITIMER_REAL, HANGS, HANGS)
    try:
        parazip.merge(path, [source], Settings(jobs=1), check_crc=check)
    except (Exception, HangError) as error:
        return Outcome(case, check, error, None)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return Outcome(case, check, None, path)


@pytest.fixture(scope="module")
def outcomes(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> list[Outcome]:
    """What became of each case, one after the other."""
    folder = tmp_path_factory.mktemp("hostile")
    for name in ("members", "none"):
        (folder / name).mkdir()
    capture: Any = pytestconfig.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        stderr = os.dup(2)
    try:
        with guarded(stderr):
            return [
                merge_case(case, check, folder, f"{i}-{check:d}.zip")
                for i, case in enumerate([*mutations(), *cases_by_hand()])
                for check in case.checks
            ]
    finally:
        os.close(stderr)


def successes(outcomes: list[Outcome]) -> list[tuple[Outcome, Path]]:
    return [(outcome, outcome.path) for outcome in outcomes if outcome.path is not None]


def test_anatomy() -> None:
    for name, (archive, contents) in WHEELS.items():
        with zipfile.ZipFile(io.BytesIO(archive)) as read:
            assert read.testzip() is None
            assert {member: read.read(member) for member in read.namelist()} == contents
        packed = [archive[begin:end] for begin, end in ANATOMIES[name].data]
        assert all(
            data in (plain, zlib.compress(plain, 6, -15))
            for data, plain in zip(packed, contents.values(), strict=True)
        )


def test_only_errors_on_purpose_are_raised(outcomes: list[Outcome]) -> None:
    errors = [outcome for outcome in outcomes if outcome.error is not None]
    assert [str(o) for o in errors if not isinstance(o.error, ParazipError)] == []


def test_a_refusal_names_the_archive_and_leaves_nothing(outcomes: list[Outcome]) -> None:
    for outcome in outcomes:
        if isinstance(outcome.error, parazip.BadArchiveError | parazip.NotCopiedError):
            assert "source.zip" in str(outcome.error)
            assert outcome.error.member is not None
            assert len(str(outcome.error)) < 1000, outcome
    written = [path for _, path in successes(outcomes)]
    top = written[0].parent.parent
    assert sorted(top.rglob("*.zip")) == sorted([top / "source.zip", *written])
    assert len(list(top.rglob("*"))) == len(written) + len(["members", "none", "source.zip"])


def test_zipfile_finds_in_merged_archives_what_was_put_in(outcomes: list[Outcome]) -> None:
    for outcome, path in successes(outcomes):
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None, outcome
            found = {name: archive.read(name) for name in archive.namelist()}
            assert len(found) == len(archive.infolist()), outcome
        assert found.items() <= outcome.case.contents.items(), outcome


def test_unzip_finds_no_error_in_merged_archives(outcomes: list[Outcome]) -> None:
    if "unzip" not in programs():
        pytest.skip("unzip is not installed")
    paths = [path for outcome, path in successes(outcomes) if outcome.case.contents]
    done = run_reader([programs()["unzip"].command, "-tq", paths[0].parent / "*.zip"])
    said = [line for line in done.stdout.splitlines() if not line.startswith("No errors")]
    assert done.returncode == 0, said
    assert said == ["", f"{len(paths)} archives were successfully processed."]


@pytest.mark.parametrize("name", [case.name for case in cases_by_hand()])
def test_what_lies_is_refused_and_what_is_clear_is_merged(
    outcomes: list[Outcome], name: str
) -> None:
    found = [o for o in outcomes if o.case.kind == "by hand" and o.case.name == name]
    assert found
    for outcome in found:
        told = outcome.case.told
        assert told is not None
        if told:
            assert isinstance(outcome.error, ParazipError), outcome
            assert fnmatch.fnmatchcase(str(outcome.error), f"*{told}*"), outcome
        else:
            assert outcome.path is not None, outcome
            with zipfile.ZipFile(outcome.path) as archive:
                assert set(archive.namelist()) == outcome.case.contents.keys()


def test_there_were_enough_of_each_kind(outcomes: list[Outcome]) -> None:
    """Mutations that are all refused, or none of them, would show little."""
    cases = Counter(outcome.case.kind for outcome in outcomes if outcome.check)
    assert cases.keys() == {*MUTATIONS, "by hand"}
    assert all(cases[kind] == 2 * EACH for kind in MUTATIONS)
    assert sum(cases.values()) >= 200
    for check in (False, True):
        for kind in cases:
            of_kind = [o for o in outcomes if (o.case.kind, o.check) == (kind, check)]
            refused = sum(outcome.error is not None for outcome in of_kind)
            assert 3 <= refused <= len(of_kind) - 3, (kind, check, refused, len(of_kind))
