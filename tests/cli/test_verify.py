"""The command `parazip verify`: what it writes, and its exit codes."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from support.command import make_environment, run_parazip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sound archive, a damaged one, and one with a warning."""
    for name, members in {"a.zip": "bc", "b.zip": "bc", "case.zip": "bB"}.items():
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for member in members:
                archive.writestr(member, b"contents")
    data = (tmp_path / "b.zip").read_bytes()
    (tmp_path / "b.zip").write_bytes(data.replace(b"contents", b"CONTENTS", 1))
    return tmp_path


def test_what_is_sound_is_called_so(folder: Path) -> None:
    done = run_parazip("verify", "a.zip", cwd=folder)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(b"a.zip: sound; 2 members, 16 B in ")
    assert run_parazip("verify", "-q", "a.zip", cwd=folder).out == b""


def test_each_error_is_a_line_and_the_code_is_1(folder: Path) -> None:
    done = run_parazip("verify", "-q", "a.zip", "b.zip", cwd=folder)
    assert (done.code, done.err) == (1, "")
    (line,) = done.out.decode().splitlines()
    assert line.startswith("b.zip: error [crc-mismatch]: the data of b at offset 0: expected CRC ")
    assert line.endswith("; get the archive again, or unpack it with what still reads it")


def test_a_warning_is_no_error(folder: Path) -> None:
    done = run_parazip("verify", "case.zip", cwd=folder)
    assert done.code == 0
    assert b"warning [name-case]: names at offset 0: expected" in done.out
    assert b"case.zip: 1 warning; 2 members" in done.out


def test_names_that_standard_output_cannot_say_are_escaped(folder: Path) -> None:
    with zipfile.ZipFile(folder / "odd.zip", "w") as archive:
        archive.writestr("caf\u00e9.", b"")
    env = make_environment(PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    done = run_parazip("verify", "odd.zip", cwd=folder, env=env)
    assert (done.code, done.err) == (0, "")
    assert rb"\xe9." in done.out


def test_what_cannot_be_read_does_not_keep_others_from_it(folder: Path) -> None:
    done = run_parazip("verify", "nothing.zip", "a.zip", cwd=folder)
    assert done.code == 1
    assert "cannot read nothing.zip: No such file" in done.err
    assert b"a.zip: sound" in done.out


def test_json_tells_all(folder: Path) -> None:
    done = run_parazip("verify", "--json", "a.zip", "b.zip", "nothing.zip", cwd=folder)
    assert done.code == 1
    sound, damaged, missing = json.loads(done.out)["archives"]
    assert (sound["archive"], sound["sound"], sound["faults"]) == ("a.zip", True, [])
    assert (sound["members"], sound["bytes"]) == (2, 16)
    (fault,) = damaged["faults"]
    assert (fault["id"], fault["member"], fault["offset"]) == ("crc-mismatch", "b", 0)
    assert (missing["sound"], missing["archive"]) == (False, "nothing.zip")
    assert "No such file" in missing["error"]


def test_no_archive_is_a_wrong_command_line(folder: Path) -> None:
    assert run_parazip("verify", cwd=folder).code == 2


def test_an_archive_may_come_from_standard_input(folder: Path) -> None:
    done = run_parazip("verify", "-", cwd=folder, stdin=(folder / "case.zip").read_bytes())
    assert done.code == 0
    assert b"-: 1 warning; 2 members" in done.out
