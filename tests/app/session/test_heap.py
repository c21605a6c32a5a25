"""Freed memory goes back to the system."""

from __future__ import annotations

import subprocess
import sys

import pytest

#: Frees nine of ten blocks of 64 KiB, none at the end of the heap, and prints the change of resident bytes.
FREEING = """
import resource
from sage.app.session.heap import give_back_freed

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

blocks = [bytearray(b"1") * (64 << 10) for _ in range(1000)]
kept = blocks[9::10]
before = resident()
del blocks
freed = resident()
is_given = give_back_freed()
print(is_given, before - freed, freed - resident())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="of glibc")
def test_freed_blocks_between_others_go_back_to_the_system() -> None:
    done = subprocess.run([sys.executable, "-c", FREEING], capture_output=True, text=True, check=True)
    is_given, by_freeing, by_giving = done.stdout.split()
    if is_given != "True":
        pytest.skip("this C library does not give memory back")
    wanted = 800 * (64 << 10)
    assert int(by_freeing) < wanted < int(by_giving)
