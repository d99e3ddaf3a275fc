"""What is wrong with an archive, in an order that does not depend on who found it first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

from parazip.format.names import MISREADINGS
from parazip.format.refusals import REFUSALS, Refusal, shorten

Severity: TypeAlias = Literal["error", "warning", "note"]


class Rule(NamedTuple):
    """What is told of something that a strict reader does not refuse.

    Attributes:
        severity: what it is if no profile says more; see `Fault`.
        expected: what should be there.
        verdict: what the archive is.
        advice: what to do.
    """

    severity: Severity
    expected: str
    verdict: str
    advice: str


_MISREAD = "is read otherwise by some"
_REFUSED = "is refused by some"
_MERGED = "parazip merge makes an archive without"
_OUT = "leave it out"

RULES = {
    "name-twice": Rule(
        "error",
        "one member of each name",
        "can be read in two ways",
        "keep one by merge --on-duplicate",
    ),
    "name-leads-out": Rule(
        "error", "a name in the folder", "writes outside of the folder it is unpacked in", _OUT
    ),
    "name-of-a-folder": Rule("error", "a name of a file", "can be read in two ways", _OUT),
    "name-file-and-folder": Rule(
        "error", "a name of a file or of a folder", "cannot be unpacked", _OUT
    ),
    **{
        rule: Rule(
            "warning", "names that mean one thing to all", _MISREAD, "rename them if that matters"
        )
        for rule in MISREADINGS
    },
    "name-in-extra-field": Rule(
        "warning",
        "the same name in header and Unicode path",
        _MISREAD,
        "parazip merge writes one name",
    ),
    "name-without-flag": Rule(
        "warning", "flag 11 beside names in UTF-8", _MISREAD, "parazip merge sets the flag"
    ),
    "name-in-code-page": Rule("warning", "names in UTF-8", _MISREAD, "parazip merge writes UTF-8"),
    "folder-without-slash": Rule(
        "warning",
        "a slash at the end of a folder's name",
        _MISREAD,
        "parazip merge writes the slash",
    ),
    "special-file": Rule("warning", "files, folders and links", _MISREAD, "make it again without"),
    "link-leads-out": Rule(
        "warning", "links within the folder", "writes through links where links are followed", _OUT
    ),
    "contents-unchecked": Rule(
        "warning",
        "contents that can be read here",
        "was not read completely",
        "check it with the program that it is for",
    ),
    "prefix": Rule("note", "a member at the start of the file", _REFUSED, _MERGED),
    "zip64": Rule("note", "no zip64 records", _REFUSED, "split the archive in two"),
    "zip64-counts": Rule("note", "members, all of them on this disk", _REFUSED, _MERGED),
    "member-comment": Rule("note", "no comments of members", _REFUSED, _MERGED),
    "data-descriptor": Rule("note", "sizes and CRC-32 in each local header", _REFUSED, _MERGED),
    "method": Rule("note", "members that are stored or deflated", _REFUSED, "make it again"),
    "encrypted": Rule("note", "members that are not encrypted", _REFUSED, "make it again"),
    "gap": Rule("note", "records without bytes between them", _REFUSED, _MERGED),
    "local-extra-field": Rule("note", "extra fields of whole fields", _REFUSED, _MERGED),
    "local-zip64-field": Rule("note", "both sizes in a local zip64 field", _REFUSED, _MERGED),
    "folder-twice": Rule("note", "each folder once", _REFUSED, _MERGED),
    "local-date": Rule(
        "warning",
        "the directory's date in local headers",
        _MISREAD,
        "parazip merge writes one date",
    ),
}
"""What is told besides what a strict reader refuses (`REFUSALS`)."""


class Fault(NamedTuple):
    """Something about an archive that is not right, or that some reader does not take.

    Attributes:
        id: of the rule; each is explained in docs/refusals.md.
        severity: "error" if readers may see different things, or not all of the archive; "warning"
            if some system or reader takes something for another thing; "note" if it means one
            thing, and some reader refuses it. What a profile names is an error.
        member: the name of the member concerned; empty if it is the archive.
        record: what is not right, in APPNOTE's terms.
        offset: where that stands, counted from the start of the file; if it is about several
            members, the record of the first; -1 if nowhere.
        expected: what should be there.
        found: what is.
        verdict: what that makes of the archive.
        advice: what to do.
        members: the names of all members concerned, if there may be several.
    """

    id: str
    severity: Severity
    member: str
    record: str
    offset: int
    expected: str
    found: str
    verdict: str
    advice: str
    members: tuple[str, ...] = ()

    @classmethod
    def of(cls, refusal: Refusal) -> Fault:
        """What a strict reader refuses."""
        verdict, advice = REFUSALS[refusal.id]
        return cls(
            refusal.id,
            "error",
            refusal.member or "",
            refusal.record,
            refusal.offset,
            shorten(refusal.expected),
            shorten(refusal.found),
            verdict,
            advice,
        )

    @classmethod
    def by_rule(cls, id: str, member: str, what: str, found: str) -> Fault:  # noqa: A002
        """What is told by one of `RULES`: of what, and what was found there."""
        severity, expected, verdict, advice = RULES[id]
        return cls(id, severity, member, what, -1, expected, found, verdict, advice)

    @classmethod
    def of_names(cls, id: str, what: str, names: Sequence[str], text: str = "") -> Fault:  # noqa: A002
        """One for all members of some names; the first ones are shown behind a text."""
        shown = ", ".join(map(repr, names[:_MOST_NAMED]))
        more = len(names) - _MOST_NAMED
        end = f" and {more:,} more" if more > 0 else ""
        fault = cls.by_rule(id, names[0], what, f"{text}{': ' if text else ''}{shown}{end}")
        return fault._replace(members=tuple(names))

    def __str__(self) -> str:
        """A line for people."""
        where = f" at offset {self.offset}" if self.offset >= 0 else ""
        return (
            f"{self.severity} [{self.id}]: {self.record}{where}: expected {self.expected}, found "
            f"{self.found}; {self.advice}"
        )


_MOST_NAMED = 3

_SEVERITIES = ("error", "warning", "note")


def sort_faults(faults: Sequence[Fault]) -> tuple[Fault, ...]:
    """Errors first, each kind by its place in the file."""
    return tuple(sorted(faults, key=lambda one: (_SEVERITIES.index(one[1]), one.offset, one[:4])))
