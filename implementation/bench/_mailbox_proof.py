"""Zero copy, proved: what is written to a page after it was handed over is read in the other process.

Invariant: the writer breaks the rules on purpose (its handle has ended, so it writes through the bare
address): only one and the same physical page can show that to the reader. A counter of copied bytes proves
nothing by itself.
"""

from __future__ import annotations

import ctypes
import os
from multiprocessing.connection import Connection
from typing import Any

from _mailbox_ends import WAIT_SECS
from _mailbox_rounds import FRAME_BYTES
from _mailbox_station import CONTEXT

from sage.mailbox import RealClock

FIRST_NONCE, SECOND_NONCE = 1234.5, -6789.25


def prove_zero_copy() -> dict[str, Any]:
    """is_same_page: the reader saw both nonces at both ends of 6.2 MB.  bytes_copied: what the mailbox itself
    counted.
    """
    from sage.mailbox.shared import SharedFocus

    name = f"proof-{os.getpid()}"
    box = SharedFocus.create(name, slots=2, slot_bytes=FRAME_BYTES, policy="block", clock=RealClock())
    ours, theirs = CONTEXT.Pipe()
    reader = CONTEXT.Process(target=_read, args=(theirs, name), daemon=True)
    reader.start()
    try:
        loan = box.loan((FRAME_BYTES // 4,), "float32", timeout_secs=WAIT_SECS)
        values = loan.array
        address = values.ctypes.data
        values[0] = values[-1] = FIRST_NONCE
        del values
        loan.publish(stamp_ns=0, sequence=0)
        seen = [_ask(ours)]
        for at in (address, address + FRAME_BYTES - 4):
            ctypes.c_float.from_address(at).value = SECOND_NONCE
        ours.send("look again")
        seen.append(_ask(ours))
        is_same_page = seen == [(FIRST_NONCE, FIRST_NONCE), (SECOND_NONCE, SECOND_NONCE)]
        return {
            "is_same_page": is_same_page,
            "bytes_copied": box.statistics().bytes_copied,
            "num_bytes": FRAME_BYTES,
        }
    finally:
        reader.join(WAIT_SECS)
        box.close()
        box.unlink()


def _ask(pipe: Connection) -> tuple[float, float]:
    if not pipe.poll(WAIT_SECS):
        raise TimeoutError("the reader of the proof says nothing")
    report: tuple[float, float] = pipe.recv()
    return report


def _read(pipe: Connection, name: str) -> None:
    from sage.mailbox.shared import SharedFocus

    box = SharedFocus.attach(name, clock=RealClock())
    with box.receive(timeout_secs=WAIT_SECS) as lease:
        values = lease.array
        pipe.send((float(values[0]), float(values[-1])))
        pipe.recv()
        pipe.send((float(values[0]), float(values[-1])))
        del values
    box.close()
