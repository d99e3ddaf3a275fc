"""What .gitignore and .zipignore files say of the files beside and below them, as git reads them.

The rules are git's (gitignore(5), and `wildmatch.c` and `dir.c` where it is silent): the last
pattern of the nearest file that matches decides, `!` puts in again, what is below a folder that is
left out stays out, as nobody looks there. So each name is matched by itself, never by the folders
above it; and byte by byte, as git does. A .zipignore has the same rules and the last word.

The patterns of one file are joined into one expression first, as most names match none.
"""

from __future__ import annotations

import os
import re
import string
from collections.abc import Iterator, Sequence
from typing import NamedTuple

FILES = (".zipignore", ".gitignore")
"""The names of files that have such rules; the first has the last word."""

REPOSITORY = ".git"
"""What git keeps for itself in a folder."""


class Pattern(NamedTuple):
    """One line of a file.

    Attributes:
        puts_in: whether what matches is put in after all.
        folders_only: whether it is about folders alone.
        on_path: whether it is compared with the path from the file on, and not with the last step.
        regex: matches all of that, as UTF-8.
        where: the line, for people.
    """

    puts_in: bool
    folders_only: bool
    on_path: bool
    regex: re.Pattern[bytes]
    where: str


class _File(NamedTuple):
    """The patterns of one file; `steps` and `paths` match what any of them matches."""

    depth: int
    patterns: Sequence[Pattern]
    steps: re.Pattern[bytes]
    paths: re.Pattern[bytes]


class Rules:
    """The rules for what one folder holds.

    Args:
        path: of the folder, from where the rules begin; empty, or UTF-8 that ends with a slash.
        files: of it and the folders above it, the nearest first, for each of `FILES`.
    """

    def __init__(
        self, path: bytes = b"", files: tuple[tuple[_File, ...], ...] = ((),) * len(FILES)
    ) -> None:
        self._path = path
        self._files = files

    def below(self, name: str) -> Rules:
        """The rules for a folder in this one, before its own files are read."""
        return Rules(self._path + _bytes(name) + b"/", self._files)

    def reading(self, folder: str, names: Sequence[str]) -> Rules:
        """The same, with the rules of such files in the folder itself.

        Args:
            folder: its path.
            names: of those of `FILES` that it holds.

        Raises:
            OSError: one cannot be read.
        """
        if not names:
            return self
        found = list(self._files)
        for index, name in enumerate(FILES):
            if name in names:
                path = os.path.join(folder, name)
                with open(path, "rb") as file:
                    patterns = list(read(file.read(), path))
                found[index] = (_joined(len(self._path), patterns), *found[index])
        return Rules(self._path, tuple(found))

    def reason(self, name: str, is_folder: bool) -> str:
        """Why something in the folder is left out; empty if it is not."""
        if name == REPOSITORY:
            return "git's own, by --ignore"
        step = _bytes(name)
        path = self._path + step
        for files in self._files:
            for depth, patterns, steps, paths in files:
                below = path[depth:]
                if steps.fullmatch(step) or paths.fullmatch(below):
                    for pattern in reversed(patterns):
                        if (is_folder or not pattern.folders_only) and pattern.regex.fullmatch(
                            below if pattern.on_path else step
                        ):
                            return "" if pattern.puts_in else pattern.where
        return ""


def above(folder: str) -> Rules:
    """The rules that the folders above one have for it, from the top of its repository on.

    Raises:
        OSError: a file with rules cannot be read.
    """
    steps: list[str] = []
    place = os.path.realpath(folder)
    while not os.path.lexists(os.path.join(place, REPOSITORY)):
        parent, step = os.path.split(place)
        if parent == place:
            return Rules()
        steps.append(step)
        place = parent
    rules = Rules()
    for step in reversed(steps):
        present = [name for name in FILES if os.path.isfile(os.path.join(place, name))]
        rules = rules.reading(place, present).below(step)
        place = os.path.join(place, step)
    return rules


