"""The dates of members: their own, one for all, and those of SOURCE_DATE_EPOCH."""

from __future__ import annotations

import datetime
import io
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from parazip import DateError, Selection, SettingsError, create, merge
from parazip.sources.dates import Timestamp
from support.sources import DATE, make_paths, scan_paths

FIXED = datetime.datetime(2020, 2, 29, 12, 34, 56)


def dos(moment: datetime.datetime) -> int:
    date = (moment.year - 1980) << 9 | moment.month << 5 | moment.day
    return date << 16 | moment.hour << 11 | moment.minute << 5 | moment.second // 2


def dated(root: Path, seconds: float) -> Path:
    """A file of that time, if the file system can express it."""
    make_paths(root, "f")
    os.utime(root / "f", (seconds, seconds))
    if (root / "f").stat().st_mtime != seconds:
        pytest.skip("this file system keeps no such times")
    return root


def date_of(root: Path, **selection: Any) -> int:
    (member,) = scan_paths(["f"], Selection(directory=root, **selection))
    return member.date


@pytest.fixture
def time_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    def choose(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield choose
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("zone", "seconds", "local"),
    [
        ("UTC0", 1_600_000_000, datetime.datetime(2020, 9, 13, 12, 26, 40)),
        ("XXX-05:30", 1_600_000_002, datetime.datetime(2020, 9, 13, 17, 56, 42)),
        ("YYY8", 1_600_000_004, datetime.datetime(2020, 9, 13, 4, 26, 44)),
        ("UTC0", 1_600_000_007, datetime.datetime(2020, 9, 13, 12, 26, 46)),
    ],
)
def test_files_keep_their_own_local_times(
    tmp_path: Path,
    time_zone: Callable[[str], None],
    zone: str,
    seconds: int,
    local: datetime.datetime,
) -> None:
    time_zone(zone)
    assert date_of(dated(tmp_path, seconds)) == dos(local)


def test_a_program_may_change_its_time_zone(
    tmp_path: Path, time_zone: Callable[[str], None]
) -> None:
    root = dated(tmp_path, 1_600_000_000)
    dates = []
    for zone in ("UTC0", "XXX-05:30", "UTC0"):
        time_zone(zone)
        dates.append(date_of(root))
    local = [datetime.datetime(2020, 9, 13, *hour, 40) for hour in ((12, 26), (17, 56), (12, 26))]
    assert dates == list(map(dos, local))


FIRST = datetime.datetime(1980, 1, 1)

LAST = datetime.datetime(2107, 12, 31, 23, 59, 58)


@pytest.mark.parametrize(
    ("zone", "moment", "date"),
    [
        ("UTC0", datetime.datetime(1979, 12, 31, 23, 59, 59), None),
        ("UTC0", FIRST, FIRST),
        ("EST5", FIRST, None),
        ("EST5", datetime.datetime(1980, 1, 1, 5), FIRST),
        ("XXX-05:30", datetime.datetime(1979, 12, 31, 18, 30), FIRST),
        ("UTC0", LAST, LAST),
        ("UTC0", datetime.datetime(2108, 1, 1), None),
        ("XXX-05:30", LAST, None),
        ("UTC0", datetime.datetime(1970, 1, 1), None),
        ("UTC0", datetime.datetime(1960, 1, 1), None),
    ],
    ids=str,
)
@pytest.mark.parametrize("timestamp", [None, "keep", "clamp"])
def test_own_times_outside_of_1980_to_2107_become_the_nearest_that_there_is(
    tmp_path: Path,
    time_zone: Callable[[str], None],
    zone: str,
    moment: datetime.datetime,
    date: datetime.datetime | None,
    timestamp: Timestamp | None,
) -> None:
    time_zone(zone)
    dated(tmp_path, moment.replace(tzinfo=datetime.UTC).timestamp())
    selection = Selection(directory=tmp_path, timestamp=timestamp)
    report = create(io.BytesIO(), ["f"], selection=selection)
    nearest = FIRST if moment.year < 2000 else LAST
    assert date_of(tmp_path, timestamp=timestamp) == dos(date or nearest)
    if date or timestamp == "clamp":
        assert report.notes == ()
    else:
        (note,) = report.notes
        assert "outside of 1980 to 2107" in note
        assert "--timestamp clamp" in note
        assert str(tmp_path / "f") in note
    assert date_of(tmp_path, timestamp="epoch") == DATE


def test_dates_that_are_moved_are_told_in_one_bounded_note(tmp_path: Path) -> None:
    make_paths(tmp_path, *(f"t/{i}" for i in range(9)))
    for i in range(9):
        os.utime(tmp_path / "t" / str(i), (i, i))
    report = create(io.BytesIO(), ["t"], selection=Selection(directory=tmp_path))
    (note,) = report.notes
    assert note.endswith("t/2' and 6 more")
    merged = merge(io.BytesIO(), [tmp_path / "t"])
    assert merged.notes == report.notes


