"""What a search for members finds besides them: problems, what is skipped, what people should know.

All problems of a search are told in one run, as who mends one wants to know of the next one. So
the search goes on after the first, but nothing more is put in. Whatever is found, what is kept of
it is bounded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from parazip.errors import ParazipError, SettingsError, hide_secrets
from parazip.format.names import MISREADINGS
from parazip.model import Member
from parazip.settings import LeftOut

MOST_PROBLEMS = 20
"""So many problems are told in full, and the first of each kind; of others how many they are."""

_MOST_EXAMPLES = 3
_LONGEST = 200
_MOST_KNOWN = 10_000
"""So many paths are remembered, lest what is met twice be counted twice."""


class Findings:
    """Collects what one search finds.

    Attributes:
        problems: what ends the archive, in the order in which it was found; the first ones.
        skipped: how much was left out because it could not be put in, by its kind.
        left_out: what was left out and why, if that is to be listed.
    """

    def __init__(self, lists_left_out: bool = False) -> None:
        self.left_out: list[LeftOut] | None = [] if lists_left_out else None
        self.problems: list[ParazipError] = []
        self.skipped: dict[str, int] = {}
        self._kinds: set[str] = set()
        self._more = 0
        self._known: set[tuple[str, str]] = set()
        self._cautions: dict[str, list[str]] = {}
        self._counts: dict[str, int] = {}
        self._unmatched: dict[str, bool] = {}

    @property
    def is_empty(self) -> bool:
        """Whether nothing has been found."""
        return not self._known

    def refuse(self, error: ParazipError, kind: str = "", name: str = "") -> None:
        """Takes note of a problem; one of a kind and name that is met twice counts once."""
        kind = kind or type(error).__name__
        if self._is_known(f"problem {kind}", name or str(error)):
            return
        if len(self.problems) < MOST_PROBLEMS or kind not in self._kinds:
            self._kinds.add(kind)
            self.problems.append(error)
        else:
            self._more += 1

    def refuse_first(self, error: ParazipError) -> None:
        """Takes note of a problem that stands before all others, as it was met in the work."""
        self.problems.insert(0, error)

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Takes note of a problem that ends the block."""
        try:
            yield
        except SettingsError:
            raise  # what is asked for makes no sense, whatever is found
        except ParazipError as error:
            self.refuse(error)

    def searched(self, members: Iterable[Member]) -> Iterator[Member]:
        """The same members up to the first problem; the search goes on to its end all the same.

        Raises:
            ParazipError: what `finish` raises.
        """
        for member in members:
            if not self.problems:
                yield member
        self.finish()

    def skip(self, kind: str, name: str) -> None:
        """Counts one thing that is left out because it cannot be put in."""
        if not self._is_known(kind, name):
            self.skipped[kind] = self.skipped.get(kind, 0) + 1

    def leave_out(self, name: str, why: str) -> None:
        """Takes note of something that is left out, if that is to be listed."""
        if self.left_out is not None and not self._is_known("left out", name):
            self.left_out.append(LeftOut(name, why))

    def caution(self, what: str, *names: str) -> None:
        """Takes note of something that people should know of a file or member, or of some of them.

        Args:
            what: is said of all such names together, in front of them.
            names: of the file or member, or of those that belong together.
        """
        text = " and ".join([_quoted(name) for name in names])
        if self._is_known(what, text):
            return
        self._counts[what] = self._counts.get(what, 0) + 1
        examples = self._cautions.setdefault(what, [])
        if len(examples) < _MOST_EXAMPLES:
            examples.append(text)

    def misread(self, rule: str, *names: str) -> None:
        """Takes note of names that some reader refuses or takes for others."""
        self.caution(MISREADINGS[rule], *names)

    def expect(self, pattern: str) -> bool:
        """Takes note that a pattern is to match something; True while it has not."""
        return self._unmatched.setdefault(pattern, True)

    def match(self, pattern: str) -> None:
        """Takes note that a pattern has matched something."""
        self._unmatched[pattern] = False

    def _is_known(self, what: str, name: str) -> bool:
        if (what, name) in self._known:
            return True
        if len(self._known) < _MOST_KNOWN:
            self._known.add((what, name))
        return False

    def notes(self) -> tuple[str, ...]:
        """What people should know, a sentence for each kind.

        They are sorted: which kind is met first depends on who looks at names, and when.
        """
        sentences = []
        for what, examples in sorted(self._cautions.items()):
            more = self._counts[what] - len(examples)
            end = f" and {more:,} more" if more else ""
            sentences.append(f"{what}: {', '.join(examples)}{end}")
        sentences += [
            f"{pattern} matched nothing"
            for pattern, unmatched in self._unmatched.items()
            if unmatched
        ]
        return tuple(sentences)

    def finish(self) -> None:
        """Ends the search.

        Raises:
            ParazipError: the first problem, if there are any; it tells of all others too.
        """
        if not self.problems:
            return
        first, *others = self.problems
        first.others = tuple(others)
        first.untold = self._more
        raise first


def _quoted(name: str) -> str:
    name = hide_secrets(name)
    text = f"'{name}'" if name.isprintable() else repr(name)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
