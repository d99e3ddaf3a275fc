"""The cache by itself: what was kept is found; where, and how much."""

from __future__ import annotations

import json
import os
import random
import sys
import zlib
from pathlib import Path

import pytest

import parazip
from parazip.engine import cache_folders
from parazip.engine.cache import LIMIT, Cache, Usage
from parazip.errors import SettingsError
from parazip.model import Tally
from support.caching import (
    DATA,
    DIRECTORY,
    HEAD,
    KEY,
    POSIX,
    TALLIES,
    keep_part,
    list_cache,
    place_of_part,
    read_data,
    recall_part,
)

# --- What was kept is found ------------------------------------------------------------------

CHUNKS: dict[str, tuple[bytes, ...]] = {
    "one chunk": (DATA,),
    "many chunks": tuple(DATA[i : i + 7] for i in range(0, len(DATA), 7)),
    "empty chunks": (b"", DATA, b"", DATA, b""),
    "no chunk": (),
    "chunks of a MiB": (bytes(1 << 20), random.Random(2).randbytes(1 << 20), b"end"),
}


@pytest.mark.parametrize("chunks", CHUNKS.values(), ids=CHUNKS)
@pytest.mark.parametrize("directory", [DIRECTORY, b"", b"x" * 100_000], ids=["short", "no", "long"])
@pytest.mark.parametrize("tallies", [TALLIES, {}], ids=["tallies", "no tallies"])
def test_what_was_kept_is_found(
    cache: Cache, tallies: dict[str, Tally], directory: bytes, chunks: tuple[bytes, ...]
) -> None:
    data = b"".join(chunks)
    cache.keep(KEY, tallies, directory, len(data), iter(chunks))
    for opened in (cache, Cache(cache.folder)):
        kept = opened.find(KEY)
        assert kept is not None
        assert kept.part.tallies == tallies
        assert all(type(tally) is Tally for tally in kept.part.tallies.values())
        assert kept.part.directory == directory
        assert kept.crc == zlib.crc32(data)
        assert read_data(kept) == data
        assert opened.notes == []


def test_what_was_not_kept_is_not_found_and_looking_makes_nothing(cache: Cache) -> None:
    assert cache.find(KEY) is None
    assert cache.usage() == Usage(0, 0)
    assert cache.prune(0) == Usage(0, 0)
    assert cache.clear() == Usage(0, 0)
    cache.close()
    assert not os.path.exists(cache.folder)
    keep_part(cache)
    assert cache.find("f" * 64) is None
    assert cache.find(KEY[:-1] + "0") is None
    assert cache.notes == []


def test_keeping_it_again_replaces_it(cache: Cache) -> None:
    keep_part(cache, KEY, b"as long as it was before")
    keep_part(cache, KEY, b"now")
    assert recall_part(cache) == b"now"
    assert cache.usage() == Usage(1, place_of_part(cache).stat().st_size)


def test_a_part_has_the_place_and_the_layout_that_are_told(cache: Cache) -> None:
    keep_part(cache)
    assert list_cache(cache) == [f"parts-1/{KEY[:2]}/{KEY[2:]}", "parts-1/CACHEDIR.TAG"]
    data = place_of_part(cache).read_bytes()
    magic, description, directory, length, crc = HEAD.unpack_from(data)
    assert (magic, directory, length, crc) == (
        b"parazip1",
        len(DIRECTORY),
        len(DATA),
        zlib.crc32(DATA),
    )
    front = data[: HEAD.size + description + directory]
    assert json.loads(front[HEAD.size :][:description]) == {
        "key": KEY,
        "tallies": {coder: list(tally) for coder, tally in TALLIES.items()},
    }
    assert front.endswith(DIRECTORY)
    assert data == front + zlib.crc32(front).to_bytes(4, "little") + DATA


def test_the_folder_says_that_it_is_a_cache(cache: Cache) -> None:
    keep_part(cache)
    tag = Path(cache.folder, "parts-1/CACHEDIR.TAG")
    assert tag.read_text().startswith("Signature: 8a477f597d28d172789f06886806bc55\n")
    cache.clear()
    keep_part(cache)
    assert tag.is_file()
    assert cache.notes == []


# --- Where, and how much ---------------------------------------------------------------------

