"""A full disk, a kill or an interrupt leaves the old archive, or the new one."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import parazip
from parazip import Settings, SourceChangedError
from support.archives import contents_of
from support.command import assert_fails
from support.updating import edit_file, identify_file, plant_dated_files, run_change, when_written

pytestmark = pytest.mark.once


@pytest.mark.parametrize("call", ["update", "delete"])
def test_a_full_disk_leaves_the_old_archive(work: Path, call: str) -> None:
    plant_dated_files(work, {"random": os.urandom(4 << 20), "more": b"more"})
    parazip.create("out.zip", ["random", "more"])
    plant_dated_files(work, {"d/new": os.urandom(1 << 20)})
    before = identify_file(work / "out.zip")
    args = ["update", "out.zip", "d"] if call == "update" else ["delete", "out.zip", "more"]
    done = run_change(
        *args,
        cwd=work,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20)),
    )
    assert_fails(done, 1, "cannot write out.zip: File too large")
    assert identify_file(work / "out.zip") == before
    assert sorted(os.listdir(work)) == ["d", "more", "out.zip", "random"]


KILLED = """
import os, signal, sys, parazip
left = int(sys.argv[1])
def hook(event, args):
    global left
    if event == "open" or event.startswith("os."):
        left -= 1
        if left == -1:
            os.kill(os.getpid(), signal.SIGKILL)
settings = parazip.Settings(level=1)
parazip.create("warm.zip", ["d"], settings)  # so that all is imported
parazip.delete("warm.zip", ["d/a"])
sys.addaudithook(hook)
if sys.argv[2] == "update":
    parazip.update("out.zip", ["d"])
else:
    parazip.delete("out.zip", ["d/a"])
print(int(sys.argv[1]) - left)
"""


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="where files without a name exist")
@pytest.mark.slow
@pytest.mark.parametrize("call", ["update", "delete"])
def test_a_kill_leaves_the_old_archive_or_the_new_one(work: Path, call: str) -> None:
    command = [sys.executable, "-c", KILLED]
    old = (work / "out.zip").read_bytes()
    edit_file(work / "d/a", b"new")
    ended = subprocess.run(
        [*command, "1000", call], cwd=work, capture_output=True, text=True, check=True
    )
    new = (work / "out.zip").read_bytes()
    moments = int(ended.stdout)  # files opened, and what else is asked of the system
    assert moments > 5
    became = []
    for moment in range(moments):
        (work / "out.zip").write_bytes(old)
        killed = subprocess.run([*command, str(moment), call], cwd=work, check=False)
        assert killed.returncode == -signal.SIGKILL
        became.append((work / "out.zip").read_bytes())
        # A kill between a link and what takes its name away leaves that name, as for `create`.
        left = [name for name in os.listdir(work) if name.startswith(".parazip")]
        assert len(left) <= 1
        for name in left:
            os.unlink(work / name)
    assert set(became) <= {old, new}
    assert became[0] == old


@pytest.mark.parametrize("lacks", ["files without a name", "change times", "its own copying"])
def test_other_systems_change_archives_in_their_ways(
    work: Path, monkeypatch: pytest.MonkeyPatch, lacks: str
) -> None:
    if lacks == "files without a name":
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    elif lacks == "change times":
        monkeypatch.setattr("parazip.sources.files.HAS_CTIME", False)
    else:
        monkeypatch.setattr("parazip.output.stream._copy_file_range", None)
    edit_file(work / "d/b", b"new")
    parazip.update("out.zip", ["d"])
    parazip.delete("out.zip", ["d/a"])
    assert contents_of(work / "out.zip")["d/b"] == b"new"
    edit_file(work / "d/b", b"newer")

    def change() -> None:
        os.utime("out.zip", (1, 1))

    before = (work / "out.zip").read_bytes()
    with pytest.raises(SourceChangedError):
        parazip.update("out.zip", ["d"], progress=when_written(change))
    assert (work / "out.zip").read_bytes() == before
    assert sorted(os.listdir(work)) == ["d", "out.zip"]


def test_an_interrupt_leaves_the_old_archive(work: Path) -> None:
    plant_dated_files(work, {"d/large": random.Random(2).randbytes(5 << 20)})
    parazip.create("out.zip", ["d"])
    plant_dated_files(work, {"d/large": random.Random(3).randbytes(5 << 20)})
    before = identify_file(work / "out.zip")

    def interrupt() -> None:
        raise KeyboardInterrupt

    for calls in range(4):
        sink = when_written(interrupt, calls)
        with pytest.raises(KeyboardInterrupt):
            parazip.update("out.zip", ["d"], Settings(level=1), progress=sink)
        assert identify_file(work / "out.zip") == before
    assert sorted(os.listdir(work)) == ["d", "out.zip"]
