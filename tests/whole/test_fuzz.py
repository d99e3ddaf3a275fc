"""What is fuzzed for minutes by `make fuzz`, here for seconds: seeds, some changes, structure.

Cases that showed a fault once stand with the tests of the room that had it.
"""

from __future__ import annotations

import io
import random
import struct
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fuzz import seeds, structure, targets
from fuzz.quine import make_quine
from fuzz.targets import SHORT, TARGETS
from hypothesis import HealthCheck, given, settings
from isal import isal_zlib

import parazip
from parazip.codecs import checksums, inflating
from parazip.dropin.member import HoldingReader
from parazip.extraction import contents
from parazip.format.reader import read_directory
from parazip.format.records import LOCAL
from parazip.format.values import Entry
from parazip.verification import checking
from support.archive_parts import LAST, A, make_lying_record
from support.damage import STREAMS, spoil_bytes
from support.odd_archives import zipped

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(sys.platform == "win32", reason="names are compared as POSIX has them"),
]

ARCHIVES = seeds.make_archives()
STREAMS_OF_SEEDS = seeds.make_streams(SHORT)
SHARE = 9
"""One in so many of the ambiguous archives is taken; other tests have them all."""
SHARE_OF_SLOW = 4
"""One in so many of those is taken where each is read in many ways."""


def choose_seeds(target: targets.Target) -> dict[str, bytes]:
    if target.of_streams:
        return STREAMS_OF_SEEDS
    ours = ("sound: ", "hostile: ", "by hand: ", "damaged: ")
    names = [name for name in ARCHIVES if name.startswith(ours)]
    others = [name for name in ARCHIVES if not name.startswith(ours)]
    chosen = [*names, *others[::SHARE]]
    if target is TARGETS["zipfile"]:
        chosen = chosen[::SHARE_OF_SLOW]
    return {name: ARCHIVES[name] for name in chosen}


def check_all(target: targets.Target, inputs: Iterator[tuple[str, bytes]]) -> None:
    for name, data in inputs:
        try:
            target.check(data)
        except BaseException as error:
            error.add_note(f"of {name}")
            raise


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_what_must_hold_does_so_for_seeds(target: targets.Target) -> None:
    check_all(target, iter(choose_seeds(target).items()))


def make_changes(target: targets.Target) -> Iterator[tuple[str, bytes]]:
    for name, data in choose_seeds(target).items():
        made = random.Random(name)
        spoil = made.choice(STREAMS) if target.of_streams else spoil_bytes
        if len(data) < 20_000:
            yield name, spoil(made, data)


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_what_must_hold_does_so_for_changed_seeds(target: targets.Target) -> None:
    check_all(target, make_changes(target))


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_what_must_hold_does_so_for_what_is_nearly_valid(target: targets.Target) -> None:
    made = structure.make_streams(SHORT) if target.of_streams else structure.make_archives()
    lasting = list(HealthCheck)

    @settings(max_examples=25, derandomize=True, database=None, suppress_health_check=lasting)
    @given(made)
    def check(data: bytes) -> None:
        target.check(data)

    check()


# The inputs


def test_seeds_and_structure_are_taken_and_refused() -> None:
    """Archives that are all refused, or none of them, would show little."""
    nearly: list[bytes] = []

    @settings(max_examples=100, derandomize=True, database=None)
    @given(structure.make_archives())
    def note(data: bytes) -> None:
        nearly.append(data)

    note()
    for archives in ARCHIVES.values(), nearly:
        taken = [is_taken(data) for data in list(archives)[::3]]
        assert len(taken) // 20 < sum(taken) < len(taken) * 19 // 20


def is_taken(data: bytes) -> bool:
    try:
        read_directory("s", len(data), lambda at, length: data[at : at + length])
    except parazip.BadArchiveError:
        return False
    return True


def test_a_quine_is_its_own_member() -> None:
    with zipfile.ZipFile(io.BytesIO(make_quine())) as archive:
        assert [archive.read(name) for name in archive.namelist()] == [make_quine()]


def test_an_overlap_bomb_is_many_times_its_size() -> None:
    kernel = bytes(10_000)
    data = seeds.make_overlap_bomb(10, kernel)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        infos = archive.infolist()
    assert len(infos) == 10
    assert sum(info.compress_size for info in infos) > 2 * len(data)
    assert all(info.file_size >= len(kernel) for info in infos)