FOLDERS: dict[str, tuple[str | Path | None, str | None, str]] = {
    "told": ("here", None, "{cwd}/here"),
    "told as a path": (Path("here"), None, "{cwd}/here"),
    "told absolutely": ("/far/away", None, "/far/away"),
    "told and in the environment": ("here", "there", "{cwd}/here"),
    "in the environment": (None, "there", "{cwd}/there"),
    "in the environment absolutely": (None, "/far/away", "/far/away"),
    "empty in the environment": (None, "", "{user}"),
    "nowhere": (None, None, "{user}"),
}


@POSIX
@pytest.mark.parametrize(("given", "variable", "expected"), FOLDERS.values(), ids=FOLDERS)
def test_the_folder(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    given: str | Path | None,
    variable: str | None,
    expected: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    monkeypatch.delenv("PARAZIP_CACHE_DIR")
    if variable is not None:
        monkeypatch.setenv("PARAZIP_CACHE_DIR", variable)
    user = tmp_path / ("user" if sys.platform != "darwin" else "")
    cache = Cache(given)
    if expected == "{user}":
        assert os.path.basename(cache.folder) == "parazip"
        assert cache.folder.startswith(str(user)) or sys.platform == "darwin"
    else:
        assert cache.folder == expected.format(cwd=tmp_path)
    monkeypatch.chdir("/")
    assert cache.folder == os.path.abspath(cache.folder)


LIMITS: dict[str, tuple[int | str | None, str | None, int]] = {
    "bytes": (12345, None, 12345),
    "nothing": (0, None, 0),
    "text": ("1.5M", None, 3 << 19),
    "text without a unit": ("77", None, 77),
    "told and in the environment": ("2G", "1G", 2 << 30),
    "nothing told and in the environment": (0, "1G", 0),
    "told, and nonsense in the environment": ("2G", "nonsense", 2 << 30),
    "in the environment": (None, "3GiB", 3 << 30),
    "empty, and in the environment": ("", "3GiB", 3 << 30),
    "empty": ("", None, LIMIT),
    "empty in the environment": (None, "", LIMIT),
    "nowhere": (None, None, LIMIT),
}


@pytest.mark.parametrize(("given", "variable", "expected"), LIMITS.values(), ids=LIMITS)
def test_the_limit(
    monkeypatch: pytest.MonkeyPatch, given: int | str | None, variable: str | None, expected: int
) -> None:
    if variable is not None:
        monkeypatch.setenv("PARAZIP_CACHE_SIZE", variable)
    assert Cache("here", given).limit == expected


@pytest.mark.parametrize("size", ["much", "-1", "1X", "1e9", "9" * 40])
def test_a_wrong_limit_is_told(monkeypatch: pytest.MonkeyPatch, size: str) -> None:
    with pytest.raises(SettingsError, match=size):
        Cache("here", size)
    monkeypatch.setenv("PARAZIP_CACHE_SIZE", size)
    with pytest.raises(SettingsError, match=f"PARAZIP_CACHE_SIZE.*'{size}' is"):
        Cache("here")


@pytest.mark.parametrize(("limit", "kept"), [(0, False), (99, False), (100, True), (1000, True)])
def test_a_part_over_the_limit_is_not_kept(tmp_path: Path, limit: int, kept: bool) -> None:
    cache = Cache(tmp_path / "cache", limit)
    keep_part(cache)
    assert os.path.exists(cache.folder) is kept
    assert (recall_part(cache) == DATA) is kept
    assert not any("tmp-" in name for name in list_cache(cache))


def test_the_public_name_is_this_one() -> None:
    assert parazip.Cache is Cache


@pytest.mark.parametrize("given", [True, False], ids=["told", "in the environment"])
def test_a_tilde_is_the_users_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: bool
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("PARAZIP_CACHE_DIR", os.path.join("~", "b"))
    cache = Cache(os.path.join("~", "a") if given else None)
    assert cache.folder == str(tmp_path / ("a" if given else "b"))


@pytest.mark.parametrize("has_users", [True, False])
def test_keeping_is_the_same_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_users: bool
) -> None:
    """Where the system has no calls by descriptors, and as on Windows no such users either."""
    monkeypatch.setattr(cache_folders, "BY_DESCRIPTOR", False)
    if not has_users:
        monkeypatch.delattr(os, "geteuid", raising=False)
    test_what_was_not_kept_is_not_found_and_looking_makes_nothing(Cache(tmp_path / "1"))
    test_keeping_it_again_replaces_it(Cache(tmp_path / "2"))