@pytest.mark.parametrize("moment", [datetime.datetime(1979, 12, 31), datetime.datetime(2108, 1, 1)])
def test_given_dates_must_be_in_1980_to_2107(moment: datetime.datetime) -> None:
    with pytest.raises(DateError, match="1980 to 2107") as caught:
        Selection(timestamp=moment)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("timestamp", "date"),
    [
        ("epoch", DATE),
        (FIXED, dos(FIXED)),
        (datetime.datetime(1980, 1, 1), DATE),
        (
            datetime.datetime(2107, 12, 31, 23, 59, 59),
            dos(datetime.datetime(2107, 12, 31, 23, 59, 58)),
        ),
    ],
    ids=str,
)
def test_one_date_for_all_members(tmp_path: Path, timestamp: Any, date: int) -> None:
    make_paths(tmp_path, "t/d/x", "t/y")
    (tmp_path / "t/link").symlink_to("y")
    selection = Selection(directory=tmp_path, timestamp=timestamp, symlinks="store")
    assert {member.date for member in scan_paths(["t"], selection)} == {date}


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("1700000000", datetime.datetime(2023, 11, 14, 22, 13, 20)),
        ("315532800", datetime.datetime(1980, 1, 1)),
        ("4354819199", LAST),
        ("0", FIRST),
        ("1", FIRST),
        ("-1", FIRST),
        ("315532799", FIRST),
        ("4354819200", LAST),
        ("9" * 30, LAST),
        ("-" + "9" * 30, FIRST),
    ],
)
def test_source_date_epoch_is_told_in_utc_and_moved_into_1980_to_2107(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    time_zone: Callable[[str], None],
    text: str,
    moment: datetime.datetime,
) -> None:
    time_zone("XXX-05:30")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", text)
    assert date_of(dated(tmp_path, 1_600_000_000)) == dos(moment)


@pytest.mark.parametrize("text", ["yesterday", "1.5", "0x10", "9" * 5000])
def test_a_source_date_epoch_that_is_no_number_is_refused_by_its_name(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", text)
    with pytest.raises(SettingsError, match="SOURCE_DATE_EPOCH"):
        Selection()


@pytest.mark.parametrize("zone", ["UTC0", "XXX-14", "XXX+12"])
@pytest.mark.parametrize(
    ("epoch", "seconds", "moment"),
    [
        (1_700_000_000, 1_600_000_010, datetime.datetime(2020, 9, 13, 12, 26, 50)),
        (1_700_000_000, 1_700_000_000, datetime.datetime(2023, 11, 14, 22, 13, 20)),
        (1_700_000_000, 1_700_000_001, datetime.datetime(2023, 11, 14, 22, 13, 20)),
        (1_700_000_000, 1_699_990_000, datetime.datetime(2023, 11, 14, 19, 26, 40)),
        (1_700_000_000, 9_000_000_000, datetime.datetime(2023, 11, 14, 22, 13, 20)),
        (1_700_000_000, 0, FIRST),
        (0, 1_600_000_010, FIRST),
        (-1, 0, FIRST),
        (9_000_000_000, 8_000_000_000, LAST),
        (9_000_000_000, 1_600_000_010, datetime.datetime(2020, 9, 13, 12, 26, 50)),
    ],
)
def test_clamp_keeps_dates_up_to_source_date_epoch_the_same_in_each_time_zone(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    time_zone: Callable[[str], None],
    zone: str,
    epoch: int,
    seconds: int,
    moment: datetime.datetime,
) -> None:
    time_zone(zone)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(epoch))
    selection = Selection(directory=dated(tmp_path, seconds), timestamp="clamp")
    assert create(io.BytesIO(), ["f"], selection=selection).notes == ()
    assert date_of(tmp_path, timestamp="clamp") == dos(moment)


def test_clamp_needs_a_source_date_epoch_that_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(SettingsError, match="SOURCE_DATE_EPOCH=yesterday is not a number"):
        Selection(timestamp="clamp")
    assert Selection(timestamp="keep").timestamp == "keep"


def test_a_chosen_date_wins_over_source_date_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, time_zone: Callable[[str], None]
) -> None:
    time_zone("UTC0")
    dated(tmp_path, 1_600_000_010)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert date_of(tmp_path, timestamp="epoch") == DATE
    assert date_of(tmp_path, timestamp=FIXED) == dos(FIXED)
    assert date_of(tmp_path, timestamp="keep") == dos(datetime.datetime(2020, 9, 13, 12, 26, 50))
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "nonsense")
    assert date_of(tmp_path, timestamp="epoch") == DATE
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "")
    assert date_of(tmp_path) == dos(datetime.datetime(2020, 9, 13, 12, 26, 50))
