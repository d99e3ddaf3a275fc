"""Only what is this user's alone is used."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from parazip.engine import cache as cache_module
from parazip.engine import cache_folders
from parazip.engine.cache import Cache, Usage
from parazip.errors import SourceError
from support.caching import (
    DATA,
    KEY,
    POSIX,
    System,
    keep_part,
    key_of_number,
    place_of_part,
    recall_part,
)


def open_to_all(path: Path, aside: Path) -> None:
    path.chmod(path.stat().st_mode | 0o007)


def open_to_a_group(path: Path, aside: Path) -> None:
    path.chmod(path.stat().st_mode | 0o070)


def of_another_user(path: Path, aside: Path) -> None:
    if os.geteuid():
        pytest.skip("only root gives files away")
    os.chown(path, 12345, -1)


def a_link(path: Path, aside: Path) -> None:
    """To what it was itself."""
    path.rename(aside)
    path.symlink_to(aside)


def a_pipe(path: Path, aside: Path) -> None:
    path.rename(aside)
    os.mkfifo(path)


def another_kind(path: Path, aside: Path) -> None:
    """A file where a folder was, a folder where a file was."""
    path.rename(aside)
    if aside.is_dir():
        path.write_bytes(b"no folder")
    else:
        path.mkdir()


@POSIX
def test_another_users_link_is_no_cache(tmp_path: Path) -> None:
    """It would lead into a folder of ours, where nothing is to be distrusted."""
    if os.geteuid():
        pytest.skip("only root makes links of others")
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    (tmp_path / "mine").mkdir(mode=0o700)
    link = shared / "cache"
    link.symlink_to(tmp_path / "mine")
    cache = Cache(link)
    keep_part(cache)
    assert cache.find(KEY) is not None  # our own link is followed
    os.chown(link, 12345, -1, follow_symlinks=False)
    cache = Cache(link)
    assert cache.find(KEY) is None
    keep_part(cache)
    assert cache.clear() == Usage(0, 0)
    assert cache.notes == [
        f"the cache is not used: {link} is another user's link; choose another folder with "
        "--cache-dir or PARAZIP_CACHE_DIR"
    ]
    assert Cache(tmp_path / "mine").usage().parts == 1


DISTRUSTED: dict[str, tuple[Callable[[Path, Path], None], str]] = {
    "open to all": (open_to_all, r"can be written to by others \(mode 7?\d07\)"),
    "open to a group": (open_to_a_group, r"can be written to by others \(mode 7?\d70\)"),
    "of another user": (of_another_user, r"belongs to another user \(12345, and this is 0\)"),
    "a link": (a_link, "is not a folder|it is a link"),
    "a pipe": (a_pipe, "is not a folder|it is a named pipe"),
    "another kind": (another_kind, "is not a folder|it is a folder"),
}


@POSIX
@pytest.mark.parametrize("depth", [2, 1, 0], ids=["parts", "folder of parts", "part"])
@pytest.mark.parametrize("how", DISTRUSTED)
def test_what_others_could_have_put_there_is_not_used(
    cache: Cache, tmp_path: Path, way: str, how: str, depth: int
) -> None:
    spoil, why = DISTRUSTED[how]
    keep_part(cache)
    kept = cache.find(KEY)
    assert kept is not None
    path = [place_of_part(cache), *place_of_part(cache).parents][depth]
    spoil(path, tmp_path / "itself")
    with pytest.raises(OSError, match=why):  # also what was found before
        kept.opener(place_of_part(cache).as_posix(), os.O_RDONLY)
    for _ in range(2):
        assert cache.find(KEY) is None
    (note,) = cache.notes
    assert re.search(why, note)
    assert str(path) in note
    keep_part(cache)
    if depth:
        assert "choose another folder with --cache-dir or PARAZIP_CACHE_DIR" in note
        assert cache.find(KEY) is None
        assert cache.usage() == cache.prune(0) == cache.clear() == Usage(0, 0)
    else:
        assert "thrown away" in note
        assert recall_part(cache) == DATA
    assert len(cache.notes) == 1
    fresh = Cache(cache.folder)
    assert (fresh.find(KEY) is None) is (depth > 0)


@POSIX
def test_a_folder_for_all_may_hold_the_cache(cache: Cache, way: str) -> None:
    """As /tmp does: what counts is what is in it."""
    Path(cache.folder).mkdir()
    Path(cache.folder).chmod(0o1777)
    keep_part(cache)
    assert recall_part(cache) == DATA
    assert cache.notes == []


class Quick(System):
    """The module `os`; before one of its calls somebody renames other parts into place."""

    def __init__(self, at: int, ours: Path, theirs: Path) -> None:
        super().__init__(error=0)
        self.calls = 0
        self._at = at
        self._ours = ours
        self._theirs = theirs

    def __getattr__(self, name: str) -> Any:
        function = getattr(os, name)
        if name not in ("open", "lstat", "fstat", "mkdir", "replace"):
            return function

        def call(*args: Any, **more: Any) -> Any:
            self.calls += 1
            if self.calls == self._at:
                (self._ours / "parts-1").rename(self._ours / "gone")
                (self._theirs / "parts-1").rename(self._ours / "parts-1")
            return function(*args, **more)

        return call


@POSIX
def test_what_is_renamed_into_place_at_any_moment_is_not_used(tmp_path: Path) -> None:
    for at in itertools.count(1):
        cache, forged = Cache(tmp_path / f"{at}"), Cache(tmp_path / f"forged {at}")
        keep_part(cache, KEY, b"ours")
        keep_part(forged, KEY, b"forged")
        Path(forged.folder, "parts-1").chmod(0o777)
        system = Quick(at, Path(cache.folder), Path(forged.folder))
        with pytest.MonkeyPatch.context() as patch:
            for module in cache_module, cache_folders:
                patch.setattr(module, "os", system)
            kept = cache.find(KEY)
            if kept is not None:
                with (
                    contextlib.suppress(SourceError),
                    open(place_of_part(cache), "rb", buffering=0, opener=kept.opener) as file,
                ):
                    assert file.read().endswith(b"ours")
            keep_part(cache, key_of_number(1), b"ours, too")
        if system.calls < at:
            break
        assert recall_part(cache) is None
        assert recall_part(cache, key_of_number(1)) is None
        assert not place_of_part(cache, key_of_number(1)).exists()
    assert at > 10
