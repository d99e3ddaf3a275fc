"""What `verify` calls sound means the same to zipfile and to who merges it."""

from __future__ import annotations

import io
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
from readers.ambiguities import CLASSES, make_ambiguities

import parazip

SMALL = 1 << 20
"""Bytes; archives of 65,537 members are left to `make readers`."""

ALL = [each for each in make_ambiguities() if len(each.data) < SMALL]


def read_all(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def test_all_classes_have_archives() -> None:
    assert {each.of for each in ALL} == {*CLASSES}
    assert len(ALL) > 800


@pytest.mark.once
@pytest.mark.parametrize("of", CLASSES)
def test_what_is_sound_means_the_same(tmp_path: Path, of: str) -> None:
    """To zipfile, and to who reads what merge makes of it, if it copies it."""
    path = tmp_path / "a.zip"
    for each in ALL:
        if each.of == of:
            path.write_bytes(each.data)
            if parazip.verify(path, profiles=["strict"]).is_sound:
                merged = io.BytesIO()
                with suppress(parazip.NotCopiedError):
                    parazip.merge(merged, [path], check_crc=True)
                    assert read_all(each.data) == read_all(merged.getvalue()), each.variant
