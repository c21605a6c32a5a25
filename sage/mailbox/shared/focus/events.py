"""The rows of a pool's device work: which process queued work on a slot last, and whether it is complete.

Invariant: a row is written only by its participant, and RECORDED is stored before the message is published.
A row stays as it is after its process died, so that a reader finds out whether the content is complete.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sage.mailbox.errors import MailboxError
from sage.mailbox.shared.focus import layout as layout
from sage.mailbox.shared.memory.identity import is_alive, my_identity, pid_of
from sage.mailbox.shared.memory.participants import LOCK_TIMEOUT_SECS, MAX_PARTICIPANTS
from sage.mailbox.shared.memory.segment import Segment

_POLL_SECS = 0.0002
_LOOK_SECS = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Device work on a slot that was not complete when it was looked up."""

    slot: int
    participant: int
    owner: int
    generation: int


class EventRows:
    """Views of the rows of one segment."""

    def __init__(self, segment: Segment) -> None:
        num_slots = segment.words[layout.SLOTS]
        start = layout.CONTROL_BYTES + num_slots * segment.words[layout.STRIDE_BYTES]
        words = np.frombuffer(segment.memory, dtype=np.int64, offset=start)
        # (slots, participants, EVENT_WORDS)
        self._rows = words.reshape(num_slots, MAX_PARTICIPANTS, layout.EVENT_WORDS)

    def outstanding(self, slot: int) -> list[Work]:
        """The incomplete work on a slot, of living and of dead processes."""
        rows = self._rows[slot]
        recorded = rows[:, layout.RECORDED]
        return [
            Work(
                slot=slot,
                participant=int(participant),
                owner=int(rows[participant, layout.EVENT_OWNER]),
                generation=int(recorded[participant]),
            )
            for participant in np.flatnonzero(recorded != rows[:, layout.DONE])
        ]

    def is_done(self, work: Work) -> bool:
        row = self._rows[work.slot, work.participant]
        return bool(row[layout.EVENT_OWNER] != work.owner or row[layout.DONE] == row[layout.RECORDED])

    def handle(self, work: Work) -> bytes | None:
        """The event's handle; None where events cannot be shared."""
        row = self._rows[work.slot, work.participant]
        return row[layout.HANDLE :].tobytes() if row[layout.HAS_HANDLE] else None

    def record(self, slot: int, participant: int, generation: int, handle: bytes | None) -> None:
        """This process has queued work on a slot that it has on loan."""
        row = self._rows[slot, participant]
        # complete while it is rewritten: a process that dies in between leaves no work of another's
        row[layout.DONE] = row[layout.RECORDED]
        row[layout.EVENT_OWNER], row[layout.HAS_HANDLE] = my_identity(), int(handle is not None)
        if handle is not None:
            row[layout.HANDLE :] = np.frombuffer(handle, dtype=np.int64)
        row[layout.RECORDED] = generation

    def finish(self, slot: int, participant: int, generation: int) -> None:
        """The work recorded under this generation is complete."""
        row = self._rows[slot, participant]
        if row[layout.RECORDED] == generation and row[layout.EVENT_OWNER] == my_identity():
            row[layout.DONE] = generation

    def settle(self, slot: int, generation: int, is_done: Callable[[Work], bool], name: str) -> bool:
        """Wait until no device works on the slot. False if the content of this generation was never
        completed, because its process died.

        Raises MailboxError if a living process's work takes more than LOCK_TIMEOUT_SECS.
        """
        end_secs = time.monotonic() + LOCK_TIMEOUT_SECS
        looked_secs = 0.0
        while works := [work for work in self.outstanding(slot) if not is_done(work)]:
            if time.monotonic() - looked_secs >= _LOOK_SECS:
                looked_secs = time.monotonic()
                living = [work for work in works if is_alive(work.owner)]
                if not living:
                    return not any(work.generation == generation for work in works)
                if looked_secs > end_secs:
                    raise MailboxError(
                        f"{name}: slot {slot}: the device work of process {pid_of(living[0].owner)} is not"
                        f" complete after {LOCK_TIMEOUT_SECS:.0f} s: end that process, or wait for its device"
                    )
            time.sleep(_POLL_SECS)
        return True
