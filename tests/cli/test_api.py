"""The Python API, and how light it is to import."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import parazip
from parazip import Selection, Settings
from support.archives import open_archive
from support.command import TEXT

pytestmark = pytest.mark.once


def test_the_api_gives_a_report_with_the_right_numbers(work: Path) -> None:
    (work / "t" / "large").write_bytes(TEXT * 10)
    seen: list[parazip.Progress] = []
    report = parazip.create(
        work / "out.zip",
        ["t"],
        Settings(level=1, jobs=2),
        Selection(directory=work),
        progress=seen.append,
    )
    with open_archive(work / "out.zip") as archive:
        infos = archive.infolist()
    assert report.archive == str(work / "out.zip")
    assert report.members == len(infos) == 9
    assert report.bytes_in == sum(info.file_size for info in infos)
    assert report.bytes_out == (work / "out.zip").stat().st_size
    assert report.seconds > 0
    assert sum(tally.members for tally in report.codecs.values()) == 9
    assert sum(t.bytes_out for t in report.codecs.values()) == sum(i.compress_size for i in infos)
    assert [p.bytes for p in seen] == sorted(p.bytes for p in seen)
    assert (seen[-1].members, seen[-1].bytes) == (9, report.bytes_in)
    assert seen[-1].bytes_out < report.bytes_out


def test_all_public_names_can_be_had() -> None:
    for name in vars(parazip)["__all__"]:
        assert getattr(parazip, name) is not None
        assert name in dir(parazip)
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        parazip.nothing_of_the_kind  # type: ignore[attr-defined] # noqa: B018 - the access is the point


def test_parazip_errors_are_the_standard_ones_too() -> None:
    assert issubclass(parazip.SettingsError, ValueError)
    assert issubclass(parazip.MemberNameError, ValueError)
    assert issubclass(parazip.DateError, ValueError)
    assert issubclass(parazip.SourceError, OSError)
    assert issubclass(parazip.OutputError, OSError)


def loaded_after(code: str, *modules: str) -> list[str]:
    told = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sys\n{code}\nprint(*[m for m in {modules!r} if m in sys.modules])",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    return told.stdout.splitlines()[-1].split()


def test_importing_parazip_loads_nothing_heavy() -> None:
    heavy = ("click", "rich", "isal", "zlib_ng", "deflate", "zipfile", "parazip.codecs")
    assert loaded_after("import parazip", *heavy) == []


def test_creating_by_the_api_loads_neither_click_nor_rich() -> None:
    code = "import io, parazip; parazip.write(io.BytesIO(), [])"
    assert loaded_after(code, "click", "rich", "isal") == ["isal"]


@pytest.mark.parametrize("argument", ["--version", "--help"])
def test_the_version_loads_neither_rich_nor_codecs(argument: str) -> None:
    code = (
        f"sys.argv = ['parazip', {argument!r}]\n"
        "from parazip.__main__ import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass"
    )
    heavy = ("rich", "isal", "zlib_ng", "deflate", "pex", "parazip.engine.archive")
    assert loaded_after(code, *heavy) == []


def test_a_summary_needs_no_rich(work: Path) -> None:
    code = (
        f"sys.argv = ['parazip', 'create', {str(work / 'out.zip')!r}, '-C', {str(work)!r}, 't']\n"
        "from parazip.__main__ import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass"
    )
    assert loaded_after(code, "rich") == []


@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
def test_a_reader_that_has_seen_enough_is_no_error_to_tell(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "parazip", "--cache-dir", str(tmp_path), "cache", "info"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")
def test_a_full_standard_output_is_told_in_a_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "parazip", "--cache-dir", str(tmp_path), "cache", "info"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    said = "parazip: cannot write to standard output: No space left on device\n"
    assert (done.returncode, done.stderr) == (1, said)