def read(text: bytes, path: str) -> Iterator[Pattern]:
    """The patterns of a file.

    Args:
        text: what the file holds.
        path: where it is, for people.
    """
    for number, line in enumerate(text.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        line = _trimmed(line.removesuffix(b"\r"))
        if line.startswith(b"#"):
            continue
        body = line.removeprefix(b"!")
        folders_only = body.endswith(b"/")
        body = body.removesuffix(b"/")
        on_path = b"/" in body
        regex = _translated(body.removeprefix(b"/") if on_path else body, on_path)
        if body and regex is not None:
            shown = line.decode(errors="backslashreplace")
            where = f"{path}, line {number}: {shown}"
            compiled = re.compile(regex, re.DOTALL)
            yield Pattern(line.startswith(b"!"), folders_only, on_path, compiled, where)


def _joined(depth: int, patterns: Sequence[Pattern]) -> _File:
    def any_of(on_path: bool) -> re.Pattern[bytes]:
        each = [b"(?:%s)" % p.regex.pattern for p in patterns if p.on_path == on_path]
        return re.compile(b"|".join(each) or b"(?!)", re.DOTALL)

    return _File(depth, patterns, any_of(False), any_of(True))


def _bytes(name: str) -> bytes:
    return name.encode(errors="surrogateescape")


def _trimmed(line: bytes) -> bytes:
    """A line without the spaces at its end, but for one that a backslash stands in front of."""
    bare = line.rstrip(b" ")
    backslashes = len(bare) - len(bare.rstrip(b"\\"))
    return line[: len(bare) + 1] if backslashes % 2 else bare


_ANY = frozenset(range(256))
_SLASH = ord("/")
_CLASSES = {
    b"alnum": string.ascii_letters + string.digits,
    b"alpha": string.ascii_letters,
    b"blank": " \t",
    b"cntrl": "".join(map(chr, range(32))) + "\x7f",
    b"digit": string.digits,
    b"graph": string.ascii_letters + string.digits + string.punctuation,
    b"lower": string.ascii_lowercase,
    b"print": string.ascii_letters + string.digits + string.punctuation + " ",
    b"punct": string.punctuation,
    b"space": string.whitespace,
    b"upper": string.ascii_uppercase,
    b"xdigit": string.hexdigits,
}


def _translated(pattern: bytes, on_path: bool) -> bytes | None:
    """A regular expression for a pattern; None if it matches nothing."""
    any_one, any_some = (b"[^/]", b"[^/]*") if on_path else (b".", b".*")
    parts = []
    # What has no special character in front git compares first, and looks at the rest as a pattern
    # of its own: so two asterisks behind it count as if they began a step.
    plain = next((i for i, char in enumerate(pattern) if char in b"*?[\\"), len(pattern))
    # Where another asterisk follows, or two, the first place that fits what is in between is as
    # good as any. So nothing else is tried then, or a name could take longer than its bytes allow.
    star: int | None = None  # the part that is the last asterisk of this step
    deep: int | None = None  # the part that is the last two of them
    at, end = 0, len(pattern)
    while at < end:
        char = pattern[at : at + 1]
        if char == b"*":
            stars = at
            while pattern[at : at + 1] == b"*":
                at += 1
            starts = stars == plain or pattern[stars - 1 : stars] == b"/"
            is_step = starts and at - stars > 1
            if on_path and is_step and at == end:
                parts.append(b".*")
            elif on_path and is_step and pattern[at : at + 1] == b"/":
                if deep is not None:
                    parts[deep:] = [b"(?>%s)" % b"".join(parts[deep:])]
                deep = len(parts)
                parts.append(b"(?:[^/]*/)*?")
                at += 1
            else:
                if star is not None:
                    parts[star:] = [b"(?>%s?%s)" % (any_some, b"".join(parts[star + 1 :]))]
                star = len(parts)
                parts.append(any_some)
        elif char == b"?":
            parts.append(any_one)
            at += 1
        elif char == b"[":
            found = _bracket(pattern, at + 1)
            if found is None:
                return None
            chars, at = found
            if on_path:
                chars -= {_SLASH}
            parts.append(b"[%s]" % b"".join([b"\\x%02x" % c for c in chars]) if chars else b"(?!)")
        else:
            if char == b"\\":
                at += 1
                char = pattern[at : at + 1]
                if not char:
                    return None
            parts.append(re.escape(char))
            at += 1
            if char == b"/":
                star = None
    return b"".join(parts)


def _bracket(pattern: bytes, at: int) -> tuple[frozenset[int], int] | None:
    """The bytes that a bracket expression stands for, and where it ends; None if it does not.

    Args:
        pattern: the whole pattern.
        at: the place behind the opening bracket.
    """
    chars: set[int] = set()
    negated = pattern[at : at + 1] in (b"!", b"^")
    at += negated
    first = at
    before: int | None = None  # where a range may begin
    while at < len(pattern):
        char = pattern[at]
        if char == ord("]") and at > first:
            return frozenset(_ANY - chars if negated else chars), at + 1
        if char == ord("-") and before is not None and pattern[at + 1 : at + 2] not in (b"", b"]"):
            at += 1
            if pattern[at : at + 1] == b"\\":
                at += 1
            if at == len(pattern):
                return None
            chars.update(range(before, pattern[at] + 1))
            before = None
        elif (
            pattern[at : at + 2] == b"[:"
            and (end := pattern.find(b"]", at + 2)) > 0
            and (end > at + 2 and pattern[end - 1 : end] == b":")
        ):
            members = _CLASSES.get(pattern[at + 2 : end - 1])
            if members is None:
                return None
            chars.update(members.encode())
            before = None
            at = end
        else:
            if char == ord("\\"):
                at += 1
                if at == len(pattern):
                    return None
                char = pattern[at]
            chars.add(char)
            before = char
        at += 1
    return None
