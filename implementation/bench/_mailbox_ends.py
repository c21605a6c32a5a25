"""What a peer of the mailbox benchmark must offer, and the records that all of them carry.

Invariant: every peer carries the same bytes, and every figure is taken by the same loop over these few calls:
nothing but the peer's own code differs.
"""

from __future__ import annotations

import ctypes
import importlib.util
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, NoReturn, Protocol

import numpy as np

from sage.mailbox.record import HEADER_BYTES, RECORD

Role = Literal["near", "far"]  # near asks and keeps the time; far answers

RECORD_BYTES = RECORD.itemsize
BLOCK = 64  # records handed over at once, "by 64"
MAX_BATCH = 4 * BLOCK  # records one receive_block may give
NUM_RECORDS = (
    13 * BLOCK
)  # then the table begins again: 13 is prime to a ring's laps, a stale lap never looks right
WAIT_SECS = 20.0  # a peer that says nothing for so long has failed


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordEnds:
    """One station's way out and its way in for records of 256 bytes, in order, none lost, each waiting for
    the other.

    send: one record as `prepare` made it before the clock started.  receive: one record, usable when it
    returns.
    send_block: 64 records at once, a bulk call or one message of 16 KiB.  receive_block: their bytes, a whole
    number of records, at most MAX_BATCH.  check_block: the same, checked where the library gives them, before
    that memory is given back; None where a message is bytes of its own.  has_bulk: whether the library itself
    knows several records; else they were packed by us.
    has_stream: whether messages can follow each other unanswered.
    """

    send: Callable[[Any], object]
    receive: Callable[[], Any]
    send_block: Callable[[Any], object]
    receive_block: Callable[[], bytes] | None = None
    check_block: Callable[[Checker], None] | None = None
    prepare: Callable[[np.ndarray], Any] = np.ndarray.tobytes
    prepare_block: Callable[[np.ndarray], Any] = np.ndarray.tobytes
    has_bulk: bool = False
    has_stream: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorEnds:
    """One station's way out and in for a tensor of float32.

    place(nonce): loan memory that the other will see, view it, write the nonce first and last, hand it over;
    None where the peer has no such memory.  send(array): the same from private memory.  take(): wait, view,
    read first and last, give back.
    """

    place: Callable[[float], object] | None
    send: Callable[[np.ndarray], object] | None
    take: Callable[[], tuple[float, float]]


class Peer(Protocol):
    """A way for two Python processes to talk."""

    @property
    def name(self) -> str: ...

    @property
    def package(self) -> str:
        """What `import` needs."""

    def wire(self, context: Any) -> Any:
        """Made once, before both processes, and handed to both: pipes, names, addresses."""

    def records(self, role: Role, wiring: Any, stack: ExitStack) -> RecordEnds | None:
        """None for a far station that only stands by, because the peer brings a process of its own."""

    def tensors(self, role: Role, wiring: Any, num_bytes: int, stack: ExitStack) -> TensorEnds | None:
        """The same; None for near, too, where it cannot carry so much."""


def is_installed(peer: Peer) -> bool:
    return importlib.util.find_spec(peer.package) is not None


@cache
def record_table() -> np.ndarray:
    """(NUM_RECORDS + MAX_BATCH,) records whose every byte is random but for the layout; the end repeats the
    beginning.
    """
    generator = np.random.default_rng(0)
    whole = np.zeros(NUM_RECORDS + MAX_BATCH, RECORD)
    table = whole[:NUM_RECORDS]
    table["payload"] = generator.integers(0, 256, table["payload"].shape)
    for field in ("producer", "kind", "stamp_ns", "trust", "quality"):
        table[field] = generator.integers(1, 1 << 16, NUM_RECORDS)
    table["sequence"] = np.arange(NUM_RECORDS)
    table["length"] = RECORD_BYTES - HEADER_BYTES
    whole[NUM_RECORDS:] = table[:MAX_BATCH]
    return whole


_memcmp = ctypes.CDLL(None).memcmp
_memcmp.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)


class Checker:
    """Compares every byte of every record received with the table, from the first to the last."""

    def __init__(self) -> None:
        self._expected = record_table().tobytes()
        self._address = record_table().ctypes.data
        self._spans: dict[tuple[int, int], bytes] = {}  # cut once: most batches are the same few
        self.num_received = 0

    def check(self, data: bytes) -> None:
        """ValueError at the first batch that is not the next one, or was torn."""
        start = self.num_received % NUM_RECORDS * RECORD_BYTES
        span = start, start + len(data)
        expected = self._spans.get(span) or self._spans.setdefault(span, self._expected[slice(*span)])
        if data != expected:  # one memcmp
            self._refuse()
        self.num_received += len(data) // RECORD_BYTES

    def check_at(self, address: int, num_bytes: int) -> None:
        """`check` of bytes in memory that is not copied."""
        start = self.num_received % NUM_RECORDS * RECORD_BYTES
        if _memcmp(address, self._address + start, num_bytes):
            self._refuse()
        self.num_received += num_bytes // RECORD_BYTES

    def _refuse(self) -> NoReturn:
        raise ValueError(f"records from number {self.num_received} on are not the ones that were sent")
