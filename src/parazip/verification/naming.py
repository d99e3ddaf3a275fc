"""Names of an archive's members that lead out, come twice, or are others to some reader."""

from __future__ import annotations

from collections.abc import Sequence

from parazip.errors import ParazipError
from parazip.format.names import (
    MISREADINGS,
    ReaderJudge,
    find_file_as_folder,
    fold_name,
    leads_out,
)
from parazip.format.values import Entry
from parazip.verification.faults import Fault


def find_odd_names(entries: Sequence[Entry]) -> list[Fault]:
    """What is told of the names of members, each for itself and together."""
    listener = _Listener()
    is_folder: dict[str, bool] = {}
    for entry in entries:
        name, is_one = entry.name.rstrip("/"), entry.name.endswith("/")
        if name in is_folder and not (is_one and is_folder[name]):
            listener.tell("name-twice", name)
        is_folder[name] = is_one
    # What is missing or has a NUL in it has been heard of.
    names = [name for name in is_folder if name and "\0" not in name]
    parents = {name[: name.rfind("/") + 1] for name in names}
    files = [f"{name}/" for name in names if not is_folder[name]]
    if found := find_file_as_folder(files, parents):
        listener.tell("name-file-and-folder", found[0][:-1])
    else:
        folded = {fold_name(file): file for file in files}
        if found := find_file_as_folder(folded, map(fold_name, parents)):
            folder = min(parent for parent in parents if fold_name(parent) == found[1])
            listener.tell("name-case", folded[found[0]][:-1], folder)
    judge = ReaderJudge(listener, "leave it out")
    judge.judge(names)
    judge.judge_together(names)
    return listener.take_faults()


class _Listener:
    """Hears what is said of names; see `names.Listener`."""

    def __init__(self) -> None:
        self._heard: dict[str, list[str]] = {}

    def tell(self, rule: str, *names: str) -> None:
        """Takes down what a rule says of some names."""
        self._heard.setdefault(rule, []).extend(names)

    def refuse(self, error: ParazipError) -> None:
        """Hears of a name that leads out, or is none."""
        name = error.member or ""
        self.tell("name-leads-out" if leads_out(name) else "name-of-a-folder", name)

    def misread(self, rule: str, *names: str) -> None:
        """Hears of names that some reader refuses or takes for others."""
        self.tell(rule, *names)

    def take_faults(self) -> list[Fault]:
        """All that was heard: one fault for each rule."""
        return [
            Fault.of_names(rule, "names", names, MISREADINGS.get(rule, ""))
            for rule, names in self._heard.items()
        ]
