"""What an archive would lose by being changed: refused where people wrote it, noted otherwise.

A change copies the members that stay, with fresh headers. So it loses what these have no room for:
comments of members, extra fields, and members that cannot be copied at all.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable

from parazip.errors import DuplicateMemberError, NotCopiedError, ParazipError
from parazip.format.names import make_pattern, normalize_name
from parazip.format.records import ALIGN_TAG
from parazip.format.surroundings import Surroundings
from parazip.model import Member
from parazip.sources.findings import Findings

_EXTRA_FIELDS = {
    0x000A: "NTFS times",
    0x5455: "times",
    0x5855: "Unix times and owners",
    0x7855: "Unix owners",
    0x7875: "Unix owners",
    0xCAFE: "the mark of a jar",
}
"""What is in extra fields (APPNOTE 4.5.2, 4.6, and the notes of Info-ZIP, Java and Android)."""


class LossFindings(Findings):
    """Hears what cannot be copied of an archive, and tells it as what it would lose by a change.

    Args:
        archive: its path.
        findings: hear of what is left out.
    """

    def __init__(self, archive: str, findings: Findings | None = None) -> None:
        super().__init__()
        self._archive = archive
        self.left_out = findings.left_out if findings is not None else None

    def leave_out(self, name: str, why: str) -> None:
        """Takes note of a member that is left out by a pattern."""
        super().leave_out(name, why.removeprefix("--exclude "))

    def refuse(self, error: ParazipError, kind: str = "", name: str = "") -> None:
        """Takes note of a problem."""
        if isinstance(error, NotCopiedError):
            error = self._explain_loss(str(error.member), error.reason, error.id)
        elif isinstance(error, DuplicateMemberError):
            archive = shlex.quote(self._archive)
            delete = _write_delete_command(archive, error.member)
            error = DuplicateMemberError(
                f"cannot change {self._archive}: it has two members of the name {error.member}, or "
                "one that is a file and a folder; keep the last of two files with parazip merge "
                f"--on-duplicate last {archive} {archive} (without what is in front, and the "
                f"comment), or take out all of that name with {delete}",
                member=error.member,
            )
        super().refuse(error, kind, name)

    def refuse_comments(self, around: Surroundings, stays: Callable[[str], bool]) -> None:
        """Refuses comments of members that stay: people wrote them."""
        for name in around.names:
            if name in around.commented and stays(normalize_name(name)):
                reason = f"cannot keep the comment of {name} in {self._archive}"
                super().refuse(self._explain_loss(name, reason))

    def _explain_loss(self, name: str, reason: str, rule: str = "") -> NotCopiedError:
        advice = f"take it out with {_write_delete_command(shlex.quote(self._archive), name)}"
        rule_id = f" [{rule}]" if rule else ""
        return NotCopiedError(
            f"{reason}; {advice}, or change the archive with zip{rule_id}",
            member=name,
            id=rule,
            reason=reason,
        )


def _write_delete_command(archive: str, name: str | None) -> str:
    """The command that takes members of a name out, and no others."""
    pattern = make_pattern(str(name).rstrip("/"))
    return f"parazip delete {archive} {shlex.quote(pattern if '/' in pattern else f'./{pattern}')}"


def note_losses(archive: str, members: list[Member], around: Surroundings) -> list[str]:
    """What members that stay lose, a sentence each; comments, which people wrote, are findings.

    Args:
        archive: its path.
        members: those that it is to have.
        around: what it has besides members.

    Raises:
        NotCopiedError: a member that stays has a comment.
    """
    names = {member.name for member in members}
    findings = LossFindings(archive)
    findings.refuse_comments(around, names.__contains__)
    findings.finish()
    extras = [
        lost
        for name, tags in around.extras.items()
        if normalize_name(name) in names and (lost := [tag for tag in tags if tag != ALIGN_TAG])
    ]
    if not extras:
        return []
    tags = sorted({tag for member in extras for tag in member})
    fields = ", ".join(f"{_EXTRA_FIELDS.get(tag, 'unknown')} ({tag:#06x})" for tag in tags)
    one_or_more = "1 member" if len(extras) == 1 else f"{len(extras):,} members"
    return [f"extra fields of {one_or_more} were not kept: {fields}"]
