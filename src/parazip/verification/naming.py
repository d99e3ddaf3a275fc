"""Names of an archive's members that lead out, come twice, or are others to some reader."""

from __future__ import annotations

from collections.abc import Sequence

from parazip.errors import ParazipError
from parazip.format.names import MISREADINGS, ReaderJudge, find_file_within, leads_out
from parazip.format.values import Entry
from parazip.verification.faults import Fault

_NAMES = "names"


def find_odd_names(entries: Sequence[Entry]) -> list[Fault]:
    """What is told of the names of members, each for itself and together."""
    listener = _Listener()
    names = [entry.name.rstrip("/") for entry in entries]
    is_folder: dict[str, bool] = {}
    for name, entry in zip(names, entries, strict=True):
        is_one = entry.name.endswith("/")
        if name in is_folder and not (is_one and is_folder[name]):
            listener.tell("name-twice", name, f"{name!r} twice")
        is_folder[name] = is_one
    if found := find_file_within(is_folder, is_folder.__getitem__):
        file, folder = found
        listener.tell("name-file-and-folder", file, f"the file {file!r}, and {folder!r} below it")
    judge = ReaderJudge(listener, "leave it out")
    judge.judge(names)
    judge.judge_together(is_folder)
    return listener.take_faults()


class _Listener:
    """Hears what `ReaderJudge` says of names; see `names.Listener`."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._misread: dict[str, list[str]] = {}

    def tell(self, rule: str, name: str, found: str) -> None:
        """Takes down what a rule says of a name."""
        self._faults.append(Fault.by_rule(rule, name, _NAMES, found))

    def refuse(self, error: ParazipError) -> None:
        """Hears of a name that leads out, or is none."""
        name = error.member or ""
        rule = "name-leads-out" if leads_out(name) else "name-of-a-folder"
        self.tell(rule, name, repr(name))

    def misread(self, rule: str, *names: str) -> None:
        """Hears of names that some reader refuses or takes for others."""
        self._misread.setdefault(rule, []).extend(names)

    def take_faults(self) -> list[Fault]:
        """All that was heard: one fault for each rule by which names are misread."""
        misread = [
            Fault.of_names(rule, _NAMES, names, MISREADINGS[rule])
            for rule, names in self._misread.items()
        ]
        return self._faults + misread
