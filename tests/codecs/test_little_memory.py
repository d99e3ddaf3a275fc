"""Where memory is limited and runs out, libdeflate's package would end the process by a signal."""

from __future__ import annotations

import subprocess
import sys

import pytest

from support.patience import HUNG

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(sys.platform != "linux", reason="others do not keep to the limit"),
]

PROGRAM = """
import resource
from parazip.codecs import libdeflate
data = bytes(1 << 20)
packed = bytes(libdeflate.compress_whole(data, 6))
with open("/proc/self/statm") as file:
    room = 4096 * int(file.read().split()[0])
held = []
for kilobytes in range(0, 4096, 64):
    resource.setrlimit(resource.RLIMIT_AS, (room + (kilobytes << 10), resource.RLIM_INFINITY))
    for call in (lambda: libdeflate.compress_whole(data, LEVEL),
                 lambda: libdeflate.inflate_at_once(packed, len(data))):
        try:
            call()
            held.append("done")
        except MemoryError:
            held.append("refused")
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(*sorted(set(held)))
"""


@pytest.mark.parametrize("level", [0, 1, 6, 12])
def test_a_limit_that_the_program_sets_counts_from_the_next_call_on(level: int) -> None:
    program = PROGRAM.replace("LEVEL", str(level))
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=HUNG, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "refused" in done.stdout
