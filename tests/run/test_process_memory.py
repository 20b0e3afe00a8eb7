"""Memory that is freed is kept for the next allocation, and given back when it is asked for. Linux with glibc only."""

from __future__ import annotations

import json
import platform
import subprocess
import sys

import pytest

PROGRAM = """
import json, sys
import numpy as np
from regauge.run import process_memory as memory

memory._WORTH = 0
reuses = memory.reuse_freed()
before = memory.resident_bytes()
arrays = [np.ones(1 << 20) for _ in range(32)]
filled = memory.resident_bytes()
del arrays
freed = memory.resident_bytes()
memory.give_back()
print(json.dumps([reuses, before, filled, freed, memory.resident_bytes()]))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the setting is of the GNU C library")
def test_freed_memory_is_kept_until_it_is_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    reuses, before, filled, freed, back = json.loads(done.stdout)
    size = 32 << 23
    assert reuses
    assert filled - before > 0.9 * size
    assert filled - freed < 0.1 * size
    assert freed - back > 0.9 * size
