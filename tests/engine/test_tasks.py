"""Tasks of all kinds, done here and in helpers: the same parts."""

from __future__ import annotations

import random
import zipfile
from functools import partial
from pathlib import Path

import pytest

import parazip
from parazip import BadArchiveError, Settings, SourceChangedError
from parazip.codecs import checksums, levels
from parazip.codecs.levels import Recipe
from parazip.codecs.sizes import BLOCK
from parazip.engine import copying, plan, wire
from parazip.engine.assembly import assemble
from parazip.engine.plan import Batch, CopyBatch
from parazip.engine.progress import Counter
from parazip.engine.sections import AssemblyOptions
from parazip.format.values import Entry
from parazip.model import ArchiveMember, File, FilePiece, Member, Part, Range, Section, Twin
from parazip.settings import MIB
from parazip.sources import contents, files
from parazip.sources.archives import read_entries

RECIPE = levels.choose_recipe(6, "auto")

TEXT = b"".join(b"%d words of text\n" % i for i in range(20_000))

NOISE = random.Random(1).randbytes(contents.RANGE + 1)

CONTENTS = {"text": TEXT, "noise": NOISE, "n\u00e4me": b"short " * 9, "changed": b"as it was " * 9}


class Sources:
    """Files, and an archive that has them too, but for one."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "archive.zip"
        with zipfile.ZipFile(self.path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in CONTENTS.items():
                archive.writestr(name, data)
        self.archive = files.describe_file(str(self.path), self.path.stat())
        self.entries = {entry.name: entry for entry in read_entries(self.archive)}
        (folder / "files").mkdir()
        for name, data in CONTENTS.items():
            (folder / "files" / name).write_bytes(data)
        (folder / "files/changed").write_bytes(b"as it is! " * 9)
        self.folder = folder / "files"

    def file(self, name: str) -> File:
        path = self.folder / name
        return files.describe_file(str(path), path.stat())

    def twin(self, name: str) -> Member:
        return Member(f"t/{name}", Twin(self.file(name), self.packed(name)), 1, 2)

    def packed(self, name: str) -> ArchiveMember:
        return ArchiveMember(self.archive, self.entries[name])

    def twins(self) -> list[Member]:
        return [Member("t/", b"", 0x10, 2), *(self.twin(name) for name in CONTENTS)]


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    return Sources(tmp_path)


def task_of(members: list[Member], recipe: Recipe = RECIPE) -> CopyBatch:
    (task,) = plan.plan_tasks(members, recipe, lambda _: True)
    assert isinstance(task, CopyBatch)
    return task


def tasks(sources: Sources) -> list[Batch | CopyBatch]:
    packed = [Member(name, sources.packed(name), 1, 2) for name in CONTENTS]
    plain = [
        Member("a", sources.file("text"), 1, 2),
        Member("b", b"", 1, 2, True),
        Member("c", FilePiece(sources.file("text"), 77, 5_000, 1), 1, 2),
    ]
    return [
        task_of(sources.twins()),
        task_of(packed),
        task_of(packed)._replace(check=True),
        Batch(plain, levels.choose_recipe(1, "isal"), len(TEXT)),
    ]


@pytest.mark.parametrize("which", range(4))
def test_a_helper_makes_the_same_part(sources: Sources, which: int) -> None:
    task = tasks(sources)[which]
    part = wire.do_task(task)
    assert isinstance(part, Part)
    again = wire.read_answer(wire.answer_question(wire.write_question(task)))
    assert again == part
    assert [type(piece) for piece in again.data] == [type(piece) for piece in part.data]
    assert again.tallies == part.tallies
    assert any(isinstance(piece, Range) for piece in part.data) == (which < 3)


def test_a_twin_is_copied_if_it_is_one_and_compressed_if_not(sources: Sources) -> None:
    part = wire.do_task(task_of(sources.twins()))
    assert isinstance(part, Part)
    assert {how: tally.members for how, tally in part.tallies.items()} == {
        "stored": 1,
        copying.COPIED: 3,
        str(RECIPE.whole): 1,
    }


SIZES = [0, 1, 70_000, BLOCK, 5 * BLOCK + 1]


@pytest.mark.once
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("recipe", [levels.choose_recipe(1, "auto"), RECIPE, levels.AS_ZIPFILE])
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_piece_of_a_file_is_made_as_a_file_of_its_own(
    tmp_path: Path, size: int, recipe: Recipe, jobs: int
) -> None:
    data = b"".join(b"%d lines\n" % i for i in range(size // 7 + 1))[:size]
    (tmp_path / "alone").write_bytes(data)
    (tmp_path / "piece").write_bytes(b"before" + data + b"behind")
    alone, piece = (
        files.describe_file(str(tmp_path / name), (tmp_path / name).stat())
        for name in ("alone", "piece")
    )
    recipe = recipe._replace(cut=2 * BLOCK)
    archives = []
    for source in (alone, FilePiece(piece, 6, size, checksums.crc32(data)), data):
        target = tmp_path / "out.zip"
        member = Member("m", source, 1 << 16, 1 << 21 | 1 << 16)
        section = Section(partial(list, [member]))
        means = AssemblyOptions(recipe=recipe, jobs=jobs, memory=MIB)
        assemble(str(target), [section], means, Counter(None))
        archives.append(target.read_bytes())
        with zipfile.ZipFile(target) as archive:
            assert archive.read("m") == data
    assert archives[0] == archives[1] == archives[2]
    if recipe.whole == levels.AS_ZIPFILE.whole:
        with zipfile.ZipFile(tmp_path / "zipfile.zip", "w") as archive:
            again = zipfile.ZipInfo("m")
            again.compress_type = zipfile.ZIP_DEFLATED
            again.external_attr = 1 << 16
            archive.writestr(again, data)
        assert (tmp_path / "zipfile.zip").read_bytes() == archives[0]


def test_a_piece_of_a_file_that_was_cut_off_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "piece"
    path.write_bytes(b"x" * 100)
    found = files.describe_file(str(path), path.stat())
    path.write_bytes(b"x" * 50)
    for size in (10, 100):
        with pytest.raises(SourceChangedError, match="piece changed while it was read"):
            wire.do_task(Batch([Member("m", FilePiece(found, 0, size, 1), 1, 2)], RECIPE, size))


def make_large_twin(sources: Sources, changed: bool) -> Member:
    """A twin of more bytes than are compressed whole."""
    data = bytearray(b"%d large\n" % 7 * (MIB // 4))
    with zipfile.ZipFile(sources.path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("large", data)
    data[-1] ^= changed
    (sources.folder / "large").write_bytes(data)
    archived = files.describe_file(str(sources.path), sources.path.stat())
    (entry,) = (entry for entry in read_entries(archived) if entry.name == "large")
    return Member("large", Twin(sources.file("large"), ArchiveMember(archived, entry)), 1, 2)


@pytest.mark.parametrize("changed", [False, True])
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_large_twin_is_copied_or_cut(
    sources: Sources, tmp_path: Path, changed: bool, jobs: int
) -> None:
    twin = make_large_twin(sources, changed)
    source = twin.source
    assert isinstance(source, Twin)
    expected = twin._replace(source=source.file if changed else source.original)
    settings = Settings(level=1, jobs=jobs)
    first, last = Member("first", b"1", 1, 2), Member("last", b"2", 1, 2)
    reports = [
        parazip.write(tmp_path / name, [first, member, last], settings)
        for name, member in [("twin.zip", twin), ("plain.zip", expected)]
    ]
    assert (tmp_path / "twin.zip").read_bytes() == (tmp_path / "plain.zip").read_bytes()
    assert reports[0].codecs == reports[1].codecs
    how = wire.do_task(task_of([twin], levels.choose_recipe(1, "auto")))
    assert (how is None) == changed


def test_large_twins_are_alone_in_their_tasks_and_others_share_them(sources: Sources) -> None:
    small, big = sources.twin("text"), make_large_twin(sources, False)
    members = [small, small, big, big, small]
    recipe = levels.choose_recipe(1, "auto")
    found = list(plan.plan_tasks(members, recipe, lambda _: True))
    assert [len(task.members) for task in found if isinstance(task, CopyBatch)] == [2, 1, 1, 1]
    whole = list(plan.plan_tasks([small] * 600, recipe, lambda _: True))
    assert sum(len(task.members) for task in whole if isinstance(task, CopyBatch)) == 600
    assert all(isinstance(task, CopyBatch) for task in whole)
    assert max(task.size for task in whole if isinstance(task, CopyBatch)) <= 4 * MIB


@pytest.mark.parametrize("change", ["file", "archive"])
def test_a_twin_that_changes_is_an_error(sources: Sources, change: str) -> None:
    task = task_of([sources.twin("text")])
    path = sources.path if change == "archive" else sources.folder / "text"
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(SourceChangedError, match=f"{path} changed while it was read"):
        wire.do_task(task)


def test_a_twin_in_an_archive_whose_headers_disagree_is_an_error(sources: Sources) -> None:
    entry = sources.entries["text"]
    lie = Entry(entry.name, entry.record._replace(flags=entry.record.flags ^ 1), entry.end)
    twin = Member("x", Twin(sources.file("text"), ArchiveMember(sources.archive, lie)), 1, 2)
    with pytest.raises(BadArchiveError, match="local-header-mismatch"):
        wire.do_task(task_of([twin]))


def test_what_is_small_and_not_copied_is_made_in_the_same_task(sources: Sources) -> None:
    others = [
        Member("file", sources.file("changed"), 1, 2),
        Member("bytes", b"words " * 99, 1, 2),
        Member("kept as it is", b"words " * 99, 1, 2, True),
        Member("nothing", b"", 1, 2),
    ]
    task = task_of([Member("copied", sources.packed("text"), 1, 2), *others])
    part = wire.do_task(task)
    assert isinstance(part, Part)
    assert {how: tally[:2] for how, tally in part.tallies.items()} == {
        copying.COPIED: (1, len(TEXT)),
        str(RECIPE.whole): (2, 90 + 594),
        "stored": (2, 594),
    }
