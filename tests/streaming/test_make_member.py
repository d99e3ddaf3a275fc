"""Members as programs make them."""

from __future__ import annotations

import datetime
import io
import os
import time
from pathlib import Path
from typing import Any

import pytest

import parazip
from parazip import make_member, stream
from support.archives import contents_of, open_archive

MOMENT = datetime.datetime(2001, 2, 3, 4, 5, 6)


def test_names_dates_and_modes_are_put_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    before = time.localtime(time.time() - 2)[:6]
    data = b"".join(
        stream(
            [
                make_member("run.sh", b"#!/bin/sh\n", date=MOMENT, mode=0o755),
                make_member("now", b""),
                make_member("folder/", b"", mode=0o700),
            ]
        )
    )
    with open_archive(data) as archive:
        run, now, folder = archive.infolist()
    assert run.date_time == (2001, 2, 3, 4, 5, 6)
    assert run.external_attr >> 16 == 0o100755
    assert now.external_attr >> 16 == 0o100644
    assert before <= now.date_time <= time.localtime()[:6]
    assert folder.external_attr == 0o40700 << 16 | 0x10


def test_source_date_epoch_is_the_date_where_none_is_given(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(int(datetime.datetime(2011, 1, 1).timestamp())))
    (tmp_path / "a").write_bytes(b"a")
    fixed = [make_member("a", b"a"), make_member("b", tmp_path / "a")]
    assert len({member.date for member in fixed}) == 1
    assert make_member("a", b"a", date=MOMENT).date != fixed[0].date


@pytest.mark.skipif(os.name != "posix", reason="there are no such modes")
def test_a_file_keeps_its_own_date_and_mode(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "a").chmod(0o750)
    os.utime(tmp_path / "a", (MOMENT.timestamp(), MOMENT.timestamp()))
    with open_archive(b"".join(stream([make_member("b", tmp_path / "a")]))) as archive:
        (info,) = archive.infolist()
    assert (info.date_time, info.external_attr >> 16) == ((2001, 2, 3, 4, 5, 6), 0o100750)


@pytest.mark.parametrize(
    "contents",
    [
        b"text",
        bytearray(b"text"),
        memoryview(b"text"),
        memoryview(b"t.e.x.t.")[::2],
        io.BytesIO(b"text"),
        [b"te", b"", bytearray(b"xt")],
        iter([b"te", b"xt"]),
        (piece for piece in (b"te", b"xt")),
    ],
)
def test_whatever_gives_bytes_can_be_a_member(contents: Any) -> None:
    assert contents_of(b"".join(stream([make_member("a", contents)]))) == {"a": b"text"}


def test_an_open_file_is_read_from_where_it_stands(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"head body")
    with open(tmp_path / "a", "rb") as file:
        file.seek(5)
        assert contents_of(b"".join(stream([make_member("a", file)]))) == {"a": b"body"}
        assert not file.closed


@pytest.mark.parametrize(
    ("arguments", "error", "told"),
    [
        (("a", "text"), TypeError, "encode the text"),
        (("a", 7), TypeError, "a cannot be made of 7"),
        (("a", None), TypeError, "a cannot be made of None"),
        ((b"a", b"a"), TypeError, "a string, not b'a'"),
        (("a/", b"a"), parazip.SettingsError, "a folder, which has no contents"),
        (("a/", iter([])), parazip.SettingsError, "a folder, which has no contents"),
    ],
)
def test_what_can_be_no_member_is_refused_at_once(
    arguments: tuple[Any, Any], error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        make_member(*arguments)


@pytest.mark.parametrize(
    ("more", "error", "told"),
    [
        ({"size": -1}, parazip.SettingsError, "0 or more"),
        ({"size": 5}, parazip.SettingsError, "has 4 bytes, and not 5"),
        ({"mode": 0o10000}, parazip.SettingsError, "0 to 0o7777"),
        ({"mode": -1}, parazip.SettingsError, "0 to 0o7777"),
        ({"date": datetime.datetime(1979, 1, 1)}, parazip.DateError, "1980 to 2107"),
        ({"date": datetime.datetime(2108, 1, 1)}, parazip.DateError, "1980 to 2107"),
    ],
)
def test_what_is_out_of_range_is_refused_at_once(
    more: dict[str, Any], error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        make_member("a", b"text", **more)


def test_text_from_a_file_is_refused_when_it_is_read() -> None:
    text: Any = io.StringIO("text")
    with pytest.raises(TypeError, match="a is to be made of bytes, not of 'text'"):
        list(stream([make_member("a", text)]))


@pytest.mark.parametrize("contents", [iter([b"a"]), io.BytesIO(b"a")])
def test_what_was_read_is_not_put_in_again_as_nothing(contents: Any) -> None:
    member = make_member("a", contents)
    assert contents_of(b"".join(stream([member]))) == {"a": b"a"}
    with pytest.raises(parazip.SourceError, match="a a second time"):
        list(stream([member]))


def test_what_can_be_read_again_is() -> None:
    member = make_member("a", [b"a"])
    assert b"".join(stream([member])) == b"".join(stream([member]))
