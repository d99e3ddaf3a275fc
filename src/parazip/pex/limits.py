"""Tells as soon as it is certain that a PEX needs zip64, which not every Python can start.

A PEX is started by `zipimport`, which reads zip64 (APPNOTE 4.3.14) from Python 3.13 on: there and
then, on somebody else's machine, is too late to learn that it has over 65,535 members or 4 GiB. pex
tries the finished PEX with the zipimport of the Python it runs on, and takes what it finds as
`--check` says. The same rule holds here, but early: the number of members is known before most of
them are compressed, and the place in the archive at any time. So nothing is an error here that
is none to pex: where the running Python could start such a PEX, it is a warning about the others.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator

from parazip.errors import OutputError
from parazip.format.records import CENTRAL, LIMIT_16, LIMIT_32, LOCAL
from parazip.model import Member
from parazip.progress import Progress, Sink

READS_ZIP64 = (3, 13)
"""The first Python whose zipimport reads zip64."""


class Limits:
    """Watches one PEX being made; also a progress sink, which passes on to another one.

    Args:
        check: what to do: "none", "warn" or "error".
        path: of the PEX, for messages.
        warn: told once, with a message.
        sink: told of all progress.
    """

    def __init__(
        self, check: str, path: str, warn: Callable[[str], object], sink: Sink | None = None
    ) -> None:
        self._check = check
        self._path = path
        self._warn = warn
        self._sink = sink

    def watched(self, members: Iterable[Member]) -> Iterator[Member]:
        """The same members.

        Raises:
            OutputError: there are too many of them, or too many bytes that are not compressed.
        """
        least = 0
        for count, member in enumerate(members, 1):
            least += LOCAL.size + CENTRAL.size + 2 * len(member.name)
            if member.store:
                least += member.size
            if count > LIMIT_16:
                self._told("over 65,535 members")
            if least >= LIMIT_32:
                self._told("over 4 GiB")
            yield member

    def __call__(self, progress: Progress) -> None:
        """Takes note of how many bytes are written.

        Raises:
            OutputError: they are too many.
        """
        if progress.bytes_out >= LIMIT_32:
            self._told("over 4 GiB")
        if self._sink is not None:
            self._sink(progress)

    def _told(self, much: str) -> None:
        check, self._check = self._check, "none"
        if check not in ("warn", "error"):
            return
        message = (
            f"{self._path} takes {much}, which needs zip64: CPython before 3.13 and PyPy cannot "
            "start it; use --layout packed, or leave something out (--exclude)"
        )
        if check == "error" and sys.version_info < READS_ZIP64:
            raise OutputError(f"{message}, or do without --check error", member=self._path)
        self._warn(message)
