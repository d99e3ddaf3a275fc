"""What a search for members finds besides them: problems, what is skipped, what people should know.

All problems of a search are told in one run, as who mends one wants to know of the next one. So
the search goes on after the first, but nothing more is put in. Whatever is found, what is kept of
it is bounded.
"""

from __future__ import annotations

from parazip.errors import ParazipError

MOST_PROBLEMS = 20
"""So many problems are told in full; of others only how many they are."""

_MOST_EXAMPLES = 3
_LONGEST = 200


class Findings:
    """Collects what one search finds.

    Attributes:
        problems: what ends the archive, in the order in which it was found; the first ones.
        skipped: how much was left out because it could not be put in, by its kind.
    """

    def __init__(self) -> None:
        self.problems: list[ParazipError] = []
        self.skipped: dict[str, int] = {}
        self._told: set[str] = set()
        self._more = 0
        self._cautions: dict[str, list[str]] = {}
        self._counts: dict[str, int] = {}

    def refuse(self, error: ParazipError) -> None:
        """Takes note of a problem; one that is found twice counts once."""
        if str(error) in self._told:
            return
        if len(self.problems) == MOST_PROBLEMS:
            self._more += 1
            return
        self._told.add(str(error))
        self.problems.append(error)

    def skip(self, kind: str) -> None:
        """Counts one thing that is left out because it cannot be put in."""
        self.skipped[kind] = self.skipped.get(kind, 0) + 1

    def caution(self, what: str, name: str) -> None:
        """Takes note of something that people should know of a file or member.

        Args:
            what: is said of all such names together, in front of them.
            name: of the file or member.
        """
        self._counts[what] = self._counts.get(what, 0) + 1
        examples = self._cautions.setdefault(what, [])
        if len(examples) < _MOST_EXAMPLES:
            text = repr(name)
            examples.append(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}...")

    def notes(self) -> tuple[str, ...]:
        """What people should know, a sentence for each kind."""
        sentences = []
        for what, examples in self._cautions.items():
            more = self._counts[what] - len(examples)
            end = f" and {more:,} more" if more else ""
            sentences.append(f"{what}: {', '.join(examples)}{end}")
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
