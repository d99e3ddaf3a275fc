"""What is measured, and what came of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any, TypeAlias

OUTPUT = "{output}"
"""Stands in a command for the path that it writes to."""

STEPS = "{steps}"
"""Stands in a command for the path where it tells the times of its own steps, as JSON."""

Tell: TypeAlias = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Command:
    """A program with its arguments.

    Attributes:
        label: how it is called in tables.
        arguments: the program first; one of them may be `OUTPUT` and one `STEPS`.
        directory: where it is run, or None for here.
        slow: True where a run only to warm up would take too long.
        environment: variables that it has besides those of this process.
        before: what is to be done before each run, and is not measured.
        at_most: counted runs that are enough, however many the others have; None for as many.
    """

    label: str
    arguments: tuple[str, ...]
    directory: str | None = None
    slow: bool = False
    environment: tuple[tuple[str, str], ...] = ()
    before: Callable[[], None] | None = None
    at_most: int | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a command.

    Attributes:
        seconds: by the wall clock.
        cpu: seconds of user and system time, those of its child processes included.
        memory: peak in bytes. If it was not watched: of the largest one of its processes.
        size: of the output in bytes, 0 if it has none.
        steps: seconds of what the command timed inside itself, by the names it gave.
    """

    seconds: float
    cpu: float
    memory: int
    size: int
    steps: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Figure:
    """All counted runs of one command."""

    label: str
    runs: tuple[Run, ...]

    @property
    def seconds(self) -> float:
        """The median time."""
        return median(run.seconds for run in self.runs)

    @property
    def cpu(self) -> float:
        """The median CPU time in seconds."""
        return median(run.cpu for run in self.runs)

    @property
    def memory(self) -> int:
        """The highest peak in bytes."""
        return max(run.memory for run in self.runs)

    @property
    def size(self) -> int:
        """The median size of the output in bytes."""
        return round(median(run.size for run in self.runs))

    @property
    def steps(self) -> dict[str, float]:
        """The median time of each step that the command timed itself."""
        return {name: median(run.steps[name] for run in self.runs) for name in self.runs[0].steps}

    def raw(self) -> dict[str, Any]:
        """What JSON can hold of it: everything."""
        return dataclasses.asdict(self)
