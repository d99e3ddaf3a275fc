"""What a strict reader refuses: one list of ids, and the judge who is told what breaks a rule.

An id names a rule, is short and never changes: scripts may ask for it (`BadArchiveError.id`), and
docs/refusals.md explains each. The rooms that read an archive tell a `Judge` what is not right, and
go on as far as anything can be read behind it. `Judge` raises at once; another one may collect.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, NoReturn

from parazip.errors import BadArchiveError

_CUT = "is not a zip archive or was cut off"
_DAMAGED = "is damaged"
_AMBIGUOUS = "can be read in two ways"

_WHOLE = "get the whole file again, without anything behind it"
_BARE = f"{_WHOLE} (bsdtar fills up what it writes to a pipe with zeros, but not a file)"
_AGAIN = "get the archive again, or unpack it with what still reads it"
_TRUSTED = "unpack it with the program whose reading you trust"
_RENAMED = "rename one of both files and make the archive again"


class Rule(NamedTuple):
    """What people are told about an archive that breaks a rule.

    Attributes:
        verdict: what the archive is.
        advice: what to do.
    """

    verdict: str
    advice: str


REFUSALS: dict[str, Rule] = {
    # The end: where the central directory is
    "no-end-record": Rule(_CUT, _WHOLE),
    "comment-cut-off": Rule(_CUT, _WHOLE),
    "bytes-behind-archive": Rule(_AMBIGUOUS, _BARE),
    "file-cut-off": Rule(_DAMAGED, _AGAIN),
    "end-record-in-comment": Rule(_AMBIGUOUS, _TRUSTED),
    "end-record-in-front": Rule(_AMBIGUOUS, _TRUSTED),
    "other-archive-in-front": Rule(_AMBIGUOUS, _TRUSTED),
    "split-archive": Rule(_DAMAGED, "join its pieces first, with zip -s 0 or 7z"),
    "count-mismatch": Rule(_DAMAGED, _AGAIN),
    "directory-place": Rule(_DAMAGED, _AGAIN),
    "two-directories": Rule(_AMBIGUOUS, _TRUSTED),
    "zip64-locator": Rule(_DAMAGED, _AGAIN),
    "zip64-end-record": Rule(_DAMAGED, _AGAIN),
    "zip64-end-mismatch": Rule(_AMBIGUOUS, _TRUSTED),
    "two-zip64-end-records": Rule(_AMBIGUOUS, _TRUSTED),
    # The central directory
    "central-header": Rule(_DAMAGED, _AGAIN),
    "extra-field-cut-off": Rule(_DAMAGED, _AGAIN),
    "zip64-field-missing": Rule(_DAMAGED, _AGAIN),
    "zip64-field-twice": Rule(_AMBIGUOUS, _TRUSTED),
    "zip64-field-length": Rule(_AMBIGUOUS, _TRUSTED),
    "zip64-field-mismatch": Rule(_AMBIGUOUS, _TRUSTED),
    "version-needed": Rule(_DAMAGED, _AGAIN),
    "size-impossible": Rule(_DAMAGED, _AGAIN),
    "crc-of-nothing": Rule(_DAMAGED, _AGAIN),
    "deflate-stream-missing": Rule(_DAMAGED, _AGAIN),
    "name-missing": Rule(_DAMAGED, _AGAIN),
    "name-with-nul": Rule(_AMBIGUOUS, _TRUSTED),
    "name-not-utf-8": Rule(_DAMAGED, _AGAIN),
    "name-too-deep": Rule(_DAMAGED, _AGAIN),
    "name-with-backslash": Rule(_AMBIGUOUS, _TRUSTED),
    "name-in-two-forms": Rule(_AMBIGUOUS, _RENAMED),
    "unicode-path-twice": Rule(_AMBIGUOUS, _TRUSTED),
    "unicode-path-invalid": Rule(_AMBIGUOUS, _TRUSTED),
    "unicode-path-mismatch": Rule(_AMBIGUOUS, _TRUSTED),
    "folder-with-contents": Rule(_AMBIGUOUS, _TRUSTED),
    "link-mismatch": Rule(_AMBIGUOUS, _TRUSTED),
    "kind-mismatch": Rule(_AMBIGUOUS, _TRUSTED),
    "link-target": Rule(_AMBIGUOUS, _TRUSTED),
    # The records
    "record-outside": Rule(_DAMAGED, _AGAIN),
    "records-overlap": Rule(_AMBIGUOUS, _TRUSTED),
    "two-records": Rule(_AMBIGUOUS, _TRUSTED),
    "unlisted-record": Rule(_AMBIGUOUS, _TRUSTED),
    "bytes-between-records": Rule(_AMBIGUOUS, _TRUSTED),
    "local-header-missing": Rule(_DAMAGED, _AGAIN),
    "local-header-mismatch": Rule(_AMBIGUOUS, _TRUSTED),
    "local-sizes-mismatch": Rule(_AMBIGUOUS, _TRUSTED),
    "descriptor-missing": Rule(_AMBIGUOUS, _TRUSTED),
    "descriptor-mismatch": Rule(_AMBIGUOUS, _TRUSTED),
    "two-descriptors": Rule(_AMBIGUOUS, _TRUSTED),
    # The contents
    "stream-damaged": Rule(_DAMAGED, _AGAIN),
    "stream-end": Rule(_DAMAGED, _AGAIN),
    "crc-mismatch": Rule(_DAMAGED, _AGAIN),
}


class Refusal(NamedTuple):
    """Something about an archive that is not right.

    Attributes:
        id: of the rule that it breaks, a key of `REFUSALS`.
        record: what is not right, in APPNOTE's terms.
        offset: where that stands, counted from the start of the file.
        expected: what should be there.
        found: what is.
        member: the name of the member concerned, or None.
    """

    id: str
    record: str
    offset: int
    expected: object
    found: object
    member: str | None = None

    def error(self, archive: str) -> BadArchiveError:
        """The error that tells all this of the archive at a path."""
        verdict, advice = REFUSALS[self.id]
        return BadArchiveError(
            f"{archive} {verdict}: {self.record} at offset {self.offset}: expected "
            f"{shorten(self.expected)}, found {shorten(self.found)}; {advice} [{self.id}]",
            archive=archive,
            member=self.member,
            id=self.id,
        )


class Judge:
    """Is told what is not right about an archive, and raises at once.

    One with somebody to hear of it is told of all that can be found: reading goes on then, until
    something `stop`s it.

    Args:
        archive: what messages call it.
        hear: called with each refusal, which is not raised then.
    """

    def __init__(self, archive: str, hear: Callable[[Refusal], object] | None = None) -> None:
        self.archive = archive
        self._hear = hear

    def refuse(
        self,
        id: str,  # noqa: A002 # its name, wherever people see it
        record: str,
        offset: int,
        expected: object,
        found: object,
        member: str | None = None,
    ) -> None:
        """Tells of something that is not right; see `Refusal`."""
        refusal = Refusal(id, record, offset, expected, found, member)
        if self._hear is None:
            raise refusal.error(self.archive)
        self._hear(refusal)

    def stop(
        self,
        id: str,  # noqa: A002 # see above
        record: str,
        offset: int,
        expected: object,
        found: object,
        member: str | None = None,
    ) -> NoReturn:
        """The same, where nothing can be read any further."""
        self.refuse(id, record, offset, expected, found, member)
        raise Refusal(id, record, offset, expected, found, member).error(self.archive)


_MOST_SHOWN = 120
"""Characters of a value in a message."""


def shorten(value: object) -> str:
    """A value as messages show it."""
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= _MOST_SHOWN else text[:_MOST_SHOWN] + "..."
