"""A pex that does not fit is refused clearly."""

from __future__ import annotations

import inspect
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import pytest

from parazip import ParazipError
from parazip.pex import inside
from parazip.pex.inside import MisfitError
from support.pexes import FAST, run_pex

pytest.importorskip("pex.common", reason="pex is not installed")

pytestmark = pytest.mark.once


def method(*parameters: str) -> Callable[..., None]:
    """A function with these parameters."""
    kinds = [
        inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in parameters
    ]

    def made(*_: object, **__: object) -> None: ...

    made.__signature__ = inspect.Signature(kinds)  # type: ignore[attr-defined] # what check looks at
    return made


def opens_with_open_zip() -> None:
    open_zip()  # type: ignore[name-defined] # noqa: F821 - only its name counts


def opens_otherwise() -> None:
    zipfile.ZipFile("x")


WRITE_DETERMINISTIC = ("self", "filename", "arcname", "digest", "deterministic", "compress")


def fake(**changes: Any) -> ModuleType:
    """A `pex.common` that fits but for `changes`; None leaves a name out."""
    kinds = {
        name: changes.pop(name, SimpleNamespace(deterministic_mode=0))
        for name in ("DIRECTORY", "EXECUTABLE", "FILE")
    }
    writes = changes.pop("write_deterministic", method(*WRITE_DETERMINISTIC))
    zips = changes.pop("zip", opens_with_open_zip)
    names = {
        "open_zip": lambda: None,
        "DETERMINISTIC_DATETIME": None,
        "Chroot": type("Chroot", (), {"zip": zips} if zips else {}),
        "ZipFileEx": type("ZipFileEx", (), {"write_deterministic": writes} if writes else {}),
        "ZipFileType": SimpleNamespace(**kinds),
        **changes,
    }
    missing = [name for name, value in changes.items() if value is None]
    return cast(
        "ModuleType",
        SimpleNamespace(**{name: value for name, value in names.items() if name not in missing}),
    )


def without(parameters: tuple[str, ...], name: str) -> Callable[..., None]:
    return method(*(each for each in parameters if each != name))


MISFITS: list[tuple[dict[str, Any], str]] = [
    *(
        ({name: None}, f"pex.common has no {name}")
        for name in ("open_zip", "Chroot", "ZipFileEx", "ZipFileType", "DETERMINISTIC_DATETIME")
    ),
    ({"zip": None}, "Chroot.zip does not open archives with open_zip"),
    ({"zip": opens_otherwise}, "Chroot.zip does not open archives with open_zip"),
    ({"zip": len}, "Chroot.zip does not open archives with open_zip"),
    ({"write_deterministic": None}, "ZipFileEx has no write_deterministic"),
    *(
        (
            {"write_deterministic": without(WRITE_DETERMINISTIC, lost)},
            f"ZipFileEx.write_deterministic takes no {lost}",
        )
        for lost in WRITE_DETERMINISTIC
        if lost not in ("self", "digest")
    ),
    *(
        ({name: SimpleNamespace()}, f"ZipFileType.{name} has no deterministic_mode")
        for name in ("DIRECTORY", "EXECUTABLE", "FILE")
    ),
]

KNOWN = " to ".join(inside.KNOWN_RELEASES)


@pytest.mark.parametrize(
    ("changes", "misfit"), MISFITS, ids=[f"{row[1]} {i}" for i, row in enumerate(MISFITS)]
)
def test_a_pex_that_does_not_fit_is_refused_clearly(changes: dict[str, Any], misfit: str) -> None:
    with pytest.raises(MisfitError) as caught:
        inside.check_module(fake(**changes), "9.9")
    message = str(caught.value)
    assert message == f"pex 9.9 does not fit: {misfit} (parazip is made for pex {KNOWN})"
    assert isinstance(caught.value, ParazipError)


def test_a_pex_that_fits_is_taken() -> None:
    inside.check_module(fake(), "9.9")
    inside.check_fit()


def shim(folder: Path, **files: str) -> dict[str, str]:
    """An environment in which `pex` is a package of these modules; `__` stands for a slash."""
    for name, text in {"pex/__init__": "", **files}.items():
        path = folder / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return {"PYTHONPATH": str(folder)}


def test_no_pex_at_all_is_told_clearly(tmp_path: Path) -> None:
    env = shim(tmp_path / "shim", **{"pex/__init__": "raise ModuleNotFoundError('pex')"})
    done = run_pex(FAST, "--version", root=tmp_path / "root", env=env)
    assert done.returncode == 1
    assert done.stderr.startswith("parazip: pex is not installed here; install parazip[pex]")
    assert "Traceback" not in done.stderr
