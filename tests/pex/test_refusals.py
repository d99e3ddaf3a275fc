"""PEXes where the system refuses one of the last steps: pex's own ones are among them."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from parazip.errors import OutputError
from parazip.output import naming

pytest.importorskip("pex.common", reason="pex is not installed")

from parazip.pex import outside
from support.pexes import FAST, run_pex, write_pex_program
from support.refusals import preload_refusals

pytestmark = pytest.mark.once

CALLS = [
    "rename",
    "fchmod",
    "linkat",
    "unlink",
    *(
        pytest.param(name, marks=pytest.mark.slow)
        for name in ("linkat, no name", "ftruncate", "proc")
    ),
]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PEX_ROOT for all: what a PEX needs to start is made once."""
    return tmp_path_factory.mktemp("root")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / "app.py").write_text("print('the app')\n")
    (tmp_path / "out").mkdir()
    return tmp_path


def build_refused(
    work: Path, root: Path, variables: dict[str, str], *options: str
) -> subprocess.CompletedProcess[str]:
    output = str(work / "out" / "app.pex")
    args = ["--no-pypi", "-D", str(work / "sources"), "-e", "app", "-o", output]
    return run_pex(FAST, *args, *options, root=root, env=variables)


def check_runs(pex: Path, root: Path) -> None:
    done = run_pex([sys.executable], pex, root=root)
    assert (done.returncode, done.stdout) == (0, "the app\n"), done.stderr


@pytest.mark.parametrize("call", CALLS)
def test_pex_where_a_call_is_refused(work: Path, root: Path, library: Path, call: str) -> None:
    out = work / "out"
    for old in (None, b"old"):
        if old is not None:
            (out / "app.pex").write_bytes(old)
        done = build_refused(work, root, preload_refusals(library, call, errno.EPERM, out))
        assert done.returncode == 0, done.stderr
        assert os.listdir(out) == ["app.pex"]
        assert (call == "fchmod") == ("cannot be made executable" in done.stderr)
        check_runs(out / "app.pex", root)


def test_pex_that_cannot_be_renamed_for_another_pex_binary(
    work: Path, root: Path, library: Path
) -> None:
    out = work / "out"
    (out / "app.pex").write_bytes(b"old")
    program = write_pex_program(work / "program")
    variables = preload_refusals(library, "rename", errno.EBUSY, out / "app.pex$")
    done = build_refused(work, root, variables, "--pex-binary", program)
    assert done.returncode == 0, done.stderr
    assert os.listdir(out) == ["app.pex"]
    check_runs(out / "app.pex", root)


def test_folder_that_cannot_be_renamed_is_kept_and_told(
    work: Path, root: Path, library: Path
) -> None:
    out = work / "out"
    variables = preload_refusals(library, "rename", errno.EBUSY, out / "app.pex$")
    done = build_refused(work, root, variables, "--layout", "packed")
    assert done.returncode == 1
    told = re.search(r"all of it is in (.*): move it from there", done.stderr)
    assert told, done.stderr
    check_runs(Path(told[1]), root)


@pytest.mark.parametrize("options", [[], ["--pex-binary", "pex"]], ids=["inside", "outside"])
def test_folder_that_takes_no_file_is_told_before_the_work(
    work: Path, root: Path, options: list[str]
) -> None:
    out = work / "out"
    out.chmod(0o555)
    is_root = os.geteuid() == 0
    mount = ["mount", "-t", "tmpfs", "-o", "ro", "none", str(out)]
    if is_root and subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("root may write everywhere, and not mount here")
    try:
        done = build_refused(work, root, {}, *options)
    finally:
        if is_root:
            subprocess.run(["umount", out], check=True)
    assert done.returncode == 1
    told = f"cannot write {out}/app.pex: {out} takes no new file; write elsewhere"
    assert done.stderr == f"parazip: {told}\n"


@pytest.mark.parametrize("old", ["file", "folder", None])
@pytest.mark.parametrize("new", ["file", "folder"])
def test_what_stood_there_comes_back_when_a_pex_cannot_get_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str | None, new: str
) -> None:
    made, final = tmp_path / "temporary" / "app.pex", tmp_path / "app.pex"
    made.parent.mkdir()
    for kind, path in ((new, made), (old, final)):
        if kind == "folder":
            path.mkdir()
            (path / "inside").write_text(path.parent.name)
        elif kind == "file":
            path.write_text(path.parent.name)
    replace = os.replace

    def refused(source: str, target: str) -> None:
        if source == str(made):
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        replace(source, target)

    monkeypatch.setattr(os, "replace", refused)
    if new == "file" and old != "folder":  # written over
        outside._move_into_place(str(made), str(final))
        assert final.read_text() == "temporary"
        return
    if new == "file":  # the folder is gone, and a file can be written there
        outside._move_into_place(str(made), str(final))
        assert final.is_file()
        return
    with pytest.raises(OutputError, match="all of it is in") as told:
        outside._move_into_place(str(made), str(final))
    assert naming.leaves_file_behind(told.value)
    assert (made / "inside").read_text() == "temporary"
    assert (old is None) == (not final.exists())
    if old == "folder":
        assert (final / "inside").read_text() == tmp_path.name
    elif old == "file":
        assert final.read_text() == tmp_path.name


def test_folder_that_cannot_be_put_aside_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that is a mount point, as with `docker run -v $PWD/app:/app`."""
    made, final = tmp_path / "new", tmp_path / "app"
    made.mkdir()
    final.mkdir()
    (final / "old").touch()

    def refused(source: str, target: str) -> None:
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))

    monkeypatch.setattr(os, "replace", refused)
    with pytest.raises(OutputError, match=f"cannot write {final}: .*all of it is in {made}"):
        outside._move_into_place(str(made), str(final))
    assert os.listdir(final) == ["old"]
    assert made.exists()
