"""The shared mailboxes of this machine, their participants, and which of them are abandoned.

Invariant: reading changes nothing; only segments without a living process are removed.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from sage.errors import SageError
from sage.mailbox.errors import MailboxError
from sage.mailbox.shared.memory.identity import is_alive, pid_of
from sage.mailbox.shared.memory.participants import MAX_PARTICIPANTS, TABLE_OFFSET
from sage.mailbox.shared.memory.segment import ANY_KIND, CREATOR, FOLDER, KIND, NUM_BYTES, PREFIX, Segment


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One mailbox file in /dev/shm.

    kind: number of its class.  creator: pid.  pids: living participants.  resident_bytes: memory in use;
    num_bytes: its size.  problem: why it cannot be read, or "".
    """

    name: str
    kind: int = 0
    num_bytes: int = 0
    resident_bytes: int = 0
    creator: int = 0
    pids: tuple[int, ...] = ()
    num_dead: int = 0
    is_abandoned: bool = False
    problem: str = ""


def find_segments() -> tuple[Found, ...]:
    """All of them, by name; those of other users with the reason that they cannot be read."""
    if not FOLDER.is_dir():
        return ()
    return tuple(_look(path.name[len(PREFIX) :]) for path in sorted(FOLDER.glob(f"{PREFIX}*")))


def remove_abandoned() -> tuple[Found, ...]:
    """Remove the segments whose creator and participants are all dead; returns them."""
    return tuple(found for found in find_segments() if found.is_abandoned and _remove(found.name))


def _remove(name: str) -> bool:
    """Checks again: since the first check the name may be gone, or belong to a new mailbox."""
    try:
        segment = Segment.attach(name, kind=ANY_KIND, is_read_only=True)
    except MailboxError:
        return False
    try:
        is_abandoned = _describe(segment).is_abandoned
        if is_abandoned:
            segment.unlink()
        return is_abandoned
    finally:
        segment.close()


def _look(name: str) -> Found:
    try:
        segment = Segment.attach(name, kind=ANY_KIND, is_read_only=True)
    except SageError as error:
        return Found(name=name, problem=str(error))
    try:
        return _describe(segment)
    finally:
        segment.close()


def _describe(segment: Segment) -> Found:
    words, first = segment.words, TABLE_OFFSET // 8
    identities = {identity for identity in words[first : first + MAX_PARTICIPANTS] if identity}
    living = {identity for identity in identities if is_alive(identity)}
    return Found(
        name=segment.name,
        kind=words[KIND],
        num_bytes=words[NUM_BYTES],
        resident_bytes=os.fstat(segment.fd).st_blocks * 512,
        creator=pid_of(words[CREATOR]),
        pids=tuple(sorted(pid_of(identity) for identity in living)),
        num_dead=len(identities) - len(living),
        is_abandoned=not living and not is_alive(words[CREATOR]),
    )
