"""What is told on the wire comes back as it was: each kind of contents, of task and of piece."""

from __future__ import annotations

import marshal
from typing import Any, get_args

import pytest

from parazip.codecs import levels
from parazip.engine import wire
from parazip.engine.plan import Batch, CopyBatch, MembersTask, PackedBatch
from parazip.format.values import Entry, Record
from parazip.model import (
    ArchiveMember,
    Block,
    Contents,
    Feed,
    FeedBlock,
    File,
    FilePiece,
    Header,
    Member,
    OpenFeed,
    Part,
    Range,
    SentPart,
    Tally,
    Twin,
    Uploaded,
)
from parazip.sources import contents

FILE = File("/a/file", 12, 34, 56, 78, "mtime")

ONE = File("/one.zip", 1, 2, 3)

OTHER = File("/other.zip", 4, 5, 6)

RECORD = Record(b"name", 1, 8, 2, 3, 4, 12, 5, 6)

MEMBER = ArchiveMember(ONE, Entry("name", RECORD, 99))

KINDS: list[Contents] = [
    b"",
    b"some bytes",
    FILE,
    FilePiece(OTHER, 1, 2, 3),
    MEMBER,
    Twin(FILE, MEMBER._replace(archive=OTHER)),
]

STAY: list[Contents] = [
    Feed(iter([]), None),
    OpenFeed(b"", lambda size: b"", None),
    FeedBlock(b"", b"", 0, 0, None),
]
"""What comes as somebody iterates; a block of it is never handed to a helper."""

UPLOADED = Uploaded(12, SentPart(1, "etag", 2, 12))

RECIPE = levels.choose_recipe(6, "auto")


def test_no_kind_is_forgotten() -> None:
    assert {type(kind) for kind in [*KINDS, *STAY]} == set(get_args(Contents))


@pytest.mark.parametrize("kind", STAY, ids=lambda kind: type(kind).__name__)
def test_what_somebody_iterates_over_stays_in_its_process(kind: Contents) -> None:
    with pytest.raises(TypeError, match="stays in its process"):
        contents.flatten_contents(kind, {})


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: type(kind).__name__)
def test_contents_come_back(kind: Contents) -> None:
    archives = {File("/first.zip", 7, 8, 9): 0}
    flat = marshal.loads(marshal.dumps(contents.flatten_contents(kind, archives)))
    assert isinstance(flat[0], str)
    again = contents.restore_contents(flat, list(archives))
    assert again == kind
    assert type(again) is type(kind)


@pytest.mark.parametrize("store", [False, True])
@pytest.mark.parametrize("kind", [Batch, CopyBatch])
def test_tasks_come_back(kind: type[Batch | CopyBatch], store: bool) -> None:
    members = [Member(f"{i}", source, i, 5, store, 4096) for i, source in enumerate(KINDS)]
    task = (
        Batch(members, RECIPE, 77)
        if kind is Batch
        else CopyBatch(members, RECIPE, store, 77, 88, 99)
    )
    again = wire.read_question(wire.write_question(task))
    assert again == task
    assert type(again) is kind
    assert type(again.recipe.whole) is type(RECIPE.whole)
    assert [type(member.source) for member in again.members] == [type(kind) for kind in KINDS]


def test_members_come_back() -> None:
    members = [Member(f"{i}", source, i, 5) for i, source in enumerate(KINDS)]
    task = MembersTask(members, RECIPE, True, 77)
    again = wire.read_members(wire.write_question(task))
    assert again == task
    assert type(again) is MembersTask


def test_archives_are_told_once() -> None:
    members = [Member(f"{i}", MEMBER, i, 5) for i in range(99)]
    assert wire.write_question(Batch(members, RECIPE, 77)).count(b"one.zip") == 1


def test_parts_come_back() -> None:
    pieces = (
        b"bytes",
        b"",
        Range(FILE, 1, 2),
        Header(b"head", 4096),
        Header(b"head", 64, True),
        UPLOADED,
        Uploaded(5, None),
    )
    part = Part(pieces, b"directory", {"copied": Tally(1, 2, 3), "isal 1": Tally(4, 5, 6)})
    again = wire.read_answer(wire.write_answer(part))
    assert again == part
    assert [type(piece) for piece in again.data] == [type(piece) for piece in pieces]
    assert [type(tally) for tally in again.tallies.values()] == [Tally, Tally]


def test_blocks_come_back() -> None:
    for block in (
        Block((b"data", b"more"), 1, 2, True, 3, 4),
        Block((), 1, 2, sent=UPLOADED),
        Block((), 1, 2, sent=Uploaded(5, None)),
    ):
        again = wire.read_answer(wire.write_answer(block))
        assert again == block
        assert isinstance(again, Block)
        assert type(again.sent) is type(block.sent)


def test_views_come_back_as_bytes() -> None:
    part = Part((memoryview(b"view"), bytearray(b"array")), b"", {})
    again = wire.read_answer(wire.write_answer(part))
    assert again is not None
    assert again.data == (b"view", b"array")


def test_no_part_comes_back_as_none() -> None:
    assert wire.read_answer(wire.write_answer(None)) is None


def retag(plain: bytes, old: str) -> Any:
    """The same with another tag."""
    assert old.encode() in plain
    return plain.replace(old.encode(), b"?" * len(old))


def test_an_unknown_tag_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"^there are no contents of the kind 'link'$"):
        contents.restore_contents(("link", "target"), [])
    question = wire.write_question(Batch([Member("m", b"", 1, 2)], RECIPE, 0))
    with pytest.raises(ValueError, match=r"^there are no tasks of the kind '\?\?\?\?\?\?\?\?'$"):
        wire.answer_question(retag(question, "compress"))
    with pytest.raises(ValueError, match=r"^there are no contents of the kind '\?\?\?\?\?'$"):
        wire.answer_question(retag(question, "bytes"))
    answer = wire.write_answer(Part((b"data",), b"", {}))
    with pytest.raises(ValueError, match=r"^there are no pieces of the kind '\?\?\?\?\?'$"):
        wire.read_answer(retag(answer, "bytes"))


def test_a_pack_comes_back_as_its_batch() -> None:
    members = [Member("a/", b"", 0x10, 1), Member("a/b", FILE, 2, 3)]
    task = PackedBatch(contents.pack_members(members), RECIPE)
    batch = Batch(members, RECIPE, FILE.size)
    assert wire.read_question(wire.write_question(task)) == task.unpack() == batch
    assert (task.cost, task.held, task.size) == (batch.cost, batch.held, batch.size)
