"""Which PEXes need zip64, and the warning about it as soon as that is certain.

A PEX is started by `zipimport`, which reads zip64 (APPNOTE 4.3.14) from Python 3.13 on: there and
then, on somebody else's machine, is too late to learn that it has over 65,535 members or 4 GiB. pex
tries the finished PEX with the zipimport of the Python it runs on, and takes what it finds as
`--check` says. The same rule holds here, but early: the number of members is known before most of
them are compressed, and the place in the archive at any time. So nothing is an error here that is
none to pex: if the Python that runs can start such a PEX, people are warned of those that cannot.

A PEX that is to be pex's own to the byte (`--exact`) is left to pex where zipfile would write zip64
records: zipfile writes them earlier than we do (`refuse_zip64`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator

from parazip.engine.progress import Progress, Sink
from parazip.errors import OutputError, ParazipError
from parazip.format.records import CENTRAL, LIMIT_16, LIMIT_32, LOCAL
from parazip.model import Member

FIRST_WITH_ZIP64 = (3, 13)
"""The first Python whose zipimport reads zip64."""


class Zip64Error(ParazipError):
    """A zip that is to be pex's own, to the byte, would have records that differ from zipfile's."""


def find_excess(members: int, size: int) -> str:
    """What makes a zip need zip64, for people: a predicate of "it"; empty if nothing does.

    Args:
        members: how many there are.
        size: the largest size, or offset in the archive, in bytes.
    """
    if members > LIMIT_16:
        return "has over 65,535 members"
    if size >= LIMIT_32:
        return "takes over 4 GiB"
    return ""


def refuse_zip64(members: Iterable[Member]) -> Iterator[Member]:
    """The same members.

    Raises:
        Zip64Error: zipfile would write zip64 records, as soon as that is certain.
    """
    for count, member in enumerate(members, 1):
        if excess := find_excess(count, 0):
            raise Zip64Error(f"it {excess}")
        if member.size * 1.05 > LIMIT_32:  # zipfile decides before it compresses, with a margin
            raise Zip64Error(f"{member.name} has about 4 GiB or more")
        yield member


class Limits:
    """Watches one PEX being made; also a progress sink, which passes on to another one.

    Args:
        check: what to do: "none", "warn" or "error".
        path: of the PEX, for messages.
        warn: called once, with a message.
        sink: called with all progress.
    """

    def __init__(
        self, check: str, path: str, warn: Callable[[str], object], sink: Sink | None = None
    ) -> None:
        self._check = check
        self._path = path
        self._warn = warn
        self._sink = sink

    def watch_members(self, members: Iterable[Member]) -> Iterator[Member]:
        """The same members.

        Raises:
            OutputError: there are too many of them, or too many bytes that are not compressed.
        """
        least = 0
        for count, member in enumerate(members, 1):
            least += LOCAL.size + CENTRAL.size + 2 * len(member.name)
            if member.store:
                least += member.size
            if excess := find_excess(count, least):
                self._report(excess)
            yield member

    def __call__(self, progress: Progress) -> None:
        """Looks at how many bytes are written, and passes `progress` on.

        Raises:
            OutputError: they are too many.
        """
        if excess := find_excess(0, progress.bytes_out):
            self._report(excess)
        if self._sink is not None:
            self._sink(progress)

    def _report(self, excess: str) -> None:
        """Warns of a PEX that needs zip64, or raises, as `--check` asks; the first time only."""
        check, self._check = self._check, "none"
        if check not in ("warn", "error"):
            return
        message = (
            f"{self._path} {excess}, which needs zip64: CPython before 3.13 and PyPy cannot "
            "start it; use --layout packed, or leave something out (--exclude)"
        )
        if check == "error" and sys.version_info < FIRST_WITH_ZIP64:
            raise OutputError(f"{message}, or do without --check error", member=self._path)
        self._warn(message)
