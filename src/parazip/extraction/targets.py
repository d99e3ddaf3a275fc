"""What is made of an archive's members, and where: all is decided before anything is written.

A name that leads out of the target is refused, and so are two members that would be one file, a
file that another member needs as a folder, and a link that leads out, or might by another one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from parazip.codecs import others
from parazip.errors import BadArchiveError, DuplicateMemberError
from parazip.extraction.unpacking import Item
from parazip.format.names import make_pattern
from parazip.format.records import FLAG_ENCRYPTED, FLAG_PATCH
from parazip.format.values import DEFLATED, STORED, Entry
from parazip.sources.archives import LINK, refuse_uncopyable, refuse_unsafe_name

FOLDER, _FILE = 4, 8
"""The highest 4 bits of the mode of a folder, and of a file."""

_MOST_OF_FOLDERS, _ALWAYS = 32, 1 << 17
"""How much longer the paths of all folders together may be than the names of all members, and a
length that is always added to these. A name of 2,048 steps makes as many folders, and their paths
are a thousand times as long as it is itself."""


@dataclass(slots=True)
class Targets:
    """What is to be made, by paths below the target, with `/` between steps and none at the end.

    Attributes:
        files: in the order of the archive.
        links: likewise.
        folders: all that are needed, each after the one that it is in, with the member that stands
            for it, if there is one.
        length: of the paths of all folders.
        passed_over: members of which no file is made: folders, and what is left out.
    """

    files: list[Item] = field(default_factory=list)
    links: list[Item] = field(default_factory=list)
    folders: dict[str, Entry | None] = field(default_factory=dict)
    length: int = 0
    passed_over: list[Entry] = field(default_factory=list)

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return sum([item.entry.record.size for item in self.files])

    @property
    def compressed_size(self) -> int:
        """The bytes that these are made of."""
        return sum([item.entry.record.compressed_size for item in self.files])

    @property
    def count(self) -> int:
        """How many files, links and folders there are."""
        return len(self.files) + len(self.links) + len(self.folders)

    def add_folder(self, folder: str) -> None:
        """Adds a folder, and before it those that it is in."""
        missing = []
        while folder and folder not in self.folders:
            missing.append(folder)
            self.length += len(folder)
            folder = folder[: max(folder.rfind("/"), 0)]
        for path in reversed(missing):
            self.folders[path] = None


def plan_targets(archive: str, entries: Sequence[Entry], strip: int = 0) -> Targets:
    """What is to be made of members.

    Args:
        archive: what messages call it.
        entries: the members that are extracted.
        strip: how many steps are taken off the beginning of each name; members that have no more
            are left out.

    Raises:
        NotCopiedError: (a NotImplementedError) a member cannot be extracted.
        DuplicateMemberError: two members would be one file.
        BadArchiveError: a file is needed as a folder, or a link leads out.
    """
    targets = Targets()
    files, links, folders = targets.files, targets.links, targets.folders
    own_folders: dict[str, Entry] = {}
    may_be_odd = _has_odd_names(entries)
    parents: dict[str, None] = {}
    for entry in entries:
        name, record, _ = entry
        kind = record.attributes >> 28
        if (
            may_be_odd
            or kind not in (_FILE, FOLDER)
            or record.flags & (FLAG_ENCRYPTED | FLAG_PATCH)
            or record.method not in (STORED, DEFLATED)
        ):
            refuse_unsafe_name(archive, entry, "extract")
            refuse_uncopyable(archive, entry, "extract", others.find_methods())
        path = name
        if strip or may_be_odd:
            steps = [step for step in name.split("/") if step not in ("", ".")][strip:]
            if not steps:
                targets.passed_over.append(entry)
                continue
            path = "/".join(steps)
            if strip:
                refuse_unsafe_name(archive, entry._replace(name=path), "extract")
        if kind == FOLDER:
            own_folders[path.rstrip("/")] = entry
            targets.passed_over.append(entry)
            continue
        end = path.rfind("/")
        if end > 0:
            parents[path[:end]] = None
        (links if kind == LINK else files).append(Item(path, entry))
    most = _MOST_OF_FOLDERS * (sum([len(entry.name) for entry in entries]) + _ALWAYS)
    for folder in sorted({**parents, **own_folders}):
        targets.add_folder(folder)
        if targets.length > most:
            raise BadArchiveError(
                f"cannot extract {archive}: its names are so deep that they make more than "
                f"{len(folders):,} folders of {len(entries):,} members; leave deep ones out with "
                f"--exclude {make_pattern(folder)}/",
                archive=archive,
                member=folder,
            )
    for folder, entry in own_folders.items():
        folders[folder] = entry
    _refuse_conflicts(archive, targets)
    return targets


def _has_odd_names(entries: Sequence[Entry]) -> bool:
    """Whether a name may lead out, or has steps that are none; a quick look at all of them."""
    text = "/\n/".join([entry.name for entry in entries])
    text = f"/{text}/"
    return (
        "\\" in text
        or ":" in text
        or "\0" in text
        or "/./" in text
        or "/../" in text
        or text.count("//") != text.count("//\n")
        or text.count("\n") >= len(entries)
        or max([len(entry.name) for entry in entries], default=0) > 4096
    )


def _refuse_conflicts(archive: str, targets: Targets) -> None:
    items = [*targets.files, *targets.links]
    paths = {item.path: item for item in items}
    if len(paths) < len(items):
        first: dict[str, Item] = {}
        for item in items:
            other = first.setdefault(item.path, item)
            if other is not item:
                name, pattern = item.entry.name, make_pattern(item.entry.name)
                advice = f"leave one out with --exclude {pattern}"
                if name == other.entry.name:
                    advice = f"leave both out with --exclude {pattern}, or keep one by merge "
                    advice += "--on-duplicate first"
                raise DuplicateMemberError(
                    f"cannot extract {name} of {archive}: another member, {other.entry.name}, is "
                    f"the same file; {advice}",
                    member=name,
                )
    for folder in targets.folders:
        if folder in paths:
            raise BadArchiveError(
                f"cannot extract {paths[folder].entry.name} of {archive}: other members need it "
                f"as a folder; leave it out with --exclude "
                f"{make_pattern(paths[folder].entry.name)}",
                archive=archive,
                member=paths[folder].entry.name,
            )


def refuse_leading_out(archive: str, item: Item, target: str) -> None:
    """Refuses a link that may lead out of the target folder, by itself or through other links.

    All steps up must stand at the beginning. A step up that follows another one leads to where that
    one is, if it is a link: it may stand in the folder already, or come later. Where no link has
    such steps, and none leads out by itself, no way through several of them does.

    Args:
        archive: what messages call it.
        item: the link.
        target: where it is to lead.

    Raises:
        BadArchiveError: it may lead out.
    """
    why = find_way_out(item.path, target)
    if why:
        raise BadArchiveError(
            f"cannot extract the link {item.entry.name} of {archive}: its target {target!r} {why}; "
            f"leave it out with --exclude {make_pattern(item.entry.name)}",
            archive=archive,
            member=item.entry.name,
        )


def find_way_out(path: str, target: str) -> str:
    """Why a link may lead out of the folder that it is made in, as the end of a sentence.

    Args:
        path: where the link is in that folder.
        target: where it leads.

    Returns:
        The reason; empty if it leads nowhere else.
    """
    steps = [step for step in target.replace("\\", "/").split("/") if step not in ("", ".")]
    if "\0" in target:
        return "has a NUL in it"
    if target.startswith(("/", "\\")) or (steps and ":" in steps[0]):
        return "is absolute"
    up = next((count for count, step in enumerate(steps) if step != ".."), len(steps))
    if up > path.count("/"):
        return "leads out of the folder"
    if ".." in steps[up:]:
        return "goes up behind a step that may be a link"
    return ""
