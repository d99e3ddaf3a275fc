"""Classes that derive from ZipFile may use any name that zipfile leaves to them."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest

import parazip

KINDS = [zipfile.ZipFile, parazip.ZipFile]


def test_names_of_ours_tell_whose_they_are(tmp_path: Path) -> None:
    """So no program has them by chance."""
    with parazip.PyZipFile(tmp_path / "made.zip", "w") as ours:
        with zipfile.PyZipFile(str(tmp_path / "stock.zip"), "w") as stock:
            known = {*dir(stock), "start_dir", "_writing", *vars(stock)}
        abc = {name for name in dir(ours) if name.startswith(("_abc", "__"))}
        names = {*dir(ours), *vars(ours)} - known - abc
    assert names
    assert {name for name in names if not name.startswith("_parazip_")} == set()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["file", "_journal", "path", "_open_member", "line", "names"])
@pytest.mark.parametrize("where", ["instance", "class", "method"])
def test_attributes_of_derived_classes_are_their_own(
    tmp_path: Path, kind: Any, name: str, where: str
) -> None:
    def method(self: Any) -> str:
        return "theirs"

    given: Any = {"instance": {}, "class": {name: "theirs"}, "method": {name: method}}[where]
    derived: Any = type("Derived", (kind,), given)
    with derived(tmp_path / "made.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        if where == "instance":
            setattr(archive, name, "theirs")
        archive.writestr("a", b"a" * 100)
        with archive.open("b", "w") as member:
            member.write(b"b" * 100)
    with derived(tmp_path / "made.zip") as archive:
        assert archive.testzip() is None
        archive.extractall(tmp_path / "out")
    assert (tmp_path / "out" / "b").read_bytes() == b"b" * 100


@pytest.mark.parametrize("kind", KINDS)
def test_a_derived_class_may_keep_its_file_elsewhere(tmp_path: Path, kind: Any) -> None:
    class Derived(kind):  # type: ignore[misc] # a class that is given
        @property
        def fp(self) -> Any:
            return self._theirs

        @fp.setter
        def fp(self, file: Any) -> None:
            self._theirs = file

    with Derived(tmp_path / "made.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", b"a" * 100)
        archive.writestr("b", b"b" * 100)
    with zipfile.ZipFile(tmp_path / "made.zip") as made:
        assert made.testzip() is None
        assert made.namelist() == ["a", "b"]
