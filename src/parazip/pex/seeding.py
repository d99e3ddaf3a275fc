"""What `parazip seed` runs in a process of its own: a PEX's own code lays out the PEX in PEX_ROOT.

The PEX brings pex along in its `.bootstrap`, and what a first boot does is
`pex.layout.ensure_installed`. That is called here; so folders, their names and their locks are
those of the very pex that the PEX is booted by. Only the one step that takes long is ours: the
distributions are extracted by parazip, all of them in one plan on all cores, into the work folders
that pex has locked and will rename.

`find_misfit` says why that cannot be done with the pex that comes along. Then its own code extracts
the distributions, one file after the other.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from parazip.display import Display
from parazip.engine.progress import Counter
from parazip.errors import ParazipError
from parazip.extraction.choice import find_archive, read_members
from parazip.extraction.crew import Crew, Made
from parazip.extraction.model import Extraction
from parazip.extraction.run import Run
from parazip.extraction.targets import Targets, plan_targets
from parazip.extraction.unpacking import Place
from parazip.settings import Settings
from parazip.workers import starting

_PARAMETERS = {
    "_ensure_distributions_installed": ["layout", "pex_info", "work_dir", "install_to"],
    "_ensure_distributions_installed_serial": ["layout", "pex_info", "work_dir", "install_to"],
}
"""Functions of `pex.layout` that are replaced or called, and what they take."""


def main() -> None:
    """Lays out a PEX; `sys.argv` has what is asked for as JSON, standard output gets the result."""
    asked = json.loads(sys.argv[1])
    sys.path[:0] = asked["front"]
    starting.may_fork = True  # this process is parazip's own
    with Display(asked["progress"], asked["quiet"]) as display:
        settings = Settings(jobs=asked["jobs"], memory=asked["memory"])
        try:
            print(json.dumps(lay_out(asked["pex"], settings, display)))
        except ParazipError as error:
            sys.exit(f"parazip: {error}")
        except (OSError, MemoryError) as error:  # pex's own code tells them by a traceback
            why = " ".join((str(error) or "out of memory", *getattr(error, "__notes__", ())))
            sys.exit(f"parazip: cannot lay out {asked['pex']}: {why}")


def lay_out(pex: str, settings: Settings, display: Display) -> dict[str, Any]:
    """Does what a first boot does until a PEX is laid out.

    Args:
        pex: its path.
        settings: how much of the machine may be used.
        display: shows progress and notes.

    Returns:
        Where it is laid out, PEX_ROOT, and how many files of how many bytes were extracted.
    """
    from pex.pex_info import PexInfo

    from pex import layout

    info = PexInfo.from_pex(pex)
    info.update(PexInfo.from_env())
    made = Made(Counter(display))
    if why := find_misfit(layout):
        display.show_note(f"pex itself extracts the distributions: {why}")
    else:
        layout._ensure_distributions_installed = _Installer(layout, settings, made).install
    folder = layout.ensure_installed(pex=pex, pex_root=info.pex_root, pex_hash=info.pex_hash)
    return {
        "folder": folder,
        "pex_root": info.pex_root,
        "members": made.files,
        "bytes": made.bytes,
    }


def find_misfit(layout: Any) -> str:
    """Why the distributions cannot be extracted in place of a pex; empty if they can."""
    for name, expected in _PARAMETERS.items():
        function = getattr(layout, name, None)
        if function is None or [*inspect.signature(function).parameters] != expected:
            return f"its function {name} is another one"
    return ""


class _Installer:
    """Installs the distributions of a PEX.

    Args:
        layout: the module `pex.layout`.
        settings: how much of the machine may be used.
        made: is told of all that was made.
    """

    def __init__(self, layout: Any, settings: Settings, made: Made) -> None:
        self._layout = layout
        self._settings = settings
        self._made = made

    def install(self, layout: Any, pex_info: Any, work_dir: str, install_to: str) -> None:
        """Takes the place of `_ensure_distributions_installed`."""
        if not pex_info.deps_are_wheel_files:
            self._extract_all(layout, pex_info)
        # What is there by now pex only links to.
        self._layout._ensure_distributions_installed_serial(
            layout=layout, pex_info=pex_info, work_dir=work_dir, install_to=install_to
        )

    def _extract_all(self, layout: Any, pex_info: Any) -> None:
        """Extracts those that are missing, each into the work folder that pex makes for it.

        All work folders are locked at once, in the order of their names, as everybody does who
        locks more than one: so nobody waits for another one in a circle.
        """
        module, root = self._layout, pex_info.pex_root
        folders = {
            module.InstalledWheelDir.create(wheel_name=name, install_hash=sha, pex_root=root): name
            for name, sha in pex_info.distributions.items()
        }
        with Crew(self._settings.jobs, self._settings.memory) as crew, ExitStack() as locked:
            missing: dict[str, str] = {}
            for folder in sorted(folders):
                name = folders[folder]
                source = layout.dist_strip_prefix(name)
                chroot = locked.enter_context(module.atomic_directory(folder, source=source))
                if not chroot.is_finalized():
                    missing[name] = os.path.relpath(chroot.work_dir, root)
            if layout.type is module.Layout.ZIPAPP:
                self._extract(crew, layout.path, root, missing)
            else:
                for name, folder in missing.items():
                    path = layout.wheel_file_path((module.DEPS_DIR, name))
                    self._extract(crew, path, root, {"": folder})

    def _extract(self, crew: Crew, path: str, root: str, folders: Mapping[str, str]) -> None:
        """Extracts distributions of an archive.

        Args:
            crew: extracts them.
            path: of the archive.
            root: all is extracted below this folder.
            folders: where to, by the names of the distributions; the name "" stands for all of the
                archive.
        """
        archive = find_archive(path)
        crew.prepare(archive.size)
        targets = Targets()
        entries = [entry for entry in read_members(archive) if not entry.name.endswith("/")]
        planned = plan_targets(path, entries)
        for item in [*planned.files, *planned.links]:  # pex makes no links of them
            folder = folders.get("") or folders.get(self._find_distribution(item.path))
            if folder is not None:
                targets.files.append(item._replace(path=f"{folder}/{item.path}"))
        for item in targets.files:
            targets.add_folder(item.path.rpartition("/")[0])
        token = f"parazip-{os.urandom(6).hex()}"
        place = Place(archive, root, root, "normal", token, keeps_times=False)
        extraction = Extraction(modes="normal")
        Run(place, extraction, targets, crew, self._made, is_new=True).make_all()

    def _find_distribution(self, path: str) -> str:
        """The distribution that a member of a PEX is of; "-" if it is of none."""
        steps = path.split("/", 2)
        return steps[1] if len(steps) == 3 and steps[0] == self._layout.DEPS_DIR else "-"