# Each target sees what it is there for


Patch = Callable[[pytest.MonkeyPatch], None]


def lose_an_entry(patch: pytest.MonkeyPatch) -> None:
    read = read_directory
    patch.setattr(targets, "read_directory", lambda *words: read(*words)[:-1])


def copy_other_contents(patch: pytest.MonkeyPatch) -> None:
    """As if a member's bytes were another one's: sound, and not what it was."""
    merge = parazip.merge

    def merge_others(output: Path, sources: list[Path], *words: Any, **more: Any) -> None:
        merge(output, sources, *words, **more)
        with zipfile.ZipFile(output) as made:
            names = made.namelist()
        with zipfile.ZipFile(output, "w") as archive:
            for name in names:
                archive.writestr(name, b"" if name.endswith("/") else b"other contents")

    patch.setattr(parazip, "merge", merge_others)


def leave_an_output(patch: pytest.MonkeyPatch) -> None:
    merge = parazip.merge

    def write_early(output: Path, *words: Any, **more: Any) -> None:
        output.write_bytes(b"begun")
        merge(output, *words, **more)

    patch.setattr(parazip, "merge", write_early)


def check_no_contents(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(checking, "check_contents", lambda *words: None)


def believe_the_directory(patch: pytest.MonkeyPatch) -> None:
    """As if no local header were looked at, but for its lengths, and nothing behind a member."""

    def find_data(judge: Any, entry: Entry, front: bytes, read: Any) -> int:
        name, extra = struct.unpack_from("<2H", front, LOCAL.size - 4)
        return entry.record.offset + LOCAL.size + int(name) + int(extra)

    patch.setattr(checking, "find_data_offset", find_data)


def write_beside(patch: pytest.MonkeyPatch) -> None:
    extract = parazip.extract

    def escape(archive: Path, folder: Path, **more: Any) -> None:
        extract(archive, folder, **more)
        folder.with_name("beside").write_bytes(b"")

    patch.setattr(parazip, "extract", escape)


def extract_unchecked(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(contents, "inflate", lambda judge, entry, data: data)


def hold_other_contents(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(HoldingReader, "_inflate_sound", lambda self: bytes(self.contents_size))


def swallow_errors(patch: pytest.MonkeyPatch) -> None:
    decompress = inflating.StepInflater.decompress

    def give_nothing(self: inflating.StepInflater, data: Any, most: int = 0) -> bytes:
        try:
            return decompress(self, data, most)
        except inflating.InflateError:
            return b""

    patch.setattr(inflating.StepInflater, "decompress", give_nothing)


def prove_nothing(patch: pytest.MonkeyPatch) -> None:
    """A stretch counts that ends within a stored block, or refers to what is before it."""

    def inflate(data: Any) -> inflating.Stretch | None:
        stream = isal_zlib.decompressobj(-15)
        try:
            made = b"".join(stream.decompress(view) for view in data)
        except isal_zlib.error:  # type: ignore[misc] # as in `inflating`
            return None
        crc = checksums.crc32(made)
        return inflating.Stretch([made], crc) if len(made) == SHORT else None

    patch.setattr(inflating, "inflate_stretch", inflate)


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("reader", lose_an_entry),
        ("merge", copy_other_contents),
        ("merge", leave_an_output),
        ("verify", check_no_contents),
        ("extract", write_beside),
        ("extract", extract_unchecked),
        ("zipfile", hold_other_contents),
        ("inflating", swallow_errors),
        ("restarts", prove_nothing),
    ],
)
def test_a_target_fails_where_something_does_not_hold(
    name: str, spoil: Patch, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch)
    with pytest.raises((AssertionError, zipfile.BadZipFile)):
        check_all(TARGETS[name], iter(choose_seeds(TARGETS[name]).items()))


def test_a_reader_that_knows_no_directory_is_asked_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """zipfile sees nothing of a record that the directory does not list."""
    data = zipped(A, LAST._replace(before=make_lying_record()))
    targets.check_verify(data)
    believe_the_directory(monkeypatch)
    with pytest.raises(AssertionError):
        targets.check_verify(data)
