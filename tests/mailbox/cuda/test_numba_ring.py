"""The Numba twin in Numba's simulator, which must be chosen before Numba is imported: hence a process of its
own.
"""

import os
import re
import subprocess
import sys

import pytest

pytest.importorskip("numba", reason="no numba: pip install 'sage-runtime[fast]'")

RUN_CHECKS = """
from functools import partial
from sage.mailbox.cuda.conformance import RING_CHECKS
from sage.mailbox.cuda.numba_ring import NumbaRing
for check in RING_CHECKS:
    check(partial(NumbaRing, num_threads=8))
    print(check.__name__)
"""
COMPILE = """
from types import SimpleNamespace
from numba import cuda, types
from numba.cuda import dispatcher
from sage.mailbox.cuda import numba_kernels as kernels
# the only thing asked of a device
dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=(9, 0))
u8, u8x2 = types.uint64[::1], types.uint64[:, ::1]
signatures = {
    "push": (u8, u8, u8, u8x2, u8, u8, u8x2),
    "pop": (u8, u8, u8, u8x2, u8, u8, types.int64, u8x2, u8),
}
for name, signature in signatures.items():
    ptx, _ = cuda.compile_ptx(getattr(kernels, name).py_func, signature, cc=(9, 0))
    assert "atom" in ptx and ("membar.gl" in ptx or "fence." in ptx), name
    assert "f64" not in ptx, f"{name}: signed and unsigned were mixed into a float"
    print(name)
"""


def _run(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


def test_the_twin_conforms_in_the_simulator():
    done = _run(RUN_CHECKS, NUMBA_ENABLE_CUDASIM="1")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) == 9


def test_the_twin_compiles_to_atomics_and_fences():
    pytest.importorskip(
        "numba_cuda", reason="no numba-cuda: pip install numba-cuda cuda-bindings nvidia-cuda-nvrtc"
    )
    done = _run(COMPILE)
    if re.search("(nvvm|NVVM|libdevice|cudart|NVRTC).*(not found|Failed|No supported|missing)", done.stderr):
        pytest.skip(f"numba-cuda does not compile here: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["push", "pop"]
