"""What cannot be copied is refused by its name, or left out as told."""

from __future__ import annotations

import os
import re
import shlex
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest

import parazip
from parazip import NotCopiedError, Selection
from support.archives import contents_of, names_in
from support.command import assert_fails
from support.merging import BZIP2, DEFLATED, LZMA, TEXT, run_merge, write_archive
from support.paths import list_below

ENCRYPTED, PATCH, STRONG = 1, 1 << 5, 1 << 6


def set_flags(path: Path, name: str, flags: int) -> None:
    """Sets flags of a member in both headers."""
    with zipfile.ZipFile(path) as archive:
        local, directory = archive.getinfo(name).header_offset, archive.start_dir
    data = bytearray(path.read_bytes())
    central = data.index(name.encode(), directory) - 46
    for at in (local + 6, central + 8):
        old = int.from_bytes(data[at : at + 2], "little")
        data[at : at + 2] = (old | flags).to_bytes(2, "little")
    path.write_bytes(data)


class Refused(NamedTuple):
    """A member that cannot be copied.

    Attributes:
        name: its name.
        told: why.
        method: its compression method.
        flags: its flags, besides those that it has.
    """

    name: str
    told: str
    method: int = DEFLATED
    flags: int = 0


LEADS_OUT = "its name leads out of the archive"

A_FOLDER = "its name is that of a folder, and it is a file"

REFUSED = {
    "encrypted": Refused("secret.txt", "it is encrypted", flags=ENCRYPTED),
    "encrypted in a folder": Refused("d/secret.txt", "it is encrypted", flags=ENCRYPTED),
    "strong encryption": Refused("secret.txt", "it is encrypted", flags=ENCRYPTED | STRONG),
    "patch": Refused("patch.txt", "cannot copy patch.txt", flags=PATCH),
    "bzip2": Refused("packed.bin", "the compression method 12, not stored or deflated", BZIP2),
    "lzma": Refused("packed.bin", "the compression method 14, not stored or deflated", LZMA),
    "up": Refused("../up.txt", LEADS_OUT),
    "up in between": Refused("d/../../up.txt", LEADS_OUT),
    "up and back": Refused("d/../up.txt", LEADS_OUT),
    "absolute": Refused("/etc/up.txt", LEADS_OUT),
    "up on Windows": Refused("d\\..\\..\\up.txt", LEADS_OUT),
    "absolute on Windows": Refused("\\up.txt", LEADS_OUT),
    "a drive": Refused("C:/up.txt", LEADS_OUT),
    "a drive on Windows": Refused("c:\\up.txt", LEADS_OUT),
    "the folder of a drive": Refused("c:up.txt", LEADS_OUT),
    "the top": Refused(".", A_FOLDER),
    "the top, longer": Refused("./.", A_FOLDER),
    "a folder's own name": Refused("d/.", A_FOLDER),
    "a name with spaces": Refused("a b/c d.bin", "method 12", BZIP2),
    "a name that is not ASCII": Refused("gr\u00fc\u00df.bin", "method 12", BZIP2),
    "a name with a dash": Refused("-x", "method 12", BZIP2),
    "a name with brackets": Refused("a[1].bin", "method 12", BZIP2),
    "a name with a star": Refused("a*.bin", "method 12", BZIP2),
    "a name with a quote": Refused("it's.bin", "method 12", BZIP2),
}


def refuse_case(folder: Path, case: str) -> tuple[Path, str]:
    """An archive of a member that cannot be copied, and some that can; and what is told of it."""
    name, told, method, flags = REFUSED[case]
    path = folder / "s.zip"
    write_archive(path, {"before": b"1", name: TEXT, "a1.bin": b"2"}, {name: method})
    set_flags(path, name, flags)
    before = list_below(folder)
    with pytest.raises(NotCopiedError) as error:
        parazip.merge(folder / "out.zip", [path])
    assert isinstance(error.value, NotImplementedError)
    assert error.value.member == name
    assert list_below(folder) == before
    message = str(error.value)
    assert message.startswith(f"cannot copy {name} of {path}: ")
    assert told in message
    return path, message


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_copied_is_refused_by_name(tmp_path: Path, case: str) -> None:
    _, message = refuse_case(tmp_path, case)
    assert "; leave it out with --exclude " in message


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_copied_can_be_left_out_as_told(tmp_path: Path, case: str) -> None:
    path, message = refuse_case(tmp_path, case)
    found = re.search(r"--exclude (.*?)(, or unpack.*)? \[[a-z-]+\]$", message)
    assert found is not None
    (pattern,) = shlex.split(found[1])
    parazip.merge(tmp_path / "out.zip", [path], selection=Selection(exclude=(pattern,)))
    assert contents_of(tmp_path / "out.zip") == {"before": b"1", "a1.bin": b"2"}


@pytest.mark.parametrize("case", ["encrypted", "lzma", "up", "a name with a dash"])
def test_the_command_refuses_what_cannot_be_copied_and_leaves_it_out(
    tmp_path: Path, case: str
) -> None:
    _, message = refuse_case(tmp_path, case)
    name = REFUSED[case].name
    told = message.replace(str(tmp_path) + "/", "")
    assert_fails(run_merge("out.zip", "s.zip", cwd=tmp_path), 1, f"parazip: {told}\n")
    assert os.listdir(tmp_path) == ["s.zip"]
    assert run_merge("--exclude", name, "out.zip", "s.zip", cwd=tmp_path).code == 0
    assert names_in(tmp_path / "out.zip") == ["before", "a1.bin"]


def test_what_is_in_an_excluded_folder_is_not_refused(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "s.zip", {"d/": b"", "d/secret": TEXT, "rest": b"1"})
    set_flags(path, "d/secret", ENCRYPTED)
    parazip.merge(tmp_path / "out.zip", [path], selection=Selection(exclude=("d",)))
    assert names_in(tmp_path / "out.zip") == ["rest"]
