"""The Triton helper: in Triton's interpreter for its logic, compiled without a GPU for its orders."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("triton", reason="no triton: pip install triton (it comes with a CUDA build of torch)")

KERNEL = """
import triton
import triton.language as tl
from sage.mailbox.cuda.triton_ring import ring_push_record

@triton.jit
def push(ring, records, CAPACITY: tl.constexpr, RECORD_WORDS: tl.constexpr):
    words = tl.load(records + tl.program_id(0) * RECORD_WORDS + tl.arange(0, RECORD_WORDS))
    ring_push_record(ring, words, CAPACITY, RECORD_WORDS)
"""
INTERPRET = """
import numpy as np
import torch
from kernel import push
from sage.mailbox.cuda import FakeDriver
from sage.mailbox.cuda.conformance import make_records
from sage.mailbox.cuda.ring import DeviceRing

for record_bytes in (128, 256):
    ring = DeviceRing(driver=FakeDriver(), launcher=None, capacity=8, record_bytes=record_bytes)
    memory = ring._memory.owner
    sent = make_records(0, 11, record_bytes=record_bytes)
    sent["length"][9:] = (5, 4_000_000_000)
    words = torch.from_numpy(sent.view(np.int32).copy())
    push[(11,)](torch.from_numpy(memory).view(torch.int64)[: len(memory) // 8], words, 8, record_bytes // 4)
    control = memory[:256].view(np.uint64)
    states = memory[256:256 + 64].view(np.uint64)
    assert control[0] == 11 and control[2] == 0
    assert sorted(states) == [2 * ticket + 2 for ticket in range(3, 11)]
    records = memory[384:].view(ring.dtype)
    for ticket in range(3, 11):
        found, room = records[ticket % 8], record_bytes - 64
        num_bytes = min(int(sent["length"][ticket]), room)
        assert (found["sequence"], found["length"], found["generation"]) == (
            ticket, num_bytes, ticket // 8 + 1)
        assert bytes(found["payload"]) == bytes(sent["payload"][ticket][:num_bytes]) + bytes(room - num_bytes)
    states[3 % 8] -= 1  # as if ticket 11's slot were still being written, a lap ago
    push[(1,)](torch.from_numpy(memory).view(torch.int64)[: len(memory) // 8], words, 8, record_bytes // 4)
    assert control[2] == 1 and memory[320:384].view(np.uint64)[3] == 12
"""
COMPILE = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from kernel import push
source = ASTSource(fn=push, signature={"ring": "*i64", "records": "*i32", "CAPACITY": "constexpr",
                                         "RECORD_WORDS": "constexpr"},
                   constexprs={"CAPACITY": 8, "RECORD_WORDS": 64})
ptx = triton.compile(source, target=GPUTarget("cuda", 90, 32)).asm["ptx"]
for instruction in ("acquire.gpu.cas.b64", "gpu.release.exch.b32", "gpu.release.exch.b64", "gpu.release.max"):
    assert instruction in ptx, instruction
"""


@pytest.fixture
def run(tmp_path):
    (tmp_path / "kernel.py").write_text(KERNEL)

    def call(code, **environment):
        path = os.pathsep.join([str(tmp_path), *sys.path])
        own = {**os.environ, "PYTHONPATH": path, "TRITON_CACHE_DIR": str(tmp_path / "cache"), **environment}
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=own
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return call


def test_the_interpreter_pushes_whole_records_and_leaves_out_what_conflicts(run):
    run(INTERPRET, TRITON_INTERPRET="1")


def test_the_compiled_kernel_has_its_acquire_and_release(run):
    run(COMPILE)
