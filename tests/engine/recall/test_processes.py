"""Several processes at one cache, and such as are killed."""

from __future__ import annotations

import os
import random
import signal
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from parazip.engine import cache as cache_module
from parazip.engine.cache import Cache
from parazip.workers import starting
from parazip.workers.helpers import Helpers
from support.patience import HUNG
from support.recalling import (
    NOISE,
    POSIX,
    TEXT,
    assert_whole,
    flip_bit,
    list_parts,
    list_temporaries,
    make_archive,
    start_at_once,
    start_python,
)

pytestmark = pytest.mark.once

ON_START = """
from parazip.__main__ import main
import parazip.cli.create, parazip.engine.archive
print("ready", flush=True)
sys.stdin.readline()
main()
"""

PRUNING = """
print("ready", flush=True)
sys.stdin.readline()
while True:
    cache.Cache(sys.argv[1]).prune(0)
"""


def test_two_processes_keep_and_find_at_once(tree: Path, cache: Cache) -> None:
    work = tree.parent
    plain = make_archive(tree)
    usages = []
    for moment in range(6):
        if moment % 3 == 0:
            cache.clear()
        arguments = ["--cache-dir", cache.folder, "create", "-1", "-q", "--symlinks=store"]
        both = [
            start_python(ON_START, *arguments, "--cache", f"{name}.zip", "t", cwd=work)
            for name in "ab"
        ]
        start_at_once(*both)
        for process, name in zip(both, "ab", strict=True):
            _, err = process.communicate(timeout=HUNG)
            assert (process.returncode, err) == (0, b"")
            assert (work / f"{name}.zip").read_bytes() == plain.data
        assert list_temporaries(cache) == []
        usages.append(cache.usage())
    assert len(set(usages)) == 1
    assert_whole(Cache(cache.folder))
    assert make_archive(tree, cache).report.recalled == plain.report.members


def test_a_process_that_prunes_all_the_time_harms_nothing(tree: Path, cache: Cache) -> None:
    plain = make_archive(tree)
    pruning = start_python(PRUNING, cache.folder, cwd=tree.parent)
    try:
        start_at_once(pruning)
        for _ in range(8):
            assert make_archive(tree, Cache(cache.folder)).data == plain.data
            assert make_archive(tree, Cache(cache.folder)).data == plain.data
    finally:
        pruning.kill()
        pruning.communicate(timeout=HUNG)
    assert list_temporaries(cache) == []
    assert make_archive(tree, Cache(cache.folder)).data == plain.data


KILLED = """
import os, signal, threading
from parazip.__main__ import main
number, at, part = int(sys.argv.pop(1)), int(sys.argv.pop(1)), float(sys.argv.pop(1))
write, replace, lock, writes = part_files._write_all, os.replace, threading.Lock(), []

def write_and_die(file, data):
    with lock:
        writes.append(len(data))
        dies = len(writes) == at
    middle = int(part * len(data)) if dies else len(data)
    write(file, data[:middle])
    if dies:
        os.kill(os.getpid(), number)
        write(file, data[middle:])

def replace_and_die(old, new, **folders):
    dies = len(writes) >= -at > 0
    if dies and part < 0.5:
        os.kill(os.getpid(), number)
    replace(old, new, **folders)
    if dies:
        os.kill(os.getpid(), number)

part_files._write_all, os.replace = write_and_die, replace_and_die
main()
"""


