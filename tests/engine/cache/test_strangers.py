"""A hostile neighbour: whatever stands where the cache is, nothing is used or touched outside."""

from __future__ import annotations

import itertools
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner

from parazip.cli import cache as cache_command
from parazip.engine import cache as cache_module
from parazip.engine import cache_folders
from parazip.engine.cache import Cache, Usage
from parazip.errors import OutputError
from support.caching import (
    DATA,
    KEY,
    POSIX,
    Interrupted,
    describe_all,
    keep_part,
    key_of_number,
    list_cache,
    place_of_part,
    recall_part,
)
from support.patience import HUNG

pytestmark = [POSIX, pytest.mark.once]

STRANGER = 12345

NEXT = KEY[:2] + "0" * 62
"""A key whose part is in the same folder."""

TEMPORARY = "tmp-0123456789abcdef"

ROOT = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root makes files of others"
)


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    """What must be neither used nor touched: ours, closed to others, and a cache to the last bit.

    As an archive that we have unpacked may have made it.
    """
    forged = Cache(tmp_path / "precious")
    keep_part(forged, KEY, b"forged")
    keep_part(forged, NEXT, b"forged, too")
    parts = Path(forged.folder, "parts-1")
    (parts / TEMPORARY).write_bytes(b"a letter")
    os.utime(parts / TEMPORARY, (1, 1))
    (parts / KEY[:2] / "notes").write_bytes(b"notes")
    return Path(forged.folder)


def find_it(cache: Cache) -> None:
    kept = cache.find(KEY)
    if kept is not None:
        with open(kept.file.path, "rb", buffering=0, opener=kept.opener) as file:
            assert not file.read().endswith(b"forged")


def run_command(*words: str) -> Callable[[Cache], None]:
    def run(cache: Cache) -> None:
        done = CliRunner().invoke(cache_command.cache, words, obj=(cache.folder, None))
        is_refused = (
            isinstance(done.exception, SystemExit) and "the cache is not used" in done.stderr
        )
        assert is_refused or done.exception is None or isinstance(done.exception, OutputError)
        assert not (is_refused and "thrown away" in done.stdout)

    return run


OPERATIONS: dict[str, Callable[[Cache], object]] = {
    "find": find_it,
    "keep": keep_part,
    "keep another": lambda cache: keep_part(cache, NEXT),
    "count": run_command("info"),
    "prune": run_command("prune", "--size", "0"),
    "clear": run_command("clear"),
    "make room": lambda cache: cache.prune(0),
    "discard": lambda cache: cache.discard(KEY, "for a test"),
}

# --- Something else stands in the place of what is ours --------------------------------------


def put_link(path: Path, same: Path) -> None:
    path.symlink_to(same)


def put_hard_link(path: Path, same: Path) -> None:
    path.hardlink_to(same)


def put_pipe(path: Path, same: Path) -> None:
    os.mkfifo(path)


def put_socket(path: Path, same: Path) -> None:
    before = os.getcwd()
    os.chdir(path.parent)  # a socket's path is short
    try:
        with socket.socket(socket.AF_UNIX) as opened:
            opened.bind(path.name)
    finally:
        os.chdir(before)


def put_device(path: Path, same: Path) -> None:
    try:
        os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 5))  # /dev/zero, without an end
    except OSError as error:
        pytest.skip(f"only root makes devices, and not everywhere: {error}")


def put_folder(path: Path, same: Path) -> None:
    """One that is not empty, and has a link that leads out."""
    path.mkdir(mode=0o700)
    (path / "out").symlink_to(same)


def put_nothing(path: Path, same: Path) -> None:
    """As somebody else's clearing leaves it."""


IMPOSTERS = {
    "a link": put_link,
    "a hard link": put_hard_link,
    "a pipe": put_pipe,
    "a socket": put_socket,
    "a device": put_device,
    "a folder": put_folder,
    "nothing": put_nothing,
}

