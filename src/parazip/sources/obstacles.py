"""What a walk finds and cannot put in: refused with advice, or skipped where that is asked for.

The archive that is being made, and the cache, stand in the way as well: what is read there would
be what is written.
"""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Callable, Iterator
from errno import EACCES, ELOOP, ENOENT, EPERM

from parazip.errors import SourceError
from parazip.format.names import make_pattern
from parazip.model import File, Member
from parazip.sources import files
from parazip.sources.contents import find_file
from parazip.sources.findings import Findings
from parazip.sources.selection import Skip

_NO_INPUT = (
    "cannot read -: there is no file of that name, and standard input is not put in; write it to a "
    "file first, or read names from it with --files-from -"
)

_FORBIDDEN = (EACCES, EPERM)
"""What may not be read. All other errors are failures, of a disk, a network or of this process."""


class Obstacles:
    """Refuses what cannot be put in, unless its kind is to be skipped. The walk goes on.

    Args:
        prefix: stands in front of all names in the archive.
        skip: kinds of what is left out and counted instead.
        findings: hear of all that is refused or skipped.
    """

    def __init__(self, prefix: str, skip: tuple[Skip, ...], findings: Findings) -> None:
        self._prefix = prefix
        self._skip = frozenset(skip)
        self._findings = findings

    def skips(self, kind: Skip) -> bool:
        """Whether what is of this kind is left out."""
        return kind in self._skip

    def refuse_unreadable(self, path: str, name: str, error: OSError) -> None:
        """Refuses a path that cannot be looked at or read; a link that leads nowhere says so."""
        is_absent = isinstance(error, FileNotFoundError | NotADirectoryError)
        if is_absent and os.path.islink(path):
            self._refuse(
                "dangling",
                f"cannot follow {path}: it is a link to {_read_target(path)}, which does not "
                "exist; keep links as links with --symlinks store, or leave out such with "
                "--skip dangling",
                path,
                name,
                error.errno,
            )
        elif error.errno == ELOOP and os.path.islink(path):
            self.refuse_circle(path, name, "a link that leads back to itself", error.errno)
        elif is_absent:
            self._findings.refuse(SourceError.of(path, error), "missing", path)
        elif error.errno in _FORBIDDEN:
            self._refuse(
                "unreadable",
                f"{SourceError.of(path, error)}; leave it out with {write_exclude_option(name)}, "
                "or all such with --skip unreadable",
                path,
                name,
                error.errno,
            )
        else:  # the system fails, for now or for good: to leave out what it hides is no choice
            self._findings.refuse(SourceError.of(path, error), "failed", name)

    def refuse_missing_input(self, path: str) -> None:
        """Refuses `-`, which is standard input elsewhere."""
        self._findings.refuse(SourceError(_NO_INPUT, member=path, errno=ENOENT))

    def refuse_circle(self, path: str, name: str, kind: str, errno: int | None = None) -> None:
        """Refuses a link that nobody can follow to an end; `kind` says what kind of link it is."""
        self._refuse(
            "dangling",
            f"cannot follow {path}: it is {kind}; keep links as links with --symlinks store, or "
            "leave out such with --skip dangling",
            path,
            name,
            errno,
        )

    def refuse_changed(self, path: str, name: str) -> None:
        """Refuses what was no folder when it was listed, and is one now."""
        changed = SourceError(f"{path} changed while it was found: try again", member=path)
        self._findings.refuse(changed, "changed", name)

    def refuse_special(self, path: str, name: str, mode: int) -> None:
        """Refuses what is neither a file nor a folder nor a link."""
        self._refuse(
            "special",
            f"cannot put in {path}: it is {files.describe_kind(mode)}; leave it out with "
            f"{write_exclude_option(name)}, or all such with --skip special",
            path,
            name,
        )

    def _refuse(
        self, kind: Skip, message: str, path: str, name: str, errno: int | None = None
    ) -> None:
        if kind in self._skip:
            self._findings.skip(kind, name)
            why = f"--skip {kind}: {message.partition('; ')[0]}"
            self._findings.leave_out(self._prefix + name, why)
        else:
            self._findings.refuse(SourceError(message, member=path, errno=errno), kind, name)


