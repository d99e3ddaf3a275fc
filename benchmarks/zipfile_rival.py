"""The standard library's zipfile as a program: `zipfile_rival.py LEVEL FOLDER ARCHIVE`.

Members, their order and their names are those that parazip gives to the same folder: depth first,
entries of a folder sorted by the bytes of their names, where a folder's ends with a slash; links
are followed. So times and sizes are of the same work. A program of its own, so that nothing of
the benchmarks is in its time and memory.
"""

from __future__ import annotations

import os
import sys
import zipfile


def add(archive: zipfile.ZipFile, folder: str, prefix: str) -> None:
    """Puts in all that `folder` holds."""
    with os.scandir(folder) as entries:
        found = [(entry.name + "/" if entry.is_dir() else entry.name) for entry in entries]
    for name in sorted(found, key=os.fsencode):
        path = os.path.join(folder, name)
        archive.write(path, prefix + name)
        if name.endswith("/"):
            add(archive, path, prefix + name)


def main() -> None:
    """Makes the archive that the command line tells."""
    level, folder, target = sys.argv[1:]
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=int(level)) as archive:
        add(archive, folder, "")


if __name__ == "__main__":
    main()
