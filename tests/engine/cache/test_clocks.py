"""Clocks that jump, and file systems whose clocks are coarse."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from parazip.engine import cache as cache_module
from parazip.engine import keys
from parazip.engine.cache import Cache
from parazip.engine.keys import identify_by_content, identify_by_stat
from parazip.model import File
from support.caching import KEY, keep_part, key_of_number, place_of_part, recall_part

HOUR = 3600

NOW = 1_800_000_000

SECOND = 10**9


def set_clock(patch: pytest.MonkeyPatch, seconds: float) -> None:
    clock = SimpleNamespace(time=lambda: seconds, time_ns=lambda: int(seconds * SECOND))
    for module in cache_module, keys:
        patch.setattr(module, "time", clock)


def list_left(cache: Cache) -> list[int]:
    return [number for number in range(20) if place_of_part(cache, key_of_number(number)).exists()]


USES = {
    "by their times": ([-5 * HOUR, -3, -HOUR, -1, -2 * HOUR], [0, 4, 2, 1, 3]),
    "a clock was a year ahead": ([-9, 8766 * HOUR, -8, 8767 * HOUR, -7], [1, 3, 0, 2, 4]),
    "others' clocks are a little ahead": ([-9, 50, -8, HOUR - 60, -7], [0, 2, 4, 1, 3]),
    "a clock was in 1970": ([-9, 100 - NOW, -8, 99 - NOW, -7], [3, 1, 0, 2, 4]),
    "a clock was before that": ([-9, -NOW - 1, -8, -NOW - HOUR, -7], [3, 1, 0, 2, 4]),
    "all are to come": ([9 * HOUR, 8 * HOUR, 7 * HOUR, 6 * HOUR, 5 * HOUR], [4, 3, 2, 1, 0]),
}


@pytest.mark.parametrize(("uses", "order"), USES.values(), ids=USES)
def test_what_was_used_longest_ago_goes_first_whatever_the_clock_was(
    cache: Cache, monkeypatch: pytest.MonkeyPatch, uses: list[int], order: list[int]
) -> None:
    for number, use in enumerate(uses):
        keep_part(cache, key_of_number(number))
        os.utime(place_of_part(cache, key_of_number(number)), (NOW + use, NOW))
    size = place_of_part(cache, key_of_number(0)).stat().st_size
    set_clock(monkeypatch, NOW)
    gone: list[int] = []
    for left in range(4, -1, -1):
        before = set(list_left(cache))
        cache.prune(left * size)
        gone += before - set(list_left(cache))
    assert gone == order


@pytest.mark.parametrize("jump", [-NOW, -HOUR * 9000, HOUR * 9000])
def test_what_is_kept_and_found_after_a_jump_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump: int
) -> None:
    cache = Cache(tmp_path, 1 << 30)
    for number in range(4):
        keep_part(cache, key_of_number(number))
        os.utime(place_of_part(cache, key_of_number(number)), (NOW - 9 + number, NOW))
    size = place_of_part(cache, key_of_number(0)).stat().st_size
    cache = Cache(tmp_path, 2 * size)
    set_clock(monkeypatch, NOW + jump)
    assert cache.find(key_of_number(0)) is not None
    keep_part(cache, key_of_number(4))
    # The system's own clock does not jump in a test.
    os.utime(place_of_part(cache, key_of_number(4)), (NOW + jump, NOW))
    cache.close()
    assert list_left(cache) == [0, 4]
    set_clock(monkeypatch, NOW)  # and back
    assert cache.find(key_of_number(4)) is not None
    keep_part(cache, key_of_number(5))
    os.utime(place_of_part(cache, key_of_number(5)), (NOW, NOW))
    cache.close()
    assert list_left(cache) == [4, 5]
    assert cache.notes == []


@pytest.mark.parametrize("age", [-HOUR * 9000, -HOUR - 9, -HOUR + 9, 0, HOUR - 9, HOUR + 9, NOW])
def test_what_killed_processes_left_goes_whatever_the_clock_was(
    cache: Cache, monkeypatch: pytest.MonkeyPatch, age: int
) -> None:
    keep_part(cache)
    left = Path(cache.folder, "parts-1", "tmp-0123456789abcdef")
    left.write_bytes(b"half a part")
    os.utime(left, (NOW, NOW - age))
    set_clock(monkeypatch, NOW)
    cache.prune(1 << 30)
    assert left.exists() is (abs(age) < HOUR)
    assert recall_part(cache) is not None


@pytest.mark.parametrize("ahead", [1, SECOND, HOUR * SECOND, 9000 * HOUR * SECOND])
@pytest.mark.parametrize("of_change", [False, True])
def test_a_file_of_a_time_to_come_may_still_change_unseen(
    monkeypatch: pytest.MonkeyPatch, of_change: bool, ahead: int
) -> None:
    set_clock(monkeypatch, NOW)
    file = File("/f", 5, NOW * SECOND - 9 * SECOND, 7, NOW * SECOND - 9 * SECOND)
    assert identify_by_stat(file) is not None
    time = NOW * SECOND + ahead
    file = file._replace(ctime_ns=time) if of_change else file._replace(mtime_ns=time)
    assert identify_by_stat(file) is identify_by_content(file) is None


GRAINS = [1, 100, 1000, 10**6, 4 * 10**6, 10**7, SECOND, 2 * SECOND]
"""Nanoseconds: ext4 and tmpfs on fast and slow kernels, NTFS, network file systems, ext3, FAT."""


@given(
    st.sampled_from(GRAINS),
    st.integers(0, 3 * SECOND),
    st.integers(0, 5 * SECOND),
    st.integers(0, 5 * SECOND),
    st.none() | st.integers(-3 * SECOND, 0),
)
@example(SECOND, 5 * 10**8, 4 * 10**8, 0, -(10**8))  # a time of half a second, set by hand
@example(2 * SECOND, 0, SECOND, 9 * 10**8, None)
@example(10**7, 9_999_999, 1, 0, None)
def test_a_file_that_is_known_by_its_times_changes_them_when_it_changes(
    grain: int, changed: int, later: int, again: int, dated: int | None
) -> None:
    """Also one whose modification time was set; its change time is the file system's."""

    def tell(moment: int) -> File:
        ctime = (NOW * SECOND + moment) // grain * grain
        return File("/f", 5, ctime if dated is None else NOW * SECOND + changed + dated, 7, ctime)

    file = tell(changed)
    with pytest.MonkeyPatch.context() as patch:
        moment = NOW * SECOND + changed + later
        patch.setattr(keys, "time", SimpleNamespace(time_ns=lambda: moment))
        identity = identify_by_stat(file)
    assert identity is None or tell(changed + later + again).ctime_ns != file.ctime_ns


def test_a_part_of_the_same_second_is_found_where_times_have_no_fractions(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its times are set when it is found, and told otherwise than they were set."""
    keep_part(cache)
    utime = os.utime

    def utime_coarsely(path: int | str, ns: tuple[int, int]) -> None:
        utime(path, ns=(ns[0] // SECOND * SECOND, ns[1] // SECOND * SECOND))

    monkeypatch.setattr(os, "utime", utime_coarsely)
    found = cache.find(KEY)
    assert found is not None
    assert found.file.mtime_ns % SECOND == 0
    assert found.file.mtime_ns == place_of_part(cache).stat().st_mtime_ns
