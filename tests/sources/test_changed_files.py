"""What shows that a file has changed, and what the cache makes of it."""

from __future__ import annotations

import io
import mmap
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import parazip
from parazip import File, Member, Progress, Selection, Settings, SettingsError, SourceChangedError
from parazip.codecs.sizes import BLOCK
from parazip.engine.cache import Cache
from parazip.model import CHANGES, Changes
from parazip.output.stream import Pipe
from parazip.sources import merging
from support.archives import contents_of
from support.paths import empty_file, replace_file
from support.patience import HUNG
from support.sources import POSIX, TEXT, append_blocks, scan_file

# --- What shows that a file has changed ------------------------------------------------------


def touch_file(path: Path) -> None:
    info = path.stat()
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns + 1_000_000))


def link_elsewhere(path: Path) -> None:
    """As backups and installers do that save room: the change time moves, and nothing else."""
    before = path.stat().st_ctime_ns
    while path.stat().st_ctime_ns == before:
        path.with_name("link").unlink(missing_ok=True)
        path.with_name("link").hardlink_to(path)


def grow_much(path: Path) -> None:
    with path.open("ab") as file:
        file.write(TEXT)


def cut_to_a_third(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 3)


CHANGED: list[tuple[Callable[[Path], None], Changes, str, str]] = [
    (link_elsewhere, "mtime", "its change time is not what it was", "mtime"),
    (replace_file, "mtime", "its inode and change time are not what they were", "mtime"),
    (touch_file, "size", "its modification time", "size"),
    (append_blocks, "none", r"it had \d+ bytes and has \d+ now", "none"),
    (grow_much, "none", r"it had \d+ bytes and has \d+ now", "none"),
    (cut_to_a_third, "none", r"it had \d+ bytes and has \d+ now", "none"),
    (empty_file, "none", r"it had \d+ bytes and has 0 now", "none"),
]

SIZES = {"short": 1000, "whole": 300_000, "cut": 3 * BLOCK + 5}


@POSIX
@pytest.mark.parametrize("output", ["file", "pipe"])
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize(
    ("change", "enough", "what", "advice"), CHANGED, ids=[row[0].__name__ for row in CHANGED]
)
def test_only_what_counts_is_an_error(
    tmp_path: Path,
    change: Callable[[Path], None],
    enough: Changes,
    what: str,
    advice: str,
    size: int,
    output: str,
) -> None:
    for changes in CHANGES:
        path = tmp_path / changes / "file"
        path.parent.mkdir()
        path.write_bytes(TEXT[:size])
        members = scan_file(path, changes)
        change(path)
        buffer = io.BytesIO()
        target = buffer if output == "file" else Pipe(buffer, "pipe")
        if CHANGES.index(changes) < CHANGES.index(enough):
            with pytest.raises(
                SourceChangedError, match=f"file changed while it was read: {what}"
            ) as e:
                parazip.write(target, members, Settings(level=1))
            assert f"--changes {advice} does not look at it" in str(e.value)
            assert "leave it out with --exclude" in str(e.value)
        else:
            report = parazip.write(target, members, Settings(level=1))
            assert contents_of(buffer) == {"file": path.read_bytes()}
            assert report.bytes_in == path.stat().st_size


def test_other_words_for_what_counts_are_refused() -> None:
    with pytest.raises(SettingsError, match="changes 'inode' is not one of ctime, mtime, size, n"):
        Selection(changes="inode")  # type: ignore[arg-type] # it is what is refused


@POSIX
@pytest.mark.parametrize("command", ["create", "merge"])
def test_the_command_has_the_option(tmp_path: Path, command: str) -> None:
    """A file that is written to all the time, as logs are."""
    log = tmp_path / "t" / "log"
    log.parent.mkdir()
    log.write_bytes(TEXT)
    script = (
        "import os, sys\n"
        "from parazip.sources import files\n"
        "check = files._check_unchanged\n"
        "def grow(file, *rest):\n"
        "    with open(file.path, 'ab') as log:\n"
        "        log.write(b'one line more')\n"
        "    check(file, os.stat(file.path), *rest[1:])\n"
        "files._check_unchanged = grow\n"
        "from parazip.__main__ import main\n"
        "main()\n"
    )

    def run(*args: str) -> subprocess.CompletedProcess[str]:
        command_line = [sys.executable, "-c", script, command, "-q", *args, "out.zip", "t"]
        return subprocess.run(
            command_line, cwd=tmp_path, capture_output=True, text=True, timeout=HUNG, check=False
        )

    done = run()
    assert done.returncode == 1
    assert "log changed while it was read: it had" in done.stderr
    assert "--changes none" in done.stderr
    assert run("--changes", "mtime").returncode == 1
    assert run("--changes", "inode").returncode == 2
    assert run("--changes", "none").stderr == ""
    (name,) = (name for name in contents_of(tmp_path / "out.zip") if name.endswith("log"))
    assert contents_of(tmp_path / "out.zip")[name].startswith(TEXT)


