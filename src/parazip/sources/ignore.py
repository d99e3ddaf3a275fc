"""What .gitignore and .zipignore files say of the files beside and below them.

The rules are git's (gitignore(5)): the last pattern of the nearest file that matches decides, `!`
puts in again, what is below a folder that is left out stays out, as nobody looks there. So each
name is matched by itself, never by the folders above it. A .zipignore has the same rules and the
last word.

What a pattern means is told by `pathspec`, as a regular expression that finds an entry, or a folder
above it. To judge an entry by itself we ask for a match to its very end. The patterns of one file
are joined into one expression first, as most names match none.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from parazip.errors import SourceError

RULE_FILES = (".zipignore", ".gitignore")
"""The names of files that have such rules; the first has the last word."""

REPOSITORY = ".git"
"""What git keeps for itself in a folder."""


class Pattern(NamedTuple):
    """One line of a file.

    Attributes:
        leaves_out: whether what matches is left out, and not put in after all.
        regex: matches all of the path of an entry from the file on, a folder's with a slash at
            its end.
        where: the line, for people.
    """

    leaves_out: bool
    regex: re.Pattern[str]
    where: str


class _File(NamedTuple):
    """The patterns of one file; `any` matches what one of them matches."""

    depth: int
    patterns: Sequence[Pattern]
    any: re.Pattern[str]


class Rules:
    """The rules for what one folder holds.

    Args:
        path: of the folder, from where the rules begin; empty, or with a slash at its end.
        files: of it and the folders above it, the nearest first, for each of `RULE_FILES`.
    """

    def __init__(
        self, path: str = "", files: tuple[tuple[_File, ...], ...] = ((),) * len(RULE_FILES)
    ) -> None:
        self._path = path
        self._files = files

    def for_folder(self, name: str) -> Rules:
        """The rules for a folder in this one, before its own files are read."""
        return Rules(self._path + name + "/", self._files)

    def with_files(self, folder: str, names: Sequence[str]) -> Rules:
        """The same, with the rules of such files in the folder itself, which are read.

        Args:
            folder: its path.
            names: of those of `RULE_FILES` that it holds.

        Raises:
            OSError: one cannot be read.
            SourceError: one has a line that is not understood.
        """
        if not names:
            return self
        files = list(self._files)
        for index, name in enumerate(RULE_FILES):
            if name in names:
                path = os.path.join(folder, name)
                with open(path, "rb") as file:
                    patterns = list(read_patterns(file.read(), path))
                files[index] = (_join_patterns(len(self._path), patterns), *files[index])
        return Rules(self._path, tuple(files))

    def find_reason(self, name: str, is_folder: bool) -> str:
        """Why something in the folder is left out; empty if it is not."""
        if name == REPOSITORY:
            return "git's own, by --ignore"
        path = self._path + name + ("/" if is_folder else "")
        for files in self._files:
            for depth, patterns, any_of_them in files:
                below = path[depth:]
                if any_of_them.fullmatch(below):
                    for pattern in reversed(patterns):
                        if pattern.regex.fullmatch(below):
                            return pattern.where if pattern.leaves_out else ""
        return ""


def rules_above(folder: str) -> Rules:
    """The rules that the folders above one have for it, from the top of its repository on.

    Raises:
        OSError: a file with rules cannot be read.
        SourceError: one has a line that is not understood.
    """
    steps: list[str] = []
    place = os.path.realpath(folder)
    while _kind(os.path.join(place, REPOSITORY)) is None:
        parent, step = os.path.split(place)
        if parent == place:
            return Rules()
        steps.append(step)
        place = parent
    rules = Rules()
    for step in reversed(steps):
        present = [name for name in RULE_FILES if _kind(os.path.join(place, name)) == stat.S_IFREG]
        rules = rules.with_files(place, present).for_folder(step)
        place = os.path.join(place, step)
    return rules


def _kind(path: str) -> int | None:
    """Of what kind something is, None if it is not there; whatever else fails is an error.

    A list that cannot be seen may say that something is to be left out.
    """
    try:
        return stat.S_IFMT(os.stat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return None


def read_patterns(text: bytes, path: str) -> Iterator[Pattern]:
    """The patterns of a file.

    Args:
        text: what the file holds.
        path: where it is, for people.

    Raises:
        SourceError: a line has a class of characters, which pathspec would take for others.
    """
    from pathspec.patterns.gitignore import GitIgnorePatternError
    from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

    for number, line in enumerate(text.decode("utf-8-sig", "surrogateescape").split("\n"), 1):
        line = line.removesuffix("\r")
        shown = line.rstrip().encode(errors="surrogateescape").decode(errors="backslashreplace")
        where = f"{path}, line {number}: {shown}"
        if _CLASS.search(line) and not line.startswith("#"):
            raise SourceError(
                f"cannot read {where}: it has a class such as [:digit:]; write its characters, "
                "such as [0-9]",
                member=path,
            )
        try:
            regex, leaves_out = GitIgnoreSpecPattern.pattern_to_regex(
                # All in a folder, but not the folder itself, which pathspec would find, too.
                _INSIDE.sub(r"/**/*\1", line)
            )
            if regex is not None and leaves_out is not None:
                yield Pattern(leaves_out, re.compile(_make_whole(regex), re.DOTALL), where)
        except (GitIgnorePatternError, re.error):
            pass  # git passes it over, too


def _join_patterns(depth: int, patterns: Sequence[Pattern]) -> _File:
    each = [pattern.regex.pattern for pattern in patterns]
    return _File(depth, patterns, re.compile("|".join(each) or "(?!)", re.DOTALL))


_CLASS = re.compile(r"\[:\w+:\]")
_INSIDE = re.compile(r"/\*\*(/?)\s*\Z")
_SET_OR_GROUP = re.compile(r"\\.|(?P<set>\[\^?\]?[^]]*\])|(?P<group>\(\?P<\w+>)", re.DOTALL)
_WARNED_OF = re.compile(r"(?<!\A)[\[&~|]|(?<=[^\[^]-)-")


# What pathspec writes for `*`, for `/**/` in between, and for `**/` at the start. Should it write
# something else one day, nothing is found in an expression and it is left as it is: right, but slow
# for lines with many asterisks.
_STAR = "[^/]*"
_FOLDERS = "(?:/.+)?"
_FOLDERS_FIRST = "^(?:.+/)?"


def _make_whole(regex: str) -> str:
    """What pathspec searches for, to be matched as a whole and joined with others.

    As it is, a name that does not match is tried in as many ways as asterisks can share its
    characters, and one name could take years. But where another asterisk follows, the shortest
    match of what is in between is as good as any: the next asterisk takes what is left. So it is
    made an atomic group, `(?>...)`, and nothing else is tried once it has matched.
    """
    regex = _SET_OR_GROUP.sub(_simplify, regex)
    if not regex.startswith("^"):
        regex = ".*" + regex
    return _fix_folders(_fix_stars(regex))


def _fix_stars(regex: str) -> str:
    """For `*a*b*c`: `(?>[^/]*?a)(?>[^/]*?b)[^/]*c` instead of `[^/]*a[^/]*b[^/]*c`.

    Not where a slash follows before the next asterisk: that one stands in another step, and cannot
    take what is left of this one.
    """
    begin, *pieces = regex.split(_STAR)  # no set of the pattern's own has a slash
    if not pieces:
        return begin
    *inner, last = pieces
    for piece in inner:
        crosses = "/" in piece.replace("[^/]", "")
        begin += _STAR + piece if crosses else f"(?>{_STAR}?{piece})"
    return begin + _STAR + last


def _fix_folders(regex: str) -> str:
    """For `**/a/**/b/**/c`: the first `a`, and the first `b` after it, as whole steps; then `c`."""
    begin, *pieces = regex.split(_FOLDERS)
    if not pieces:
        return begin
    *inner, last = pieces
    begin = begin.replace(_FOLDERS_FIRST, "^(?:.+?/)??")
    atomic = [f"(?>{begin}(?=/))", *(f"(?>(?:/.+?)??{piece}(?=/))" for piece in inner)]
    return "".join(atomic) + _FOLDERS + last


def _simplify(match: re.Match[str]) -> str:
    """A group without its name, as names are not to be met twice; a set that `re` accepts silently.

    Two of `[&~|-` in a set may mean something to `re` one day; so it warns of them.
    """
    if match["group"]:
        return "(?:"
    return _WARNED_OF.sub(r"\\\g<0>", match[0]) if match["set"] else match[0]
