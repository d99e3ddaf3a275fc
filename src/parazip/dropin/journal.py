"""The states of an archive that is being written, and what each call does in each.

An archive is always in one of these states. Those from `HELD` to `COUNTED` are states of the member
that is open, of which there is one at most; without one the archive is `READY` or `TORN`.

| state   | `write` to member | a look at `fp`   | `close` of member  | next member, directory    |
| ------- | ----------------- | ---------------- | ------------------ | ------------------------- |
| READY   |                   | the file         |                    | goes to the end           |
| TORN    |                   | the file         |                    | cuts off, goes to the end |
| NEW     |                   | the file         | abandons it: DONE  | as READY or TORN          |
| HELD    | takes it          | writes: BEGUN    | counts it, or TORN | ValueError                |
| BEGUN   | takes it, writes  | writes           | counts it, or TORN | ValueError                |
| FAILED  | raises again      | the file         | raises again: TORN | ValueError                |
| ENDING  | ValueError        | the file         | nothing            | ValueError                |
| COUNTED | ValueError        | the file         | nothing            | ValueError                |
| DONE    | ValueError        |                  | nothing            | as READY or TORN          |

An exception may strike between any two instructions: a full disk, Ctrl-C out of a signal handler.
What stands in the file up to the archive's end is never touched, and the end moves only by
`Journal.add`, from one instruction to the next. So whatever a call leaves behind the end does not
count, and whoever comes next cuts it off or overwrites it. That is all that `TORN` means, and why
no state has to be undone.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from contextlib import suppress
from typing import IO, TYPE_CHECKING, NamedTuple

from parazip.dropin import inside
from parazip.engine.progress import Counter
from parazip.settings import Settings

if TYPE_CHECKING:
    from parazip.dropin.handle import MemberWriter
    from parazip.dropin.writing import Writing


class State(NamedTuple):
    """A row of the table.

    Attributes:
        name: how it is called there.
        is_open: whether a member is open, so that no other may be put in or read.
        is_written_out: whether a look at the file has to find in it what the member has got.
    """

    name: str
    is_open: bool = False
    is_written_out: bool = False


READY = State("READY")
"""Nothing lies behind the archive's end, but the directory of an archive that is appended to."""

TORN = State("TORN")
"""Behind the archive's end there may be bytes that do not count."""

NEW = State("NEW")
"""The member's object is made, but nobody has it yet."""

HELD = State("HELD", is_open=True, is_written_out=True)
"""All that the member has got is in memory."""

BEGUN = State("BEGUN", is_open=True, is_written_out=True)
"""The member's header is written, and maybe some of its blocks."""

FAILED = State("FAILED", is_open=True)
"""Something could not be written. The member will not be in the archive."""

ENDING = State("ENDING", is_open=True)
"""The member's object is closed, and the rest of its record is being written."""

COUNTED = State("COUNTED", is_open=True)
"""The member is in the archive. `progress` is told, and may try to put in another one."""

DONE = State("DONE")
"""The member is in the archive, or never will be."""

NEXT_STATES: dict[State, tuple[State, ...]] = {
    NEW: (HELD, DONE),
    HELD: (BEGUN, FAILED, ENDING, DONE),
    BEGUN: (FAILED, ENDING, DONE),
    FAILED: (ENDING, DONE),
    ENDING: (COUNTED, DONE),
    COUNTED: (DONE,),
    DONE: (),
}
"""What may follow on each state of a member. Any of them may end by an exception."""


def _no_member() -> None:
    """There is none so far."""


