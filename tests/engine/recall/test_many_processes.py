"""Many processes at one cache, while others prune and clear it all the time."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from parazip.engine.cache import Cache
from support.patience import HUNG
from support.recalling import (
    assert_whole,
    list_temporaries,
    make_archive,
    start_at_once,
    start_python,
)

pytestmark = pytest.mark.once

MAKING = """
import hashlib
import parazip
folder, name = sys.argv[1:]
print("ready", flush=True)
sys.stdin.readline()
settings, selection = parazip.Settings(level=1, jobs=1), parazip.Selection(symlinks="store")
for _ in range(4):
    opened = cache.Cache(folder)
    report = parazip.create(name, ["t"], settings, selection, cache=opened)
    with open(name, "rb") as file:
        print(hashlib.sha256(file.read()).hexdigest(), *report.notes, sep="; ")
"""

EMPTYING = """
print("ready", flush=True)
sys.stdin.readline()
while True:
    opened = cache.Cache(sys.argv[1])
    removed = opened.clear() if sys.argv[2] == "clear" else opened.prune(100_000)
    if opened.notes or removed.parts:
        print(*opened.notes or ["removed"], flush=True)
"""


@pytest.mark.parametrize("count", [6, pytest.param(50, marks=pytest.mark.slow)])
def test_many_processes_at_one_cache_make_what_one_makes_without(
    tree: Path, cache: Cache, count: int
) -> None:
    """None of them is told of anything, and nothing is left over."""
    work = tree.parent
    plain = make_archive(tree)
    expected = f"{hashlib.sha256(plain.data).hexdigest()}\n".encode() * 4
    making = [start_python(MAKING, cache.folder, f"{i}.zip", cwd=work) for i in range(count)]
    emptying = [
        start_python(EMPTYING, cache.folder, how, cwd=work)
        for how in ["prune", "clear"] * (1 + count // 20)
    ]
    try:
        start_at_once(*making, *emptying)
        for process in making:
            said, told = process.communicate(timeout=HUNG)
            assert (process.returncode, told, said) == (0, b"", expected)
        for process in emptying:
            assert process.poll() is None
    finally:
        for process in (*making, *emptying):
            process.kill()
        removing = [process.communicate(timeout=HUNG) for process in emptying]
    assert {line for said, _ in removing for line in said.splitlines()} == {b"removed"}
    assert {told for _, told in removing} == {b""}
    assert list_temporaries(cache) == []
    assert_whole(Cache(cache.folder))
    for _ in range(2):
        data, report = make_archive(tree, cache)
        assert data == plain.data
        assert report.notes == ()
    assert report.recalled == report.members
