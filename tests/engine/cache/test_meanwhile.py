"""What other processes do to the cache between any two calls of ours."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from parazip.engine import cache as cache_module
from parazip.engine import cache_folders
from parazip.engine.cache import Cache, Usage
from support.caching import (
    DATA,
    KEY,
    Interrupted,
    keep_part,
    key_of_number,
    list_cache,
    place_of_part,
    recall_part,
)

NEXT = KEY[:2] + "0" * 62
"""A key whose part is in the same folder."""


def find_it(cache: Cache) -> None:
    kept = cache.find(KEY)
    if kept is not None:
        try:
            with open(kept.file.path, "rb", buffering=0, opener=kept.opener) as file:
                assert file.read().endswith(DATA)
        except FileNotFoundError:
            pass


def clear_and_keep(cache: Cache) -> None:
    cache.clear()
    keep_part(cache)


def discard_it(cache: Cache) -> None:
    cache.discard(KEY, "for a test")
    cache.notes.clear()


OURS: dict[str, Callable[[Cache], object]] = {
    "find": find_it,
    "keep": keep_part,
    "keep the first": keep_part,
    "count": Cache.usage,
    "prune": lambda cache: cache.prune(0),
    "clear": Cache.clear,
    "discard": discard_it,
}

THEIRS: dict[str, Callable[[Cache], object]] = {
    "keep": keep_part,
    "prune": lambda cache: cache.prune(0),
    "clear": Cache.clear,
    "clear and keep": clear_and_keep,
}


@pytest.mark.once
@pytest.mark.parametrize("theirs", THEIRS)
@pytest.mark.parametrize("ours", OURS)
def test_two_at_once_are_no_error_at_any_moment(tmp_path: Path, ours: str, theirs: str) -> None:
    """Nor anything that people are told, and nothing that is kept afterwards is lost."""
    for at in itertools.count(1):
        cache, other = Cache(tmp_path / f"{at}"), Cache(tmp_path / f"{at}")
        if ours != "keep the first":
            keep_part(cache)
            keep_part(cache, NEXT)
        system = Interrupted(at, partial(THEIRS[theirs], other))
        with pytest.MonkeyPatch.context() as patch:
            for module in cache_module, cache_folders:
                patch.setattr(module, "os", system)
            OURS[ours](cache)
        assert cache.notes == other.notes == []
        assert recall_part(cache) in (DATA, None)
        keep_part(cache)
        assert recall_part(Cache(cache.folder)) == DATA
        assert not any("tmp-" in name for name in list_cache(cache))
        cache.clear()
        assert not os.path.exists(os.path.join(cache.folder, "parts-1"))
        if system.calls < at:
            break
    assert at > 5


def test_a_part_that_has_come_in_the_place_of_another_is_not_thrown_away(cache: Cache) -> None:
    keep_part(cache)
    found = cache.find(KEY)
    assert found is not None
    keep_part(Cache(cache.folder))
    cache.discard(KEY, "its data are not what they were", found)
    assert cache.notes == []
    assert recall_part(cache) == DATA
    found = cache.find(KEY)
    cache.discard(KEY, "its data are not what they were", found)
    assert cache.usage() == Usage(0, 0)
    (note,) = cache.notes
    assert "thrown away (its data are not what they were)" in note


# --- A folder that was named by mistake ------------------------------------------------------

NOT_OURS = [
    ".profile",
    "parts/a",
    "parts-2/0f/" + "0" * 62,
    "parts-1/notes.txt",
    "parts-1/tmp-",
    "parts-1/tmp-0123456789abcdef.txt",
    "parts-1/tmp-old/notes.txt",
    "parts-1/abc/def",
    "parts-1/0g/" + "0" * 62,
    "parts-1/00/" + "0" * 38,
    "parts-1/00/" + "0" * 61 + "g",
    "parts-1/00/" + "0" * 63,
    "parts-1/00/pack/" + "0" * 62,
    "parts-1/CACHEDIR.TAG.old",
]
"""Much of it is what content-addressed stores of other programs hold, such as git's."""


@pytest.mark.parametrize("by", ["descriptor", "name"])
def test_what_has_no_name_of_ours_is_neither_counted_nor_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    monkeypatch.setattr(cache_folders, "BY_DESCRIPTOR", by == "descriptor")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PARAZIP_CACHE_DIR", str(tmp_path))
    for name in NOT_OURS:
        path = tmp_path / name
        path.parent.mkdir(0o700, parents=True, exist_ok=True)
        path.write_text("not ours")
        os.utime(path, (1, 1))
    for path in tmp_path.rglob("*"):
        path.chmod(0o700)
    cache = Cache()
    for number in range(3):
        keep_part(cache, key_of_number(number))
    size = place_of_part(cache, key_of_number(0)).stat().st_size
    assert cache.usage() == Usage(3, 3 * size)
    assert cache.prune(2 * size) == Usage(1, size)
    assert cache.prune(0) == Usage(2, 2 * size)
    keep_part(cache)
    assert cache.clear() == Usage(1, size)
    assert list_cache(cache) == sorted([*NOT_OURS, "parts-1/CACHEDIR.TAG"])
    for name in NOT_OURS:
        assert (tmp_path / name).read_text() == "not ours"
        assert (tmp_path / name).stat().st_mtime == 1
    assert cache.notes == []
