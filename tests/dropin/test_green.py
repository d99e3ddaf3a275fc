"""Programs whose threads are greenlets: gevent, eventlet. Nothing hangs, and nothing runs twice.

Each is a process of its own, as what is patched stays patched.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from support.patience import HUNG

pytestmark = pytest.mark.once

PATCHES = {
    "gevent": "from gevent import monkey; monkey.patch_all()",
    "gevent, without threads": "from gevent import monkey; monkey.patch_all(thread=False)",
    "eventlet": "import eventlet; eventlet.monkey_patch()",
}
"""All that these packages have to replace, and what people leave out of it."""

GREEN = {
    "gevent": "import gevent; spawn = gevent.spawn; sleep = gevent.sleep; wait = lambda g: g.get()",
    "eventlet": "spawn = eventlet.spawn; sleep = eventlet.sleep; wait = lambda g: g.wait()",
}

# The other greenlet is any other request of the same server. It writes down in which process it is.
PROGRAM = """
import io, os, sys, zipfile, tempfile
me = os.getpid()
seen = set()
running = True
def other():
    while running:
        seen.add(os.getpid() == me)
        if os.getpid() != me:
            os.write(1, b"IN ANOTHER PROCESS\\n")
        sleep(0.001)

def use(number):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "a.zip")
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
            for i in range(1200):
                made.writestr(f"{i % 9}/{i}", b"%d contents " % i * 20)
            made.writestr("large", os.urandom(1 << 20) * 3 + bytes(20 << 20))
        for target in path, io.BytesIO(open(path, "rb").read()):
            with zipfile.ZipFile(target) as archive:
                sleep(0)
                assert archive.testzip() is None
                archive.extractall(folder)
                assert len(archive.read("large")) == 23 << 20
        os.unlink(path)
        b, c = os.path.join(folder, "b.zip"), os.path.join(folder, "c.zip")
        parazip.create(b, [folder], selection=parazip.Selection(exclude=("b.zip",)))
        parazip.merge(c, [b], check_crc=True)
    return number

spawn(other)
sleep(0)
print(sorted(wait(g) for g in [spawn(use, n) for n in range(3)]))
running = False
sleep(0.01)
print(sorted(seen))
"""


def make_program(how: str, first: str) -> str:
    """A program that is patched before or after parazip is imported, and loaded."""
    patch, green = PATCHES[how], GREEN[how.partition(",")[0]]
    import_it = "import parazip; parazip.patch(); parazip.create, parazip.merge"
    lines = [patch, import_it] if first == "patched first" else [import_it, patch]
    if first == "patched while it works":
        lines = [import_it, "import io; kept = parazip.ZipFile(io.BytesIO(), 'w', level=1)"]
        lines += ["member = kept.open('m', 'w')", "for _ in range(9): member.write(bytes(1 << 20))"]
        lines += [patch, "for _ in range(9): member.write(bytes(1 << 20))", "member.close()"]
    return "\n".join([*lines, green, textwrap.dedent(PROGRAM)])


@pytest.mark.parametrize(
    "first",
    [
        "patched first",
        pytest.param("imported first", marks=pytest.mark.slow),
        "patched while it works",
    ],
)
@pytest.mark.parametrize("how", PATCHES)
def test_other_greenlets_go_on_in_this_process_and_nothing_hangs(
    tmp_path: Path, how: str, first: str
) -> None:
    package = how.partition(",")[0]
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", make_program(how, first)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=HUNG,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[0, 1, 2]\n[True]\n"
    if first != "patched while it works":  # `threading` misses threads that it knew by other names
        assert "Traceback" not in done.stderr
