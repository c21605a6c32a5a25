"""A user's Triton kernel that pushes a record a program, as the helper is meant to be used."""

from __future__ import annotations

import numpy as np
import torch
import triton
import triton.language as tl

from sage.mailbox.cuda.conformance import make_records
from sage.mailbox.cuda.ring import DeviceRing
from sage.mailbox.cuda.triton_ring import ring_push_record


@triton.jit
def push_each(ring, records, CAPACITY: tl.constexpr, RECORD_WORDS: tl.constexpr):
    words = tl.load(records + tl.program_id(0) * RECORD_WORDS + tl.arange(0, RECORD_WORDS))
    ring_push_record(ring, words, CAPACITY, RECORD_WORDS)


def check(ring: DeviceRing) -> None:
    """500 programs at once; ring.cu's own pop reads what they wrote."""
    reader = ring.subscribe(max_records=500, start="oldest")
    sent = make_records(0, 500, record_bytes=ring.record_bytes)
    memory = torch.as_tensor(ring.memory, device="cuda").view(torch.int64)
    words = torch.from_numpy(sent.view(np.int32).copy()).cuda()
    push_each[(500,)](memory, words, ring.capacity, ring.record_bytes // 4)
    torch.cuda.synchronize()
    batch = reader.take()
    assert (len(batch), batch.lost) == (500, 0)
    assert np.array_equal(np.sort(batch.records, order="sequence")["payload"], sent["payload"])