@POSIX
@pytest.mark.parametrize("changes", CHANGES)
def test_archives_that_are_merged_may_change_as_files_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: Changes
) -> None:
    source = tmp_path / "s.zip"
    parazip.write(source, [Member("a", TEXT, 0, 33 << 16)])
    gather = merging.gather_members

    def touched(*args: Any) -> list[Member]:
        members: list[Member] = gather(*args)
        link_elsewhere(source)
        return members

    monkeypatch.setattr(merging, "gather_members", touched)
    target = tmp_path / "o.zip"
    if changes == "ctime":
        with pytest.raises(SourceChangedError, match=r"s\.zip changed while it was read"):
            parazip.merge(target, [source], selection=Selection(changes=changes))
    else:
        parazip.merge(target, [source], selection=Selection(changes=changes))
        assert contents_of(target) == {"a": TEXT}


@POSIX
@pytest.mark.parametrize("changes", ["size", "none", "ctime"])
def test_contents_that_change_between_two_blocks_never_make_a_broken_member(
    tmp_path: Path, changes: Changes
) -> None:
    """Deflate's blocks refer to those before them, which must be the ones that were written."""
    path = tmp_path / "file"
    path.write_bytes(TEXT)
    members = scan_file(path, changes)
    source = members[0].source
    assert isinstance(source, File)
    # As where a program writes to a mapping, which moves no times as long as the page is dirty.
    members = [members[0]._replace(source=source._replace(ctime_ns=0))]
    seen: list[Progress] = []

    def rewrite(progress: Progress) -> None:
        if not seen:
            info = path.stat()
            with path.open("r+b") as file:
                file.write(TEXT[::-1])
            os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))
        seen.append(progress)

    def make() -> None:
        settings = Settings(level=1, jobs=1, memory=1 << 20)
        parazip.write(tmp_path / "o.zip", members, settings, progress=rewrite)

    if changes == "ctime":
        with pytest.raises(SourceChangedError, match="its contents did, and its times did not"):
            make()
        assert not (tmp_path / "o.zip").exists()
    else:
        make()
        assert contents_of(tmp_path / "o.zip") == {"file": TEXT[:BLOCK] + TEXT[::-1][BLOCK:]}
    assert len(seen) > 1 or changes == "ctime"


# --- What the cache makes of it --------------------------------------------------------------


def is_recalled(path: Path, cache: Cache, changes: Changes, identity: Any = "stat") -> bool:
    """Whether a file comes out of the cache; that it is the right one anyhow."""
    selection = Selection(directory=path.parent, changes=changes)
    target = path.with_name("o.zip")
    report = parazip.create(target, [path.name], None, selection, cache=cache, identity=identity)
    assert contents_of(target) == {path.name: path.read_bytes()}
    return report.recalled > 0


@pytest.mark.once
@POSIX
@pytest.mark.parametrize("identity", ["stat", "content"])
def test_the_cache_knows_files_by_what_counts(tmp_path: Path, cache: Cache, identity: str) -> None:
    by_content = identity == "content"
    for changes in CHANGES:
        path = tmp_path / f"{changes} {identity}"
        path.write_bytes(TEXT)
        is_known = changes in ("ctime", "mtime")
        assert not is_recalled(path, cache, changes, identity)
        assert is_recalled(path, cache, changes, identity) is is_known
        link_elsewhere(path)
        assert is_recalled(path, cache, changes, identity) is (
            (by_content and is_known) or changes == "mtime"
        )
        touch_file(path)
        assert is_recalled(path, cache, changes, identity) is (by_content and is_known)
        if not by_content:
            before = path.stat()
            with path.open("r+b") as file:
                file.write(b"other")
            if changes in ("size", "none"):  # nothing is recalled that might be something else
                os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
            assert not is_recalled(path, cache, changes, identity)


@POSIX
def test_what_is_written_through_a_mapping_is_seen_by_contents(
    tmp_path: Path, cache: Cache
) -> None:
    path = tmp_path / "file"
    path.write_bytes(TEXT)
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapping:
        for i in range(3):
            mapping[:5] = b"%05d" % i
            assert not is_recalled(path, cache, "ctime", "content")
            assert is_recalled(path, cache, "ctime", "content")
