"""What readers take to list archives of many members, and to take out one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

from benchmarks.model import Tell

_NAME = "dataset/part/image_{:09}.bin"
_MAKE = f"""
import parazip, sys
from parazip.model import Member
path, count = sys.argv[1], int(sys.argv[2])
names = map("{_NAME}".format, range(count))
parazip.write(path, (Member(name, b"", 0o100644 << 16, 33 << 16) for name in names))
"""
_LIST = "import sys, zipfile; print(len(zipfile.ZipFile(sys.argv[1]).namelist()))"
_READ = "import sys, zipfile; zipfile.ZipFile(sys.argv[1]).read(sys.argv[2])"
_JAVA = """
import java.util.zip.*;
class Open {
    public static void main(String[] given) throws Exception {
        ZipFile file = new ZipFile(given[0]);
        System.out.println(file.size());
        if (given.length > 1) file.getInputStream(file.getEntry(given[1])).readAllBytes();
    }
}
"""
_GO = """
package main

import ("archive/zip"; "fmt"; "io"; "os")

func main() {
	file, err := zip.OpenReader(os.Args[1])
	if err != nil { panic(err) }
	fmt.Println(len(file.File))
	if len(os.Args) > 2 {
		for _, each := range file.File {
			if each.Name == os.Args[2] {
				data, _ := each.Open()
				io.Copy(io.Discard, data)
			}
		}
	}
}
"""


class Opened(NamedTuple):
    """What one reader took; each time in seconds, and the peak of its memory in bytes."""

    reader: str
    members: int
    list_seconds: float
    one_seconds: float
    memory: int
    failure: str


def measure(counts: tuple[int, ...], tell: Tell) -> list[Opened]:
    """Opens an archive of each count by each reader that is here."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        readers = _list_readers(folder)
        for count in counts:
            path = os.path.join(folder, f"{count}.zip")
            # In a process of its own, as what this one has taken would count as its children's.
            subprocess.run([sys.executable, "-c", _MAKE, path, str(count)], check=True)
            wanted = _NAME.format(count // 2)
            for name, (listing, taking) in readers.items():
                opened = _open(name, count, [*listing, path], [*taking, path, wanted])
                tell(str(opened))
                found.append(opened)
            os.unlink(path)
    return found


def _list_readers(folder: str) -> dict[str, tuple[list[str], list[str]]]:
    parazip_ = [sys.executable, "-m", "parazip"]
    readers = {
        "parazip": ([*parazip_, "list"], [*parazip_, "extract", "-q", "-d", folder]),
        "zipfile": ([sys.executable, "-c", _LIST], [sys.executable, "-c", _READ]),
        "unzip": (["unzip", "-Z1"], ["unzip", "-pq"]),
        "7z": (["7z", "l", "-ba"], ["7z", "e", "-so"]),
        "bsdtar": (["bsdtar", "-tf"], ["bsdtar", "-xOf"]),
    }
    readers = {name: words for name, words in readers.items() if shutil.which(words[0][0])}
    if shutil.which("java"):
        program = _write(folder, "Open.java", _JAVA)
        readers["Java"] = (["java", program], ["java", program])
    if shutil.which("go"):
        built = os.path.join(folder, "open")
        subprocess.run(["go", "build", "-o", built, _write(folder, "open.go", _GO)], check=True)
        readers["Go"] = ([built], [built])
    return readers


def _write(folder: str, name: str, text: str) -> str:
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def _open(name: str, count: int, listing: list[str], taking: list[str]) -> Opened:
    seconds, memory, failure = _run(listing)
    one, more, failed = _run(taking)
    return Opened(name, count, seconds, one, max(memory, more), failure or failed)


def _run(words: list[str]) -> tuple[float, int, str]:
    with tempfile.TemporaryFile() as told:
        began = time.perf_counter()
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=told)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        told.seek(0)
        failure = told.read()[-200:].decode(errors="replace") if process.returncode else ""
    return seconds, usage.ru_maxrss * 1024, failure
