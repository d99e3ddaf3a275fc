"""The walk that stands in for pex's own: the same files under the same names in the same order."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from parazip.pex import inside, walk, zipper
from support.pexes import plain_way

common = pytest.importorskip("pex.common", reason="pex is not installed")


def test_this_pex_s_own_method_is_known() -> None:
    assert walk.is_known(common.Chroot.zip)


@pytest.mark.parametrize("method", [len, common.Chroot.files, lambda: None])
def test_others_are_not_known(method: Callable[..., object]) -> None:
    assert not walk.is_known(method)


@pytest.fixture
def chroot(tmp_path: Path) -> Any:
    """Files, folders, links to both and what is left out, as `PEXBuilder` puts them in."""
    wheel = tmp_path / "installed/thing.whl"
    for name in (
        "b/c/deep.py",
        "b/z.py",
        "a.py",
        "b/a.pyc",
        "only/pyc.pyc",
        "\u00e4/run.sh",
        "B.py",
    ):
        (wheel / name).parent.mkdir(parents=True, exist_ok=True)
        (wheel / name).write_text(name)
    (wheel / "b/../\u00e4/run.sh").chmod(0o755)
    (wheel / "empty").mkdir()
    (wheel / "linked.py").symlink_to("a.py")
    (wheel / "linked folder").symlink_to("b")
    chroot = common.Chroot(str(tmp_path / "chroot"))
    chroot.symlink(str(wheel), ".deps/thing.whl", label="thing.whl")
    chroot.write(b"main", "__main__.py", label="source")
    chroot.write(b"deep", "pkg/sub/deep.txt", label="source", compress=False)
    chroot.write(b"boot", ".bootstrap/pex/a.py", label="bootstrap")
    chroot.write(b"compiled", ".bootstrap/pex/a.pyc", label="bootstrap")
    return chroot


CALLS: dict[str, dict[str, Any]] = {
    "all": {"mode": "a", "deterministic": True},
    "own times": {"deterministic": False},
    "nothing left out": {"exclude_file": lambda path: False},
    "stored": {"compress": False},
    "a label": {"labels": ("bootstrap",)},
    "the bootstrap alone": {"labels": ("bootstrap",), "strip_prefix": ".bootstrap"},
    "a distribution alone": {"labels": ("thing.whl",), "strip_prefix": ".deps/thing.whl"},
    "another prefix": {"labels": ("source",), "strip_prefix": "pkg"},
    "no such label": {"labels": ("other",)},
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_pex_s_loop_and_ours_give_the_same_members(
    chroot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: dict[str, Any]
) -> None:
    found = []
    monkeypatch.setattr(inside, "_take_contents", lambda path: b"")

    def remember(
        path: str, name: str, prefix: bytes, members: Iterable[Any], way: zipper.ZipPlan
    ) -> None:
        found.append(list(members))

    monkeypatch.setattr(inside, "make_zip", remember)
    arguments = {"exclude_file": lambda path: path.endswith(".pyc"), **call}
    for is_known in (True, False):
        monkeypatch.setattr(inside, "is_known", lambda method, is_known=is_known: is_known)
        before = common.Chroot.zip
        with inside.making_zips_fast(plain_way()):
            assert (common.Chroot.zip is before) == (not is_known)
            chroot.zip(str(tmp_path / "out"), **arguments)
        assert common.Chroot.zip is before
    ours, theirs = found
    assert [tuple(member) for member in ours] == [tuple(member) for member in theirs]
    assert bool(ours) == (call.get("labels") != ("other",))


def test_a_folder_that_cannot_be_read_is_an_error_where_pex_says_so(
    chroot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: str) -> Any:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", fail)
    with inside.making_zips_fast(plain_way()), pytest.raises(PermissionError):
        chroot.zip(str(tmp_path / "out.zip"))
    assert not (tmp_path / "out.zip").exists()
