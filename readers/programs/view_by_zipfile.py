"""Tells what zipfile or zipimport sees in archives, under any Python from 3.6 on; see `views`.

Or what PyPI sees, which lets zipfile read what its own check takes: PYPI_CHECK is the path of that,
`warehouse/utils/zipfiles.py`.
"""

import hashlib
import os
import runpy
import sys
import zipfile
import zipimport

CHUNK = 1 << 20


def view_by_zipfile(path):
    """Names and hashes."""
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if not info.filename.endswith("/"):
                found = hashlib.sha256()
                with archive.open(info) as member:
                    for chunk in iter(lambda: member.read(CHUNK), b""):
                        found.update(chunk)
                yield info.filename.replace(os.sep, "/"), found


def view_by_zipimport(path):
    """The same."""
    importer = zipimport.zipimporter(path)
    files = importer._get_files() if hasattr(importer, "_get_files") else importer._files
    for name in list(files):
        if not name.endswith(os.sep):
            data = importer.get_data(os.path.join(path, name))
            yield name.replace(os.sep, "/"), hashlib.sha256(data)


def view_by_pypi(path):
    """The same."""
    is_taken, why = check(path)
    if not is_taken:
        raise zipfile.BadZipFile(why)
    yield from view_by_zipfile(path)


if sys.argv[1] == "pypi":
    check = runpy.run_path(os.environ["PYPI_CHECK"])["validate_zipfile"]
views = {"zipfile": view_by_zipfile, "zipimport": view_by_zipimport, "pypi": view_by_pypi}
view = views[sys.argv[1]]
for line in sys.stdin:
    told = []
    try:
        for name, found in view(line[:-1]):
            spelled = name.encode("utf-8", "surrogateescape").hex()
            told.append(spelled + "=" + found.hexdigest()[:16])
    except Exception:  # zipfile raises many, and some that it should not: struct.error, IndexError
        told = ["refused"]
    print(" ".join(told), flush=True)
