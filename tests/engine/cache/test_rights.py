"""Who may do what with files and folders of the cache, whatever the umask."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import parazip
from parazip.engine import keys
from parazip.engine.cache import Cache, Usage
from support.caching import DATA, DIRECTORY, KEY, POSIX, TALLIES, keep_part, recall_part
from support.naming import NOBODY, ROOT, refuse_call, without_rights_of_root

pytestmark = POSIX

UMASKS = pytest.mark.parametrize("umask", [0o000, 0o022, 0o077], indirect=True)


@pytest.fixture
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    try:
        yield request.param
    finally:
        os.umask(before)


def list_rights(folder: Path) -> dict[str, int]:
    paths = [folder, *folder.rglob("*")]
    return {str(path.relative_to(folder)): stat.S_IMODE(path.lstat().st_mode) for path in paths}


@UMASKS
def test_only_its_user_may_do_anything_with_the_cache(tmp_path: Path, umask: int) -> None:
    """Nor with the folders above it that had to be made: what they hold could be swapped."""
    cache = Cache(tmp_path / "new/and/cache")
    seen = {}

    def look() -> Iterator[bytes]:
        seen.update(list_rights(tmp_path / "new"))
        yield DATA

    cache.keep(KEY, TALLIES, DIRECTORY, len(DATA), look())
    folders = [".", "and", "and/cache", "and/cache/parts-1", f"and/cache/parts-1/{KEY[:2]}"]
    files = ["CACHEDIR.TAG", f"{KEY[:2]}/{KEY[2:]}"]
    assert list_rights(tmp_path / "new") == {
        **dict.fromkeys(folders, 0o700),
        **{f"and/cache/parts-1/{name}": 0o600 for name in files},
    }
    (temporary,) = {name for name in seen if "/tmp-" in name}
    assert seen[temporary] == 0o600
    assert recall_part(cache) == DATA
    assert cache.clear().parts == 1
    assert list_rights(tmp_path / "new") == dict.fromkeys(folders[:3], 0o700)


@UMASKS
def test_a_folder_that_was_there_keeps_its_rights(tmp_path: Path, umask: int) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache").chmod(0o1777)
    cache = Cache(tmp_path / "cache")
    keep_part(cache)
    assert list_rights(tmp_path / "cache")["."] == 0o1777
    assert recall_part(cache) == DATA


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that other users may go into; pytest's own are closed to them."""
    folder = Path(tempfile.mkdtemp(prefix="parazip-tests-", dir="/tmp"))
    folder.chmod(0o777)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@ROOT
@pytest.mark.parametrize("umask", [0], indirect=True)
def test_what_a_neighbour_writes_into_an_archive_never_gets_into_the_cache(
    tmp_path: Path, shared: Path, monkeypatch: pytest.MonkeyPatch, umask: int
) -> None:
    """It would come out again for other archives, where no neighbour may write."""
    monkeypatch.setattr(keys, "_TICK_NS", 0)
    monkeypatch.setattr(keys, "_COARSE_TICK_NS", 0)
    refuse_call(monkeypatch, "O_TMPFILE", errno.EOPNOTSUPP)
    (tmp_path / "t").mkdir()
    (tmp_path / "t/a").write_bytes(b"what we mean " * 1000)
    tried: list[int] = []

    class Attacked(Cache):
        def keep(self, *given: object) -> None:
            with without_rights_of_root():
                for path in shared.glob(".parazip-*"):
                    try:
                        with path.open("r+b") as file:
                            file.seek(40)
                            file.write(b"what they mean")
                    except PermissionError:
                        tried.append(os.geteuid())
            super().keep(*given)  # type: ignore[arg-type]

    cache = Attacked(tmp_path / "cache")
    selection = parazip.Selection(directory=tmp_path)
    for target, keeping in ((shared / "a.zip", cache), (tmp_path / "b.zip", None)):
        parazip.create(target, ["t"], None, selection, cache=keeping)
    assert tried == [NOBODY]
    assert cache.usage() != Usage(0, 0)
    report = parazip.create(tmp_path / "c.zip", ["t"], None, selection, cache=Cache(cache.folder))
    assert report.recalled == report.members
    assert (tmp_path / "c.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_folders_on_the_way_need_not_be_listed(shared: Path, way: str) -> None:
    """As /home and /var/cache need not; going through them is all that is needed."""
    (shared / "closed/open").mkdir(parents=True)
    (shared / "closed/open").chmod(0o777)
    (shared / "closed").chmod(0o311)
    try:
        with without_rights_of_root():
            cache = Cache(shared / "closed/open/cache")
            keep_part(cache)
            assert recall_part(cache) == DATA
            assert cache.clear().parts == 1
        assert cache.notes == []
    finally:
        (shared / "closed").chmod(0o755)
