"""The statistics and holders of a shared pool, from a copy of its control memory.

Invariant: a snapshot is consistent (taken under the pool's lock), and reading it changes nothing. Attaching
is not needed.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import fields

from sage.mailbox.histogram import LatencyHistogram, Percentiles
from sage.mailbox.meta import BORROWED, FREE, LOANED, RELEASING, STATE_NAMES
from sage.mailbox.options import POLICIES
from sage.mailbox.shared.focus import layout as layout
from sage.mailbox.shared.focus.queue import depth
from sage.mailbox.shared.memory.identity import pid_of
from sage.mailbox.shared.memory.mutex import RobustMutex
from sage.mailbox.shared.memory.participants import (
    LOCK_TIMEOUT_SECS,
    MAX_PARTICIPANTS,
    MUTEX_OFFSET,
    TABLE_OFFSET,
)
from sage.mailbox.shared.memory.segment import Segment
from sage.mailbox.statistics import DropCounts, FocusStatistics, ProducerStatistics

_REASONS = tuple(field.name for field in fields(DropCounts))


def peek_statistics(name: str) -> FocusStatistics:
    """Of a pool of other processes, without attaching. Raises MailboxError if there is none of that name."""
    segment = Segment.attach(name, kind=layout.KIND)
    try:
        with RobustMutex(segment.address + MUTEX_OFFSET).held(LOCK_TIMEOUT_SECS, name):
            data = segment.memory[: layout.CONTROL_BYTES]
    finally:
        segment.close()
    return statistics_of(data, name)


def statistics_of(data: bytes, name: str) -> FocusStatistics:
    words = memoryview(data).cast("q")
    num_slots = words[layout.SLOTS]
    states = [words[layout.place_of(index)] & 0xFF for index in range(num_slots)]
    producers = _producers(words)
    rest = words[layout.REST + layout.PUSHED : layout.REST + layout.DROPS + len(_REASONS)]
    return FocusStatistics(
        name=name,
        policy=POLICIES[words[layout.POLICY]],
        slots=num_slots,
        slot_bytes=words[layout.SLOT_BYTES],
        free=states.count(FREE),
        pushed=rest[0] + sum(producer.pushed for producer in producers),
        popped=words[layout.POPPED],
        bytes_copied=words[layout.COPIED],
        bytes_referenced=words[layout.REFERENCED],
        depth=depth(words),
        high_water=words[layout.HIGH_WATER],
        leaks=states.count(RELEASING),
        leaks_total=words[layout.LEAKS],
        orphans=words[layout.ORPHANS],
        drops=DropCounts(
            **{
                reason: rest[1 + number] + sum(getattr(producer.drops, reason) for producer in producers)
                for number, reason in enumerate(_REASONS)
            }
        ),
        producers=producers,
        holders=tuple(describe(words, index) for index in range(num_slots) if states[index] != FREE),
        push_to_pop=_percentiles(words[layout.PUSH_TO_POP : layout.BORROW]),
        borrow=_percentiles(words[layout.BORROW : layout.TABLE]),
    )


def describe(words: Sequence[int], index: int) -> str:
    """State and holders of a slot, for an error message.  words: the control memory, or a copy of it."""
    at = layout.place_of(index)
    state = words[at] & 0xFF
    why = " (views of it are alive)" if state == RELEASING else ""
    who = ", ".join(_holders(words, at, state))
    return (
        f"slot {index} {STATE_NAMES[state]}, producer"
        f" {words[at + layout.PRODUCER]}{' in ' * bool(who)}{who}{why}"
    )


def explain(data: bytes, name: str, producer: int) -> str:
    """One line for MailboxFull: the reason, the remedy, the holders."""
    words = memoryview(data).cast("q")
    held = [i for i in range(words[layout.SLOTS]) if words[layout.place_of(i)] & 0xFF != FREE]
    who = "; ".join(describe(words, index) for index in held)
    quota = words[layout.QUOTA]
    if sum(words[layout.place_of(index) + layout.PRODUCER] == producer for index in held) >= quota:
        return f"{name}: producer {producer} holds its quota of {quota}: release or raise quota ({who})"
    return f"{name}: no free slot among {words[layout.SLOTS]}: release sooner or raise slots ({who})"


def _holders(words: Sequence[int], at: int, state: int) -> list[str]:
    """The processes that hold or view a slot, and the thread if it is in this process."""
    if state == LOANED:
        participants = [words[at] >> 8 & 0xFF]
    elif state in (BORROWED, RELEASING):
        mask = words[at + (layout.BORROWED if state == BORROWED else layout.VIEWED)]
        participants = [index for index in range(MAX_PARTICIPANTS) if mask >> index & 1]
    else:
        return []
    pids = [pid_of(words[TABLE_OFFSET // 8 + participant]) for participant in participants]
    if pids == [os.getpid()]:
        names = {thread.ident: thread.name for thread in threading.enumerate()}
        return [f"{names.get(words[at + layout.THREAD], 'an ended thread')} of pid {pids[0]}"]
    return [f"pid {pid}" for pid in pids]


def _producers(words: Sequence[int]) -> tuple[ProducerStatistics, ...]:
    held: dict[int, int] = {}
    for index in range(words[layout.SLOTS]):
        at = layout.place_of(index)
        if words[at] & 0xFF != FREE:
            held[words[at + layout.PRODUCER]] = held.get(words[at + layout.PRODUCER], 0) + 1
    found = []
    for number in range(layout.NUM_ACCOUNTS):
        at = layout.ACCOUNTS + number * layout.ACCOUNT_WORDS
        producer = words[at + layout.NAME] - 1
        if producer >= 0:
            drops = words[at + layout.DROPS : at + layout.DROPS + len(_REASONS)]
            found.append(
                ProducerStatistics(
                    producer=producer,
                    pushed=words[at + layout.PUSHED],
                    held=held.get(producer, 0),
                    drops=DropCounts(**dict(zip(_REASONS, drops))),
                )
            )
    return tuple(found)


def _percentiles(counts: Sequence[int]) -> Percentiles:
    histogram = LatencyHistogram()
    histogram.merge(counts)
    return histogram.percentiles()