@POSIX
def test_a_kill_while_parts_are_kept_leaves_nothing_that_is_found(
    tmp_path: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = tmp_path / "t"
    tree.mkdir()
    for name in "abc":
        (tree / name).write_bytes(NOISE)
    plain = make_archive(tree)
    chance = random.Random(1)
    options = ["--cache-dir", cache.folder, "create", "-1", "--cache", "out.zip", "t"]
    (tmp_path / "out.zip").write_bytes(b"old")
    for kill in range(15):
        # At some write; every third time at a rename, before or after it.
        at = -1 - 4 * (kill // 3) if kill % 3 == 2 else chance.randint(1, 18)
        told = (str(signal.SIGKILL.value), str(at), str(chance.random()))
        process = start_python(KILLED, *told, *options, cwd=tmp_path)
        _, err = process.communicate(timeout=HUNG)
        assert (process.returncode, err) == (-signal.SIGKILL, b"")
        assert (tmp_path / "out.zip").read_bytes() == b"old"
        assert_whole(Cache(cache.folder))
        assert cache.usage().parts <= 3
        cache.prune(0)
    left = list_temporaries(cache)
    assert len(left) >= 5
    assert all(path.name.startswith("tmp-") for path in left)
    for _ in range(2):
        data, report = make_archive(tree, Cache(cache.folder))
        assert data == plain.data
        assert report.notes == ()
    assert report.recalled == report.members
    assert list_temporaries(cache) == left
    now = max(path.stat().st_mtime for path in left)
    for seconds, expected in ((-1, left), (3500, left), (3700, [])):
        patched = SimpleNamespace(time=lambda later=now + seconds: later)
        with monkeypatch.context() as patch:
            patch.setattr(cache_module, "time", patched)
            cache.prune(cache.limit)
        assert list_temporaries(cache) == expected
    assert cache.usage().parts == 3


@POSIX
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("at", [1, 8, 15])
def test_a_signal_while_parts_are_kept_leaves_nothing_half_done(
    tmp_path: Path, cache: Cache, number: signal.Signals, at: int
) -> None:
    tree = tmp_path / "t"
    tree.mkdir()
    for name in "abc":
        (tree / name).write_bytes(NOISE)
    plain = make_archive(tree)
    (tmp_path / "out.zip").write_bytes(b"old")
    options = ["--cache-dir", cache.folder, "create", "-1", "--cache", "out.zip", "t"]
    process = start_python(KILLED, str(number.value), str(at), "0.5", *options, cwd=tmp_path)
    _, err = process.communicate(timeout=HUNG)
    assert (process.returncode, err) == (1, b"parazip: interrupted\n")
    assert (tmp_path / "out.zip").read_bytes() == b"old"
    assert sorted(os.listdir(tmp_path)) == ["cache", "out.zip", "t"]
    assert list_temporaries(cache) == []
    assert_whole(Cache(cache.folder))
    assert make_archive(tree, cache).data == plain.data


RECALLING = """
import os, signal
from parazip.__main__ import main
from parazip.engine.writer import ArchiveWriter
number, at = int(sys.argv.pop(1)), int(sys.argv.pop(1))
recall, calls = ArchiveWriter.recall_part, []

def recall_and_signal(*arguments):
    calls.append(arguments)
    if len(calls) == at:
        os.kill(os.getpid(), number)
    return recall(*arguments)

ArchiveWriter.recall_part = recall_and_signal
main()
"""


@POSIX
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("at", [1, 3, 6])
def test_a_signal_while_parts_are_recalled_leaves_nothing_half_done(
    tmp_path: Path, cache: Cache, number: signal.Signals, at: int
) -> None:
    tree = tmp_path / "t"
    tree.mkdir()
    for name in "abcdef":
        (tree / name).write_bytes(NOISE)
    plain = make_archive(tree, cache)
    (tmp_path / "out.zip").write_bytes(b"old")
    options = ["--cache-dir", cache.folder, "create", "-1", "--cache", "out.zip", "t"]
    process = start_python(RECALLING, str(number.value), str(at), *options, cwd=tmp_path)
    _, err = process.communicate(timeout=HUNG)
    assert (process.returncode, err) == (1, b"parazip: interrupted\n")
    assert (tmp_path / "out.zip").read_bytes() == b"old"
    assert sorted(os.listdir(tmp_path)) == ["cache", "out.zip", "t"]
    assert make_archive(tree, cache).data == plain.data


@pytest.mark.parametrize("seed", range(5))
def test_recalled_and_made_sections_come_in_order(
    tmp_path: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    tree = tmp_path / "t"
    tree.mkdir()
    for i in range(6):
        (tree / f"{i}").write_bytes(NOISE[i:] + TEXT[: i * 1000])
    plain = make_archive(tree, cache)
    assert len(list_parts(cache)) == 6
    chance = random.Random(seed)
    gone, gone_too, damaged = chance.sample(list_parts(cache), 3)
    gone.unlink()
    gone_too.unlink()
    flip_bit(damaged, damaged.stat().st_size - 10)  # data: found out while they are written
    alive: list[bool] = []
    start = Helpers.start

    def counted(crew: Helpers) -> None:
        alive.append(threading.active_count() == 1)
        start(crew)

    monkeypatch.setattr(Helpers, "start", counted)
    monkeypatch.setattr(starting, "may_fork", True)  # by the command, before there are threads
    again = make_archive(tree, cache)
    assert again.data == plain.data
    assert again.report.recalled in (3, 4)  # one part holds the folder, too
    assert alive == [True]
    assert len(cache.notes) == 1
