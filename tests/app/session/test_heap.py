"""Memory of large blocks goes back to the system, and so do free pages between small ones."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from sage.app.session.heap import map_large_blocks

#: The number of mapped blocks that eight blocks of 1 MiB add, after one of 16 MiB was freed.
COUNTED = """
import ctypes, json, sys
from sage.app.session.heap import map_large_blocks

class Information(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keep"
    )]

mallinfo2 = ctypes.CDLL(None).mallinfo2
mallinfo2.restype = Information
is_set = map_large_blocks() if sys.argv[1] == "set" else None
freed = bytearray(16 << 20)
del freed
before = mallinfo2()
blocks = [bytearray(1 << 20) for _ in range(8)]
during = mallinfo2()
del blocks
after = mallinfo2()
added = [each.hblks - before.hblks for each in (during, after)]
print(json.dumps([is_set, *added, after.arena - before.arena]))
"""

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


def counted(mode: str) -> list[int]:
    command = [sys.executable, "-c", COUNTED, mode]
    return list(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="of glibc")
def test_large_blocks_are_mapped_and_given_back_whatever_was_freed_before() -> None:
    if not map_large_blocks():
        pytest.skip("this C library has no mallopt")
    is_set, num_mapped, num_left, heap_bytes = counted("set")
    assert (is_set, num_mapped, num_left) == (True, 8, 0)
    assert heap_bytes < 1 << 20
    _, num_mapped, _, _ = counted("usual")
    assert num_mapped < 8, "what this guards against: without the setting they come from the heap"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="of glibc")
def test_freed_blocks_between_others_go_back_to_the_system() -> None:
    done = subprocess.run([sys.executable, "-c", FREEING], capture_output=True, text=True, check=True)
    is_given, by_freeing, by_giving = done.stdout.split()
    if is_given != "True":
        pytest.skip("this C library does not give memory back")
    wanted = 800 * (64 << 10)
    assert int(by_freeing) < wanted < int(by_giving)
