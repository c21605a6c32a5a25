"""The layout of a shared focus pool: options, counters, accounts, histograms, the slot table, tensor specs.

Invariant: everything is a 64-bit word, zeros are a valid empty pool, and a slot's state is its state word
alone: each operation commits with that one store, so that a process that dies inside it leaves nothing to
repair.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

import numpy as np

from sage.errors import InputError
from sage.mailbox.errors import MailboxError
from sage.mailbox.intake import numpy_dtype
from sage.mailbox.meta import FocusMeta
from sage.mailbox.options import POLICIES, Policy, bytes_per_slot, check_pool
from sage.mailbox.shared.memory.doorbell import Doorbell
from sage.mailbox.shared.memory.participants import DOORBELLS_OFFSET, MAX_PARTICIPANTS, OWN_OFFSET
from sage.mailbox.shared.memory.segment import HEADER_BYTES, OPTIONS, Layout
from sage.mailbox.tensor_spec import ITEM_BYTES, MAX_DIMS, TensorSpec

#: The kind of segment.
KIND = 2
MAX_SLOTS = 256
PAGE_BYTES = 4096
#: Later than every time: no TTL.
NO_DEADLINE = (1 << 63) - 1

#: The creator's options in the header.
OPTION_NAMES = (
    "slots", "slot_bytes", "stride_bytes", "policy", "quota", "ttl_ns", "debug", "receivers", "has_events",
)  # fmt: skip
SLOTS, SLOT_BYTES, STRIDE_BYTES, POLICY, QUOTA, TTL_NS, DEBUG, RECEIVERS, HAS_EVENTS = range(
    OPTIONS, OPTIONS + len(OPTION_NAMES)
)
#: "one": each message is for one participant; "each": for every one that listens.
Receivers = Literal["one", "each"]
RECEIVERS_NAMES = get_args(Receivers)
ONE, EACH = range(2)

# The mailbox's words in the header. ORDER: messages published so far. TURN: turns assigned so far. FREED:
# slots freed so far. LISTENERS: a bit for each participant that listens (receivers="each"). REST: pushed and
# drops of reused accounts.
_OWN = OWN_OFFSET // 8
ORDER, TURN, FREED, POPPED, COPIED, REFERENCED, HIGH_WATER, LEAKS, ORPHANS, LISTENERS = range(_OWN, _OWN + 10)
REST = _OWN + 16

#: The doorbells' flags: a process waits for a message, for room.
ARRIVALS_FLAG, ROOM_FLAG = DOORBELLS_OFFSET // 8, DOORBELLS_OFFSET // 8 + Doorbell.WORDS

# An account of ACCOUNT_WORDS words per producer; there are more accounts than slots, so that one without
# slots can be reused.
ACCOUNTS = HEADER_BYTES // 8
NUM_ACCOUNTS, ACCOUNT_WORDS = 320, 16
NAME, PUSHED, DROPS = 0, 1, 2  # name: the producer + 1, 0 if unused; then a count per drop reason
ACCOUNT_TURN, DEFICIT = 14, 15

PUSH_TO_POP = ACCOUNTS + NUM_ACCOUNTS * ACCOUNT_WORDS
BORROW = PUSH_TO_POP + 256
TABLE = BORROW + 256
SLOT_WORDS = 32

# A slot's words. STATE: generation << 16 | owner << 8 | state; the owner is a participant.
# PENDING, BORROWED, VIEWED: a bit for each participant that is to receive it, has a lease, has a view without
# an open handle.
(
    STATE,
    PENDING,
    BORROWED,
    VIEWED,
    PRODUCER,
    ACCOUNT,
    ORDER_OF,
    STAMP_NS,
    SEQUENCE,
    TRUST,
    QUALITY,
    DEADLINE_NS,
    PUSHED_NS,
    RECEIVED_NS,
    CHECKSUM,
    THREAD,
) = range(16)
SPEC = 16  # bytes, dtype code, dims, up to 8 sizes
SPEC_WORDS = 3 + MAX_DIMS
FREED_AT = SPEC + SPEC_WORDS  # the value of FREED when this slot was freed
NO_CHECKSUM = -1

CONTROL_WORDS = TABLE + MAX_SLOTS * SLOT_WORDS
CONTROL_BYTES = -(-CONTROL_WORDS * 8 // PAGE_BYTES) * PAGE_BYTES

# After the slots, only with HAS_EVENTS: a row for each slot and participant with its latest device work on
# the slot. EVENT_OWNER: identity of the process.  RECORDED: generation of the slot in which the work was
# queued.  DONE: the same generation once the work is complete.  HANDLE: the event, for other processes.
EVENT_OWNER, RECORDED, DONE, HAS_HANDLE, HANDLE = range(5)
HANDLE_WORDS = 8
EVENT_WORDS = HANDLE + HANDLE_WORDS

# DLPack's type codes (dlpack.h 1.1): int 0, uint 1, float 2, bfloat 4, bool 6, float8_e4m3fn 10, float8_e5m2
# 12.
_KIND_CODES = {
    "int": 0,
    "uint": 1,
    "float": 2,
    "bfloat": 4,
    "bool": 6,
    "float8_e4m3fn": 10,
    "float8_e5m2": 12,
}
DTYPE_CODES = {
    name: _KIND_CODES[name if name.startswith("float8") else name.rstrip("0123456789")] << 8 | num_bytes * 8
    for name, num_bytes in ITEM_BYTES.items()
}
_DTYPE_NAMES = {code: name for name, code in DTYPE_CODES.items()}
_SPEC_STRUCT = struct.Struct(f"<{SPEC_WORDS}q")
_META_STRUCT = struct.Struct("<q24xq16xqqddq")  # state, producer, stamp, sequence, trust, quality, deadline
META_WORDS = DEADLINE_NS + 1
_BYTES_DATA = bytes.__basicsize__ - 1  # offset of the data in a bytes object
_MAX_FORMS = 256


def place_of(index: int) -> int:
    """The first word of a slot."""
    return TABLE + index * SLOT_WORDS


def index_of(place: int) -> int:
    return (place - TABLE) // SLOT_WORDS


@lru_cache(maxsize=256)
def spec_bytes(spec: TensorSpec) -> bytes:
    """A slot's words from SPEC on."""
    sizes = (*spec.shape, *(0,) * (MAX_DIMS - len(spec.shape)))
    return _SPEC_STRUCT.pack(spec.num_bytes, DTYPE_CODES[spec.dtype], len(spec.shape), *sizes)


