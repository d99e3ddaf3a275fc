"""What people do with archives, done by two classes; says where they differ.

    python inside_jobs.py FOLDER

Run with a `zipfile` in front of the standard library's that has lost one of its private parts.
Prints the warnings that importing parazip gave, and at the end "same".
"""

from __future__ import annotations

import hashlib
import io
import os
import sys
import warnings
import zipfile
from pathlib import Path
from typing import Any

if "--no-cache-clearing" in sys.argv:
    import abc

    del abc.ABCMeta._abc_caches_clear  # type: ignore[attr-defined] # as if it had never been

with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    import parazip

    OURS: Any = parazip.ZipFile

TEXT = b"".join(b"line %d of some text\n" % i for i in range(4000))

NOISE = b"".join(hashlib.sha256(b"%d" % i).digest() for i in range(45_000))


def make(kind: Any, folder: Path, output: Any, method: int) -> None:
    (folder / "module.py").write_bytes(TEXT)
    with kind(output, "w", method) as archive:
        for i in range(250):
            archive.writestr(f"{i % 7}/{i}", TEXT[: i * 20])
        archive.writestr("noise", NOISE)
        archive.writestr("other method", TEXT, compress_type=zipfile.ZIP_BZIP2)
        archive.write(folder / "module.py", "file")
        archive.mkdir("folder")
        archive.comment = b"a comment"
        with archive.open("pieces", "w") as member:
            for start in range(0, len(NOISE), 100_000):
                member.write(NOISE[start : start + 100_000])
        try:
            archive.writestr(zipfile.ZipInfo("unknown"), b"", compress_type=99)
        except NotImplementedError:
            archive.writestr("after an error", b"1")
    if not isinstance(output, io.RawIOBase):
        with kind(output, "a", method) as archive:
            archive.writestr("appended", TEXT)


def look(kind: Any, folder: Path, source: Any) -> list[Any]:
    seen: list[Any] = []
    with kind(source) as archive:
        seen.append(archive.comment)
        for info in archive.infolist():
            facts = info.filename, info.compress_type, info.file_size, info.CRC, info.external_attr
            seen.append((facts, archive.read(info)))
        for name in ("noise", "249", "file", "appended"):
            if name not in archive.namelist():
                continue
            with archive.open(name) as member:
                seen += [member.read(10), member.read1(100), member.peek(4)[:4], member.readline()]
                if member.seekable():
                    member.seek(50_000)
                    seen += [member.tell(), member.read(100_000)]
                    member.seek(5)
                seen += [member.read(), member.read()]
        seen.append(archive.testzip())
        target = folder / f"{kind.__module__}-{len(os.listdir(folder))}"
        seen.append(os.path.relpath(archive.extract("file", target), target))
        archive.extractall(target)
        files = sorted(path for path in target.rglob("*") if path.is_file())
        seen += [(str(path.relative_to(target)), path.read_bytes()) for path in files]
    return seen


def look_at_damaged(kind: Any, path: Path) -> list[Any]:
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        data[archive.getinfo("file").header_offset + 60] ^= 0xFF
    with kind(io.BytesIO(data)) as archive:
        seen: list[Any] = []
        for call in archive.testzip, lambda: archive.read("file"), lambda: archive.read("appended"):
            try:
                seen.append(call())
            except Exception as error:
                seen.append((type(error), str(error)))
    return seen


class Stream(io.RawIOBase):
    """An output that cannot seek."""

    def __init__(self) -> None:
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        self.data += data
        return len(data)

    def tell(self) -> int:
        raise OSError


def compare(folder: Path) -> None:
    seen: dict[str, list[Any]] = {}
    for name, method in ("stored", zipfile.ZIP_STORED), ("deflated", zipfile.ZIP_DEFLATED):
        for kind in (zipfile.ZipFile, OURS):
            path = folder / f"{kind.__module__}-{name}.zip"
            make(kind, folder, path, method)
            seen[path.stem] = look(zipfile.ZipFile, folder, path)
            assert seen[path.stem] == look(OURS, folder, path), path
        assert seen[f"zipfile-{name}"] == seen[f"parazip.dropin.zip_file-{name}"]
    for kind in (zipfile.ZipFile, OURS):
        stream = Stream()
        make(kind, folder, stream, zipfile.ZIP_DEFLATED)
        seen[kind.__module__] = look(zipfile.ZipFile, folder, io.BytesIO(stream.data))
    assert seen["zipfile"] == seen["parazip.dropin.zip_file"]
    path = folder / "zipfile-deflated.zip"
    assert look_at_damaged(zipfile.ZipFile, path) == look_at_damaged(OURS, path)


def compare_modules(folder: Path) -> None:
    names = []
    for kind in (zipfile.PyZipFile, parazip.PyZipFile):
        output = io.BytesIO()
        with kind(output, "w", zipfile.ZIP_DEFLATED, optimize=2) as archive:
            archive.writepy(str(folder / "module.py"))
        with zipfile.ZipFile(output) as archive:
            names.append(archive.namelist())
    assert names[0] == names[1]


def patch_and_unpatch() -> None:
    standard = zipfile.ZipFile
    old: Any = standard(io.BytesIO(), "w")
    new: Any = OURS(io.BytesIO(), "w")
    for _ in range(2):
        assert isinstance(new, standard)
        assert not isinstance(old, OURS)
        with parazip.patch():
            assert zipfile.ZipFile is OURS
            assert isinstance(old, zipfile.ZipFile)
            assert isinstance(new, zipfile.ZipFile)
            assert issubclass(standard, zipfile.ZipFile)
            assert not isinstance(3, zipfile.ZipFile)
    assert zipfile.ZipFile is standard
    old.close()
    new.close()


if __name__ == "__main__":
    (module := Path(sys.argv[1]) / "module.py").write_text("x = 1\n")
    compare_modules(Path(sys.argv[1]))
    module.unlink()
    compare(Path(sys.argv[1]))
    patch_and_unpatch()
    for warning in told:
        print(warning.category.__name__, warning.message)
    print("same")
