"""What a merge makes of duplicates, of what is left out, and of what it cannot copy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from parazip import DuplicateMemberError, NotCopiedError, Selection
from parazip.sources import archives
from parazip.sources.merging import OnDuplicate
from support.archive_parts import LAST, NOT_COPIED, RECORD, TEXT, A, merge_and_read, refuse_merge
from support.odd_archives import STORED, Item, zipped

OUT = Selection(exclude=("n",))


def test_duplicates_in_one_archive_are_settled_as_asked(tmp_path: Path) -> None:
    first, second = Item(b"n", b"first", STORED), Item(b"n", b"second")
    data = zipped(first, LAST, second)
    with pytest.raises(DuplicateMemberError, match="--exclude, or choose with") as error:
        merge_and_read(tmp_path, data)
    assert "NAME/=SOURCE" not in str(error.value)
    expected: dict[OnDuplicate, dict[str, bytes]] = {
        "first": {"n": b"first", "last": b"1"},
        "last": {"last": b"1", "n": b"second"},
    }
    for choice, contents in expected.items():
        found = merge_and_read(tmp_path, data, on_duplicate=choice)
        assert list(found.items()) == list(contents.items())
    with pytest.raises(DuplicateMemberError, match="differ in size or CRC-32"):
        merge_and_read(tmp_path, data, on_duplicate="same")
    twice = zipped(first, first)
    assert merge_and_read(tmp_path, twice, on_duplicate="same") == {"n": b"first"}
    assert merge_and_read(tmp_path, data, selection=OUT) == {"last": b"1"}


@pytest.mark.parametrize(
    "case",
    [
        lambda **lies: (zipped(Item(b"n", TEXT, **lies), LAST), {"selection": OUT}),
        lambda **lies: (zipped(LAST, A, Item(b"a.py", TEXT, **lies)), {"on_duplicate": "first"}),
        lambda **lies: (zipped(Item(b"a.py", TEXT, **lies), A), {"on_duplicate": "last"}),
        lambda **lies: (zipped(Item(b"./", TEXT[:0], **lies), A), {}),
        lambda **lies: (zipped(Item(b"d/", b"", **lies), Item(b"d/"), A), {}),
        lambda **lies: (zipped(Item(b"d/", b""), Item(b"d/", b"", **lies), A), {}),
    ],
    ids=["left out", "second", "first", "the top", "a folder", "a folder twice"],
)
def test_what_is_not_taken_must_have_one_meaning_too(
    tmp_path: Path, case: Callable[..., tuple[bytes, dict[str, Any]]]
) -> None:
    data, options = case()
    merge_and_read(tmp_path, data, **options)
    for lies, rule in (
        ({"after": RECORD}, "unlisted-record"),
        ({"local": {"crc": 5}}, "local-sizes-mismatch"),
    ):
        data, options = case(**lies)
        assert refuse_merge(tmp_path, data, **options).id == rule


@pytest.mark.parametrize("case", NOT_COPIED)
def test_what_cannot_be_copied_has_an_id_and_can_be_left_out(tmp_path: Path, case: str) -> None:
    data = zipped(LAST, NOT_COPIED[case])
    with pytest.raises(NotCopiedError) as error:
        merge_and_read(tmp_path, data)
    assert error.value.id == case.partition(",")[0]
    assert error.value.id in archives.NOT_COPIED
    assert str(error.value).endswith(f" [{error.value.id}]")
    assert "[" not in error.value.reason
    left_out = Selection(exclude=("n*",))
    assert merge_and_read(tmp_path, data, selection=left_out) == {"last": b"1"}