def meta_from(data: bytes, index: int) -> FocusMeta:
    """The metadata in a slot's first META_WORDS words."""
    state, producer, stamp_ns, sequence, trust, quality, deadline_ns = _META_STRUCT.unpack(data)
    return FocusMeta(
        sequence=sequence,
        stamp_ns=stamp_ns,
        producer=producer,
        trust=trust,
        quality=quality,
        generation=state >> 16,
        slot=index,
        deadline_ns=None if deadline_ns == NO_DEADLINE else deadline_ns,
    )


@lru_cache(maxsize=256)
def spec_from(data: bytes, slot_bytes: int) -> TensorSpec:
    """The inverse of `spec_bytes`. Raises MailboxError for an invalid description: a process has overwritten
    the table.
    """
    num_bytes, code, num_dims, *sizes = _SPEC_STRUCT.unpack(data)
    if code in _DTYPE_NAMES and 0 <= num_dims <= MAX_DIMS and min(sizes) >= 0:
        spec = TensorSpec(shape=tuple(sizes[:num_dims]), dtype=_DTYPE_NAMES[code])
        if spec.num_bytes == num_bytes <= slot_bytes:
            return spec
    raise MailboxError(
        "a slot's description is invalid: a process wrote over this mailbox; unlink it and create it again"
    )


def focus_layout_for(
    name: str,
    *,
    slots: int,
    slot_bytes: int | None,
    pool_bytes: int | None,
    policy: Policy,
    quota: int | None,
    ttl_ns: int | None,
    debug: bool,
    receivers: Receivers,
    has_events: bool = False,
) -> Layout:
    """The segment of a new pool. Raises InputError for an invalid option."""
    if slots > MAX_SLOTS:
        raise InputError(f"{name}: slots is {slots}: give 1 to {MAX_SLOTS}")
    check_pool(name, slots=slots, policy=policy, quota=quota, ttl_ns=ttl_ns)
    if receivers not in RECEIVERS_NAMES:
        raise InputError(f"{name}: receivers is {receivers!r}: give one of {', '.join(RECEIVERS_NAMES)}")
    slot_bytes = bytes_per_slot(name, slots, slot_bytes, pool_bytes)
    stride_bytes = -(-max(slot_bytes, 1) // PAGE_BYTES) * PAGE_BYTES
    options = {
        "slots": slots,
        "slot_bytes": slot_bytes,
        "stride_bytes": stride_bytes,
        "policy": POLICIES.index(policy),
        "quota": slots + 1 if quota is None else quota,  # without one, only the pool is a limit
        "ttl_ns": ttl_ns or 0,
        "debug": int(debug),
        "receivers": RECEIVERS_NAMES.index(receivers),
        "has_events": int(has_events),
    }
    assert tuple(options) == OPTION_NAMES
    event_bytes = slots * MAX_PARTICIPANTS * EVENT_WORDS * 8 if has_events else 0
    return Layout(kind=KIND, num_bytes=CONTROL_BYTES + slots * stride_bytes + event_bytes, options=options)


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A tensor's spec in three forms.  words: as in the table, bytes at address `words_at` while this
    exists.
    """

    spec: TensorSpec
    shape: tuple[int, ...]
    dtype: np.dtype
    words: bytes
    words_at: int


class Forms:
    """A cache of the forms that one handle has used."""

    def __init__(self, name: str, slot_bytes: int) -> None:
        self._name = name
        self._slot_bytes = slot_bytes
        self.by_spec: dict[tuple[tuple[int, ...], str], Form] = {}
        self.by_words: dict[bytes, Form] = {}

    def form_for(self, shape: tuple[int, ...], dtype: str) -> Form:
        """Raises InputError for a tensor that fits no slot."""
        spec = TensorSpec(shape=tuple(shape), dtype=dtype)
        if spec.num_bytes > self._slot_bytes:
            raise InputError(
                f"{self._name}: {dtype} {spec.shape} takes {spec.num_bytes} bytes, a slot has"
                f" {self._slot_bytes}: raise slot_bytes"
            )
        if len(self.by_spec) >= _MAX_FORMS:
            self.by_spec.clear()
        form = self.by_spec[spec.shape, dtype] = _form_of(spec)
        return form

    def form_of_words(self, words: bytes) -> Form:
        """Raises MailboxError for an invalid description."""
        if len(self.by_words) >= _MAX_FORMS:
            self.by_words.clear()
        form = self.by_words[words] = _form_of(spec_from(words, self._slot_bytes))
        return form


def _form_of(spec: TensorSpec) -> Form:
    words = spec_bytes(spec)
    return Form(
        spec=spec,
        shape=spec.shape,
        dtype=numpy_dtype(spec.dtype),
        words=words,
        words_at=id(words) + _BYTES_DATA,
    )