class Journal:
    """What is known of an archive that is being written.

    It does not hold the archive, which would be a cycle: an archive that is forgotten has to be
    closed at once, not when garbage is collected.

    Attributes:
        settings: how members are compressed.
        is_in_call: whether a call is at work that puts in a whole member.
        added: a member that may be in the list already, while the archive's end is still in front
            of its record; and where that ends.
        at_rest: `READY` or `TORN`: the state when no member is open.
        member: a weak reference to the member that was opened last, whose state comes before that
            one while it is open.
    """

    __slots__ = (
        "_counter",
        "_first_offset",
        "added",
        "at_rest",
        "is_in_call",
        "member",
        "settings",
    )

    def __init__(self, settings: Settings, counter: Counter) -> None:
        self.settings = settings
        self.is_in_call = False
        self.added: tuple[zipfile.ZipInfo, int] | None = None
        self.member: Callable[[], MemberWriter | None] = _no_member
        self._counter = counter
        self._first_offset = 0
        self.at_rest = READY

    def begin(self, archive: Writing) -> None:
        """Takes note of where the first record begins, from which `progress` counts."""
        self._first_offset = vars(archive).get("start_dir", 0)

    def abandon_member(self) -> None:
        """Ends the member that is open without putting it in."""
        member = self.member()
        if member is not None:
            member.abandon()

    def go_to_end(self, archive: Writing) -> IO[bytes]:
        """The archive's file, where the next record begins. From here on the archive is torn."""
        file = archive._parazip_file
        if inside.is_seekable(archive):
            self._cut_off_remains(archive)
            file.seek(archive.start_dir)
        else:
            archive.start_dir = file.tell()
        self.at_rest = TORN
        return file

    def add(self, archive: Writing, info: zipfile.ZipInfo) -> None:
        """Counts a member whose record was just written."""
        # The list is what counts, and appending to it cannot be interrupted half way. The end
        # moves right after that. If an exception comes between, `move_end` makes up for it when
        # somebody asks for the end, for which `added` has to be set before.
        self.added = info, archive._parazip_file.tell()
        try:
            archive.filelist.append(info)
            archive.NameToInfo[info.filename] = info
        except BaseException:
            archive.NameToInfo.update((each.filename, each) for each in archive.filelist)
            raise
        self.move_end(archive)
        self.at_rest = READY

    def move_end(self, archive: Writing) -> None:
        """Moves the archive's end behind the member that was added, if it is in the list."""
        if self.added is None:
            return
        info, end = self.added
        if archive.filelist and archive.filelist[-1] is info:
            vars(archive)["start_dir"] = end
        self.added = None

    def write_directory(self, archive: Writing) -> None:
        """Writes the central directory. If it is interrupted, it can be done once more."""
        if inside.is_seekable(archive):
            self._cut_off_remains(archive)
            archive._parazip_file.seek(archive.start_dir)
        elif self.at_rest is TORN:
            # What was sent cannot be taken back, so the directory begins behind it. Otherwise it
            # begins where the last record ended, as zipfile has it, though others may have written.
            archive.start_dir = archive._parazip_file.tell()
        self.at_rest = TORN
        inside.write_directory(archive)
        inside.set_modified(archive, False)
        self.at_rest = READY

    def _cut_off_remains(self, archive: Writing) -> None:
        if self.at_rest is not TORN:
            return
        # A buffered file first writes what it still holds, and on a full disk fails again. So the
        # archive stays torn until the file has really been cut. One that cannot be cut at all is
        # overwritten from its end on.
        with suppress(OSError, ValueError, AttributeError):
            archive._parazip_file.truncate(archive.start_dir)
            self.at_rest = READY

    def tell_progress(self, archive: Writing, members: int, size: int, name: str) -> None:
        """So many members, and bytes of them, are in the archive now."""
        counter = self._counter
        if not counter.is_heard:
            return
        counter.members_total += members
        counter.bytes_total += size
        counter.advance(members, size, archive._parazip_file.tell() - self._first_offset, name)


class PuttingIn:
    """A call that puts in a whole member. If it is interrupted, the member is not put in.

    The member's object may outlive the call, as the traceback holds it; it is not to put in what
    it has got when it goes.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def __enter__(self) -> None:
        self._journal.is_in_call = True

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if kind is not None and not issubclass(kind, Exception):
            self._journal.abandon_member()
        self._journal.is_in_call = False
