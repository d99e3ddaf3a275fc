"""`parazip info PEX`: what is in a PEX, and which Pythons can start it.

A PEX is a zip (layout zipapp), or a folder: of zips (packed) or of files (loose). Everything here
comes from its PEX-INFO and the central directories of its zips; nothing of it is run.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from heapq import nlargest
from typing import Any, NamedTuple

import click

from parazip.codecs import inflating
from parazip.display import format_size, format_table, make_printable
from parazip.errors import BadArchiveError, ParazipError, SourceError
from parazip.format.values import DEFLATED, STORED, Entry
from parazip.pex import mark
from parazip.pex.limits import find_excess
from parazip.pex.wheels import DEPS, label_member
from parazip.sources import archives, files

_PEX_INFO = "PEX-INFO"
_MOST_BYTES = 4 << 20
"""How large a PEX-INFO may be. A thousand distributions take 0.2 MB; each byte of JSON may take
thirty of memory."""

_TYPES = {"build_properties": dict, "distributions": dict, "interpreter_constraints": list}
"""The keys of PEX-INFO that are looked into, and the type that each must have if it is there."""

_LARGEST = 10
_METHODS = {STORED: "stored", DEFLATED: "deflated"}
_OWN_GROUP = "the PEX itself"


class LargeMember(NamedTuple):
    """One of the largest members: bytes before and after compression."""

    name: str
    bytes_in: int
    bytes_out: int


@dataclass(slots=True)
class MemberGroup:
    """The members of one distribution, or of what else a PEX holds.

    Attributes:
        members: how many, folders not counted.
        bytes_in: their uncompressed bytes.
        bytes_out: their compressed bytes.
        methods: how many of them have which compression method.
    """

    members: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    methods: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class PexSummary:
    """What a PEX is made of.

    Attributes:
        path: where it is.
        layout: "zipapp", "packed" or "loose".
        size: bytes of its files.
        pex_info: what its PEX-INFO says.
        groups: its members, by distribution.
        largest: the largest members, by their compressed bytes.
        zipimport: from which Python on zipimport can start it, and why.
        has_sentinel: whether it holds the empty file that is one kind of mark.
    """

    path: str
    layout: str
    size: int
    pex_info: dict[str, Any]
    groups: dict[str, MemberGroup] = field(default_factory=dict)
    largest: list[LargeMember] = field(default_factory=list)
    zipimport: str = "any Python"
    has_sentinel: bool = False

    @property
    def constraints(self) -> str:
        """The interpreters that it is for."""
        return " or ".join(map(str, self.pex_info.get("interpreter_constraints") or ())) or "any"

    @property
    def mark(self) -> str:
        """What it says of a tool other than pex that has made its zips."""
        return mark.describe_mark(self.pex_info, self.has_sentinel)


def read_pex(path: str) -> PexSummary:
    """Reads what a PEX is made of.

    Raises:
        ParazipError: it is no PEX.
        SourceError: it cannot be read.
        BadArchiveError: it is damaged, or no zip.
    """
    if not os.path.isdir(path):
        size = _measure_size(path)
        found = PexSummary(path, "zipapp", size, read_pex_info(path))
        _add_members(found, list(_list_zip_members(path, "")))
        return found
    found = PexSummary(path, "loose", 0, read_pex_info(path))
    members: list[_Member] = []
    for parent, _, names in os.walk(path, onerror=_raise_unreadable, followlinks=True):
        for name in sorted(names):
            inside = os.path.join(parent, name)
            found.size += _measure_size(inside)
            relative = os.path.relpath(inside, path).replace(os.sep, "/")
            is_zip = relative.startswith(".") and zipfile.is_zipfile(inside)
            if is_zip and relative.count("/") == (1 if relative.startswith(DEPS) else 0):
                found.layout = "packed"
                members += _list_zip_members(inside, relative + "/")
            else:
                members.append(
                    _Member(relative, _measure_size(inside), _measure_size(inside), "as it is")
                )
    _add_members(found, members)
    return found


class _Member(NamedTuple):
    name: str
    bytes_in: int
    bytes_out: int
    method: str
    needs_zip64: bool = False


def _list_zip_members(path: str, prefix: str) -> Iterator[_Member]:
    entries = _read_entries(path)
    for name, record, end in entries:
        if not name.endswith("/"):
            method = _METHODS.get(record.method, f"method {record.method}")
            excess = find_excess(len(entries), max(record.size, end))
            yield _Member(prefix + name, record.size, record.compressed_size, method, bool(excess))


def _read_entries(path: str) -> list[Entry]:
    try:
        return archives.read_entries(files.describe_file(path, os.stat(path)))
    except OSError as error:
        raise error if isinstance(error, ParazipError) else SourceError.of(path, error) from error


def _add_members(found: PexSummary, members: Iterable[_Member]) -> None:
    members = list(members)
    found.has_sentinel = any(member.name == mark.SENTINEL for member in members)
    for name, bytes_in, bytes_out, method, _ in members:
        group = found.groups.setdefault(_name_group(name), MemberGroup())
        group.members += 1
        group.bytes_in += bytes_in
        group.bytes_out += bytes_out
        group.methods[method] = group.methods.get(method, 0) + 1
    largest = nlargest(_LARGEST, members, key=lambda member: member.bytes_out)
    found.largest = [LargeMember(*member[:3]) for member in largest]
    if any(member.method.startswith("method ") for member in members):
        found.zipimport = "none: it knows only the methods stored and deflated"
    elif any(member.needs_zip64 for member in members):
        found.zipimport = "Python 3.13 and newer: more than 4 GiB or 65,535 members (zip64)"


def _name_group(name: str) -> str:
    """The distribution that a member belongs to; whole wheels may be members, too."""
    folder, _, wheel = name.partition("/")
    return label_member(name) or (wheel if folder == DEPS else _OWN_GROUP)


def read_pex_info(path: str) -> dict[str, Any]:
    """The PEX-INFO of a PEX; raises what `read_pex` raises."""
    text = _read_from_folder(path) if os.path.isdir(path) else _read_from_zip(path)
    if text is None:
        raise ParazipError(f"{path} is not a PEX: it has no {_PEX_INFO}", member=path)
    if len(text) > _MOST_BYTES:
        raise BadArchiveError(
            f"{path} is not a PEX: expected a {_PEX_INFO} of at most {_MOST_BYTES} bytes, found "
            "more",
            archive=path,
        )
    try:
        info = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ParazipError(
            f"{path} is not a PEX: its {_PEX_INFO} is not JSON", member=path
        ) from error
    if not isinstance(info, dict):
        raise ParazipError(f"{path} is not a PEX: its {_PEX_INFO} is not an object", member=path)
    for name, kind in _TYPES.items():
        if not isinstance(info.get(name) or kind(), kind):
            raise ParazipError(
                f"{path} is not a PEX: {name} in its {_PEX_INFO} is not a {kind.__name__}",
                member=path,
            )
    return info


def _read_from_zip(path: str) -> bytes | None:
    """Up to one byte more than `_MOST_BYTES`, whatever size it claims; None if there is none."""
    found = [entry.record.method for entry in _read_entries(path) if entry.name == _PEX_INFO]
    if not found:
        return None
    if found[0] not in _METHODS:  # zipfile lets others inflate to any size
        raise BadArchiveError(
            f"cannot read {_PEX_INFO} of {path}: expected it stored or deflated, found the "
            f"compression method {found[0]}",
            archive=path,
        )
    try:
        with zipfile.ZipFile(path) as archive, archive.open(_PEX_INFO) as file:
            return file.read(_MOST_BYTES + 1)
    except (zipfile.BadZipFile, RuntimeError, EOFError, inflating.InflateError) as error:
        raise BadArchiveError(
            f"cannot read {_PEX_INFO} of {path}: {error}", archive=path
        ) from error


def _read_from_folder(path: str) -> bytes | None:
    try:
        with open(os.path.join(path, _PEX_INFO), "rb", opener=files.open_regular) as file:
            return file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise error if isinstance(error, ParazipError) else SourceError.of(path, error) from error


def _measure_size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError as error:
        raise SourceError.of(path, error) from error


def _raise_unreadable(error: OSError) -> None:
    raise SourceError.of(str(error.filename), error) from error


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("pex", metavar="PEX")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for programs.")
def info(pex: str, as_json: bool) -> None:
    """Show what is in PEX, a file or a folder, and which Pythons can start it."""
    found = read_pex(pex)
    if as_json:
        document = asdict(found) | {"constraints": found.constraints, "mark": found.mark}
        document["largest"] = [large._asdict() for large in found.largest]
        print(json.dumps(document, indent=2))
        return
    print("\n".join(_format_summary(found)))


def _format_summary(found: PexSummary) -> Iterator[str]:
    pex_info = found.pex_info
    built = pex_info.get("build_properties") or {}
    members = sum(group.members for group in found.groups.values())
    total = sum(group.bytes_in for group in found.groups.values())
    facts = {
        "layout": found.layout,
        "files": f"{members:,}, {format_size(total)} in {format_size(found.size)}",
        "built by": f"pex {built.get('pex_version', '?')}",
        "mark": found.mark,
        "starts": pex_info.get("entry_point") or pex_info.get("script") or "an interpreter",
        "interpreters": found.constraints,
        "zipimport": found.zipimport,
    }
    for name, fact in facts.items():
        yield make_printable(f"{name:12}  {fact}")
    yield ""
    rows = [
        (
            name,
            f"{group.members:,}",
            format_size(group.bytes_in),
            format_size(group.bytes_out),
            ", ".join(f"{count:,} {method}" for method, count in sorted(group.methods.items())),
        )
        for name, group in sorted(found.groups.items(), key=lambda item: -item[1].bytes_out)
    ]
    yield format_table(("distribution", "files", "in", "out", "methods"), rows)
    yield ""
    large = [
        (name, format_size(bytes_in), format_size(bytes_out))
        for name, bytes_in, bytes_out in found.largest
    ]
    yield format_table(("largest files", "in", "out"), large)
