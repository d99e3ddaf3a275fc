"""Names that differ, and are the same to some reader.

Some systems and readers take the composed and the decomposed form of a letter for the same, names
with and without the flag of UTF-8, or backslashes and slashes. Info-ZIP's unzip drops control
characters, and a version as VMS has it at a name's end (`;1`). So a file may even become what
another member needs as a folder.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from unicodedata import normalize

from parazip.format.names import find_file_as_folder
from parazip.format.records import FLAG_UTF8
from parazip.format.refusals import Judge
from parazip.format.values import Record

_LONGEST_STEP = 255
"""Characters. No file system takes a longer step, and to compose one may take the square of its
length in time."""

_CONTROLS = str.maketrans(dict.fromkeys((*range(32), 127)))
_VMS_VERSION = re.compile(r";[0-9]*\Z")


def refuse_ambiguous_names(judge: Judge, at: int, names: list[str], records: list[Record]) -> None:
    """Refuses two names that some reader takes for the same.

    Args:
        judge: is told of them.
        at: where the directory begins.
        names: the members', as text.
        records: theirs, in the same order.
    """
    forms: dict[str, str] = {}
    flags: dict[bytes, int] = {}
    dropped: set[str] = set()
    for name, record in zip(names, records, strict=True):
        flag = record.flags & FLAG_UTF8
        whole = _composed(name)
        form = _VMS_VERSION.sub("", whole.translate(_CONTROLS))
        if form != whole:
            dropped.add(form)
        readings = [form]
        if not flag and (in_header := record.name.decode("cp437")) != name:
            # Readers that know neither Unicode paths nor names of Unix in UTF-8 see that.
            readings.append(_composed(in_header))
        others = [forms.setdefault(reading, name) for reading in readings]
        other = next((other for other in others if other != name), name)
        if other != name or flags.setdefault(record.name, flag) != flag:
            expected = f"one spelling of {other!a}"
            judge.refuse("name-in-two-forms", "central directory", at, expected, ascii(name))
    if dropped and (found := _file_as_folder(forms.keys(), dropped)):
        expected = f"no folder {found!r}, which is a file to some readers"
        judge.refuse("name-in-two-forms", "central directory", at, expected, repr(forms[found]))


def _composed(name: str) -> str:
    """A name with slashes and composed letters alone."""
    steps = name.replace("\\", "/").split("/")
    return "/".join([normalize("NFC", s) if len(s) <= _LONGEST_STEP else s for s in steps])


def _file_as_folder(forms: Collection[str], dropped: Collection[str]) -> str | None:
    """The name of a file that other members need as a folder, if one of both was `dropped`."""

    def files(names: Iterable[str]) -> Iterator[str]:
        return (f"{name}/" for name in names if not name.endswith("/"))

    def folders(names: Iterable[str]) -> set[str]:
        return {name[: name.rfind("/") + 1] for name in names}

    found = find_file_as_folder(files(dropped), folders(forms))
    found = found or find_file_as_folder(files(forms), folders(dropped))
    return found[0][:-1] if found else None