PLACES = {
    "folder of all": "parts-1",
    "folder of some": f"parts-1/{KEY[:2]}",
    "part": f"parts-1/{KEY[:2]}/{KEY[2:]}",
    "tag": "parts-1/CACHEDIR.TAG",
    "temporary": f"parts-1/{TEMPORARY}",
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("imposter", IMPOSTERS)
def test_what_takes_the_place_of_ours_leads_to_nothing_outside(
    tmp_path: Path, way: str, precious: Path, place: str, imposter: str
) -> None:
    before = describe_all(precious)
    same = precious / PLACES[place]
    if imposter == "a hard link":  # which folders cannot have, and no part can of another key's
        same = same.with_name(NEXT[2:]) if place == "part" else same
        same = precious / "parts-1" / TEMPORARY if same.is_dir() else same
    for operation, do in OPERATIONS.items():
        cache = Cache(tmp_path / operation)
        keep_part(cache)
        path = Path(cache.folder, PLACES[place])
        if place != "temporary":
            path.rename(tmp_path / f"{operation} aside")
        IMPOSTERS[imposter](path, same)
        os.utime(tmp_path / operation, (1, 1))
        do(cache)
        assert describe_all(precious) == before, operation
        with suppress(OutputError):  # what is not ours may be in it
            cache.clear()
        assert describe_all(precious) == before, operation
        if imposter == "nothing" or place not in ("folder of all", "folder of some"):
            fresh = Cache(cache.folder)
            keep_part(fresh)
            assert recall_part(fresh) == DATA, operation
            assert fresh.notes == []


PLACES_LEFT = ["parts-1", f"parts-1/{KEY[:2]}", "parts-1/CACHEDIR.TAG"]


@pytest.mark.parametrize("imposter", list(IMPOSTERS)[:-1])
def test_clearing_heals_what_is_ours_to_heal(tmp_path: Path, precious: Path, imposter: str) -> None:
    cache = Cache(tmp_path / "cache")
    keep_part(cache)
    keep_part(cache, key_of_number(1))
    for name, aside in ((KEY[:2], "a"), ("00", "b")):
        Path(cache.folder, "parts-1", name).rename(tmp_path / aside)
    (tmp_path / "b" / key_of_number(1)[2:]).rename(tmp_path / "c")
    (tmp_path / "b").rename(Path(cache.folder, "parts-1", "00"))
    for path in (place_of_part(cache, key_of_number(1)), Path(cache.folder, "parts-1", KEY[:2])):
        IMPOSTERS[imposter](path, precious / "parts-1" / TEMPORARY)
    cache.clear()
    is_ours = imposter != "a folder"
    found = {path.relative_to(cache.folder).as_posix() for path in Path(cache.folder).rglob("*")}
    assert found == (set() if is_ours else {*PLACES_LEFT, f"parts-1/{KEY[:2]}/out"})
    keep_part(cache)
    assert recall_part(cache) == DATA


def test_a_part_may_have_another_name_elsewhere(cache: Cache, tmp_path: Path, way: str) -> None:
    """As backups give them to all files; it stays when the part goes."""
    keep_part(cache)
    (tmp_path / "backup").hardlink_to(place_of_part(cache))
    assert recall_part(cache) == DATA
    assert cache.prune(0).parts == 1
    assert (tmp_path / "backup").read_bytes().endswith(DATA)
    assert cache.notes == []


# --- The way to the cache --------------------------------------------------------------------


def sticky(shared: Path) -> None:
    shared.chmod(0o1777)


def open_to_all(shared: Path) -> None:
    shared.chmod(0o777)


def open_to_a_group(shared: Path) -> None:
    shared.chmod(0o2775)


def of_the_stranger(shared: Path) -> None:
    os.chown(shared, STRANGER, STRANGER)


SHARED = [sticky, open_to_all, open_to_a_group, of_the_stranger]


@ROOT
@pytest.mark.parametrize("share", SHARED)
@pytest.mark.parametrize("below", ["", "precious"], ids=["itself", "above"])
def test_another_users_link_on_the_way_is_not_followed(
    tmp_path: Path, way: str, precious: Path, share: Callable[[Path], None], below: str
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    share(shared)
    goal = precious.parent if below else precious
    link = shared / "link"
    link.symlink_to(goal)
    os.chown(link, STRANGER, STRANGER, follow_symlinks=False)
    before = describe_all(precious)
    cache = Cache(link / below)
    for operation, do in OPERATIONS.items():
        do(cache)
        assert describe_all(precious) == before, operation
    assert cache.usage() == cache.clear() == Usage(0, 0)
    (note,) = cache.notes
    assert note.startswith(f"the cache is not used: {link} is another user's link; choose another ")
    link.unlink()
    link.symlink_to(goal)
    assert recall_part(Cache(cache.folder)) == b"forged"  # ours leads where we say


@pytest.mark.parametrize("goal", ["{0}/real", "../{1}/real", "../{1}/./x/../real", "."])
def test_own_links_lead_where_they_lead(tmp_path: Path, way: str, goal: str) -> None:
    keep_part(Cache(tmp_path / "real"))
    (tmp_path / "x").mkdir()
    (tmp_path / "one").symlink_to(goal.format(tmp_path, tmp_path.name))
    (tmp_path / "two").symlink_to("one")
    for link in ("one", "two"):
        cache = Cache(tmp_path / link / "real" if goal == "." else tmp_path / link)
        assert recall_part(cache) == DATA
        keep_part(cache, NEXT)
        assert cache.usage().parts == 2
        assert cache.notes == []


@pytest.mark.parametrize(("links", "found"), [(40, True), (41, False)])
def test_no_more_links_are_followed_than_the_system_does(
    tmp_path: Path, way: str, links: int, found: bool
) -> None:
    keep_part(Cache(tmp_path / "0"))
    for number in range(links):
        (tmp_path / f"{number + 1}").symlink_to(f"{number}")
    assert os.path.exists(tmp_path / f"{links}") is found or sys.platform != "linux"
    assert (recall_part(Cache(tmp_path / f"{links}")) is not None) is found


@ROOT
@pytest.mark.parametrize("share", SHARED)
def test_a_folder_of_others_may_hold_the_cache(
    tmp_path: Path, way: str, share: Callable[[Path], None]
) -> None:
    """As /tmp does: what counts is what is in it."""
    shared = tmp_path / "shared"
    shared.mkdir()
    share(shared)
    for cache in (Cache(shared), Cache(shared / "cache")):
        keep_part(cache)
        assert recall_part(Cache(cache.folder)) == DATA
        assert cache.notes == []
        assert cache.clear().parts == 1
        assert list_cache(cache) == []


@ROOT
@pytest.mark.skipif(not hasattr(os, "O_PATH"), reason="only Linux opens each folder from another")
@pytest.mark.parametrize("what", ["shared/cache", "shared"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_link_that_comes_between_two_calls_is_not_followed(
    tmp_path: Path, precious: Path, operation: str, what: str
) -> None:
    evil = precious
    if what == "shared":
        evil = tmp_path / "evil"
        evil.mkdir()
        precious.rename(evil / "cache")
    before = describe_all(evil)
    for at in itertools.count(1):
        place = tmp_path / f"{at}"
        cache = Cache(place / "shared/cache")
        keep_part(cache)

        def swap(folder: Path = place / what) -> None:
            folder.rename(folder.with_name("aside"))
            folder.symlink_to(evil)
            os.chown(folder, STRANGER, STRANGER, follow_symlinks=False)

        system = Interrupted(at, swap)
        with pytest.MonkeyPatch.context() as patch:
            for module in cache_module, cache_folders:
                patch.setattr(module, "os", system)
            with suppress(OSError):
                OPERATIONS[operation](cache)
        assert describe_all(evil) == before, at
        if system.calls < at:
            break
    assert at > 10


SWAPPING = """
import contextlib, os, shutil, sys
folder, evil, stranger = sys.argv[1], sys.argv[2], int(sys.argv[3])
link, aside = folder + " link", folder + " aside"
print("ready", flush=True)
while True:
    os.symlink(evil, link)
    os.chown(link, stranger, stranger, follow_symlinks=False)
    os.rename(folder, aside)
    with contextlib.suppress(OSError):  # a folder was made there meanwhile
        os.rename(link, folder)
        for _ in range(50):
            os.path.lexists(folder)
        os.unlink(folder)
    with contextlib.suppress(OSError):
        os.unlink(link)
    try:
        os.rename(aside, folder)
    except OSError:
        shutil.rmtree(aside)
"""


@ROOT
@pytest.mark.parametrize("what", ["shared/cache", "shared"])
def test_a_neighbour_who_swaps_a_folder_for_a_link_all_the_time_gains_nothing(
    tmp_path: Path, precious: Path, what: str
) -> None:
    evil = precious
    if what == "shared":
        evil = tmp_path / "evil"
        evil.mkdir()
        precious.rename(evil / "cache")
    before = describe_all(evil)
    folder = tmp_path / "shared/cache"
    keep_part(Cache(folder))
    note = f"the cache is not used: {tmp_path / what} is another user's link"
    met = set()
    with subprocess.Popen(
        [sys.executable, "-c", SWAPPING, tmp_path / what, evil, str(STRANGER)],
        stdout=subprocess.PIPE,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            for count, do in enumerate(itertools.cycle(OPERATIONS.values())):
                if count > 500 and note in met:
                    break
                cache = Cache(folder)
                with suppress(OSError):
                    do(cache)
                met |= {note.split(";")[0] for note in cache.notes}
                assert process.poll() is None
        finally:
            process.kill()
            process.wait(timeout=HUNG)
    assert describe_all(evil) == before
