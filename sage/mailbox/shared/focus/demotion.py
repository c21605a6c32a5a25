"""Reads of a slot outside a lease: the summary of a dropped message, the check for a reader that wrote.

Invariant: the caller holds the slot, so that no process writes to it; no view of it remains.
"""

from __future__ import annotations

import numpy as np

from sage.mailbox.handles import Lease
from sage.mailbox.intake import has_numpy_values, numpy_dtype
from sage.mailbox.record import DEMOTED, RECORD, summarize
from sage.mailbox.shared.focus import layout as layout
from sage.mailbox.shared.focus.control import Control
from sage.mailbox.shared.focus.pool import SharedPool
from sage.mailbox.shared.focus.statistics import describe


def summary_of(control: Control, pool: SharedPool, place: int) -> np.ndarray:
    """The summary record of a tensor that is dropped."""
    index = layout.index_of(place)
    meta = layout.meta_from(control.bytes_at(place, 0, layout.META_WORDS), index)
    spec = layout.spec_from(
        control.bytes_at(place, layout.SPEC, layout.SPEC_WORDS), control.words[layout.SLOT_BYTES]
    )
    has_values = has_numpy_values(spec.dtype)
    array = pool.read_only_array(index, spec.shape, numpy_dtype(spec.dtype)) if has_values else np.empty(0)
    record = np.zeros((), dtype=RECORD)
    summarize(
        record,
        array,
        producer=meta.producer,
        sequence=meta.sequence,
        stamp_ns=meta.stamp_ns,
        trust=meta.trust,
        quality=meta.quality,
        slot=index,
        generation=meta.generation,
        flags=DEMOTED,
    )
    return record


def describe_if_written(control: Control, pool: SharedPool, lease: Lease) -> str:
    """The slot's holders if its bytes differ from those published; else ""."""
    checksum = control.words[lease.place + layout.CHECKSUM]
    if checksum in (layout.NO_CHECKSUM, pool.checksum(lease.index, lease.form.spec.num_bytes)):
        return ""
    return describe(control.words, lease.index)