def refuse_output_inside(
    output: str,
    path: str,
    folder: str,
    folder_name: str,
    is_left_out: Callable[[str], bool],
    findings: Findings,
) -> bool:
    """Refuses a folder to be put in if something would be written into it meanwhile.

    Args:
        output: what is written: "the archive" or "the cache".
        path: where that is.
        folder: what is to be put in.
        folder_name: the name that it gets in the archive.
        is_left_out: whether a name in the archive is left out anyway.
        findings: hear of it.

    Returns:
        Whether the folder was refused.
    """
    try:
        inside = _find_inside(path, folder)
    except OSError as error:  # the working folder was deleted
        findings.refuse(SourceError.of(folder, error))
        return True
    if inside is None:
        return False
    name = "/".join(filter(None, (folder_name, inside)))
    if is_left_out(f"{name}/" if output == "the cache" else name):
        return False
    message = (
        f"{output} {path} lies inside {folder}, which is to be put in; place it elsewhere, or "
        f"leave it out with {write_exclude_option(name)}"
    )
    if inside == os.curdir:
        message = f"{output} cannot be {path}: that is a folder to be put in; name another place"
    findings.refuse(SourceError(message, member=path))
    return True


def _find_inside(path: str, folder: str) -> str | None:
    """The name of a path, or of a URL, below a folder; None if it is elsewhere."""
    here, above = files.find_local_path(path), files.find_local_path(folder)
    if here is None or above is None:
        return files.find_steps_below(path, folder) or None
    inside = os.path.relpath(os.path.realpath(here), os.path.realpath(above))
    if inside.split(os.sep)[0] == os.pardir or os.path.isabs(inside):
        return None
    return inside.replace(os.sep, "/")


def refuse_archive_itself(
    archive: str | int, members: Iterator[Member], findings: Findings
) -> Iterator[Member]:
    """The same members; refuses the archive itself, if it exists already.

    Args:
        archive: its path or its URL, or the descriptor of its file.
        members: what is to be put in.
        findings: hear of it.
    """
    is_itself = _make_judge(archive)
    if is_itself is None:
        yield from members
        return
    for member in members:
        file = find_file(member.source)
        if file is not None and is_itself(file):
            findings.refuse(
                SourceError(
                    f"the archive is to be put into itself, as {member.name}; write it "
                    f"elsewhere, or leave it out with {write_exclude_option(member.name)}",
                    member=member.name,
                )
            )
            continue
        yield member


def find_inode(archive: str | int | None) -> int:
    """The inode of an archive that is there; -1 if there is none here, or no file."""
    place = _find_place(archive)
    try:
        itself = os.stat(place) if place is not None else None
    except OSError:
        itself = None
    return itself.st_ino if itself is not None and stat.S_ISREG(itself.st_mode) else -1


def _find_place(archive: str | int | None) -> str | int | None:
    """The path or descriptor by which a file of this system can be looked at."""
    return files.find_local_path(archive) if isinstance(archive, str) else archive


def _make_judge(archive: str | int) -> Callable[[File], bool] | None:
    """Tells whether a file is the archive; None if none can be."""
    if isinstance(archive, str) and _find_place(archive) is None:
        return lambda file: file.is_remote and files.find_steps_below(file.path, archive) == ""
    inode = find_inode(archive)
    if inode == -1:
        return None
    return lambda file: (file.inode == inode or file.is_remote) and _is_at(file.path, archive)


def _is_at(path: str, archive: str | int) -> bool:
    one, other = _find_place(path), _find_place(archive)
    if one is None or other is None:
        return False
    try:
        return os.path.samestat(os.stat(one), os.stat(other))
    except OSError:  # who reads it will say so
        return False


def write_exclude_option(name: str) -> str:
    """The option that leaves out a name, as one writes it in a shell."""
    return f"--exclude {shlex.quote(make_pattern(name.rstrip('/')))}"


def _read_target(link: str) -> str:
    try:
        return os.readlink(link)
    except OSError:  # it has gone since
        return "?"
