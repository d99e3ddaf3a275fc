"""A tree with members of all kinds, and what is made of it with and without an executor."""

from __future__ import annotations

import io
import os
import random
import zipfile
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import parazip
from parazip import Selection, Settings
from parazip.codecs.sizes import BLOCK

SELECTION: dict[str, Any] = {
    "symlinks": "store",
    "store": ("*.raw",),
    "align": ((64, "*.raw"),),
    "timestamp": "epoch",
}

SHORT = 600
"""Short members: some batches of them."""


def make_tree(root: Path) -> Path:
    """Short, large, stored, aligned and empty members, folders and links."""
    chance = random.Random(1)
    text = b"".join(b"%d words of text\n" % chance.randrange(10**6) for _ in range(20_000))
    (root / "short").mkdir(parents=True)
    (root / "empty").mkdir()
    for number in range(SHORT):
        begin = chance.randrange(len(text) - 9_000)
        data = text[begin : begin + chance.randrange(8_000)]
        (root / "short" / f"{number:03}.txt").write_bytes(data)
    (root / "nothing").write_bytes(b"")
    (root / "blocks").write_bytes(text * 13)
    (root / "noise").write_bytes(chance.randbytes(3 * BLOCK + 7))
    (root / "small.raw").write_bytes(text[:5_000])
    (root / "large.raw").write_bytes(text * 5)
    (root / "last").write_bytes(b"the last one")
    (root / "link").symlink_to("last")
    return root


def make_wheel(path: Path, tree: Path) -> Path:
    """An archive with short members and a large one, to be copied."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(0, SHORT, 7):
            archive.write(tree / "short" / f"{number:03}.txt", f"copied/{number}")
        archive.write(tree / "noise", "copied/noise")
        archive.write(tree / "large.raw", "copied/stored", zipfile.ZIP_STORED)
    return path


def create(tree: Path, executor: Executor | None = None, **settings: Any) -> bytes:
    """The archive of a tree."""
    selection = Selection(directory=tree, **SELECTION)
    output = io.BytesIO()
    parazip.create(output, ["."], Settings(**settings), selection, executor=executor)
    return output.getvalue()


def merge(tree: Path, wheel: Path, executor: Executor | None = None, **settings: Any) -> bytes:
    """An archive and a tree in one, all of what is copied inflated for its CRC-32."""
    output = io.BytesIO()
    parazip.merge(
        output,
        [wheel, ("tree", tree)],
        Settings(**settings),
        Selection(**SELECTION),
        executor=executor,
        check_crc=True,
    )
    return output.getvalue()


class Counted(Executor):
    """Another executor, and how much was handed to it.

    Attributes:
        questions: what it was asked.
        most: how many of them had no answer at the same time.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._futures: list[Future[Any]] = []
        self.questions: list[bytes] = []
        self.most = 0

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Hands it on; nothing but a function of a module and bytes may be handed over."""
        assert (fn.__module__, fn.__qualname__) == ("parazip.engine.shards", "do_shard")
        (question,) = args
        assert type(question) is bytes
        self.questions.append(question)
        self._futures = [future for future in self._futures if not future.done()]
        self._futures.append(self._executor.submit(fn, *args, **kwargs))
        self.most = max(self.most, len(self._futures))
        return self._futures[-1]


def walk_names(tree: Path) -> Iterator[str]:
    """The names of all files and links in a tree."""
    for folder, _, names in os.walk(tree):
        for name in names:
            yield os.path.relpath(os.path.join(folder, name), tree)
