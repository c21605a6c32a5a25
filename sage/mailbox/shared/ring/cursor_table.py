"""The cursors of a shared ring: a table of blocks in its segment.

Invariant: one store of its state starts a cursor and another one ends it, both under the participants' lock.
A cursor without a living participant is free and blocks no writer.
"""

from __future__ import annotations

from collections.abc import Iterator

from sage.errors import InputError
from sage.mailbox.errors import MailboxError
from sage.mailbox.shared.memory.participants import MAX_PARTICIPANTS
from sage.mailbox.shared.memory.segment import Segment
from sage.mailbox.shared.ring.engine import Engine
from sage.mailbox.shared.ring.layout import (
    BLOCK_BYTES,
    DRAINING,
    FREE,
    IS_GROUP,
    LIVE,
    LOST,
    LOST_BEFORE,
    MAX_CURSORS,
    MAX_NAME_BYTES,
    MEMBERS,
    NAME,
    NAME_BYTES,
    NUM_BLOCKS,
    NUM_SUBSCRIBED,
    POPPED,
    POPPED_BEFORE,
    STATE,
    RingLayout,
)


class CursorTable:
    """A block is identified by its offset in the segment. All methods except `blocks` need the lock."""

    def __init__(self, segment: Segment, layout: RingLayout) -> None:
        self._segment = segment
        self._words = segment.words
        self._first = layout.blocks

    def blocks(self) -> Iterator[int]:
        """Blocks that have been used."""
        for index in range(self._words[NUM_BLOCKS // 8]):
            yield self._first + index * BLOCK_BYTES

    def join(self, participant: int, group: str | None, start: int, engine: Engine, control: int) -> int:
        """A new member of `group`, or a new cursor; returns its block. start applies to a new cursor."""
        block = self._find(group) if group is not None else None
        if block is None:
            block = self._take_free()
            self._describe(block, group)
            self._words[(block + MEMBERS) // 8 + participant] = 1
            engine.enter(control, self._segment.address + block, start)
        else:
            self._words[(block + MEMBERS) // 8 + participant] += 1
            if self._words[(block + STATE) // 8] == DRAINING:
                engine.enter(control, self._segment.address + block, start)
        return block

    def leave(self, block: int, participant: int) -> None:
        """Remove one member; the last one ends the cursor."""
        at = (block + MEMBERS) // 8 + participant
        self._words[at] -= 1
        self._end_if_left(block)

    def take_back(self, participant: int) -> None:
        """Remove a dead or leaving participant from all cursors. Correct when it runs again after a process
        died in it, or in `leave`, between two stores.
        """
        for block in self.blocks():
            if self._words[(block + MEMBERS) // 8 + participant]:
                self._words[(block + MEMBERS) // 8 + participant] = 0
        self.end_left()

    def end_left(self) -> bool:
        """End the cursors without members. Whether there was one."""
        left = self._left()
        for block in left:
            self._end_if_left(block)
        return bool(left)

    def has_left(self) -> bool:
        """Whether a cursor without members may block writers. Needs no lock; `end_left` is certain."""
        return bool(self._left())

    def drain(self, block: int, participant: int) -> None:
        """If all members are of `participant`: they may read what is left, and block no writer."""
        if self.num_members(block) == self._words[(block + MEMBERS) // 8 + participant]:
            self._words[(block + STATE) // 8] = DRAINING

    def num_members(self, block: int) -> int:
        return sum(self._members(block))

    def owners(self) -> set[int]:
        """Participants with a live cursor."""
        live = [block for block in self.blocks() if self._words[(block + STATE) // 8] == LIVE]
        return {index for block in live for index, num in enumerate(self._members(block)) if num}

    def name_of(self, block: int) -> str:
        start, num_bytes = block + NAME, self._words[(block + NAME_BYTES) // 8]
        return bytes(self._segment.memory[start : start + num_bytes]).decode("utf-8", "replace")

    def _members(self, block: int) -> list[int]:
        start = (block + MEMBERS) // 8
        return self._words[start : start + MAX_PARTICIPANTS].tolist()

    def _left(self) -> list[int]:
        return [
            block
            for block in self.blocks()
            if self._words[(block + STATE) // 8] != FREE and not self.num_members(block)
        ]

    def _end_if_left(self, block: int) -> None:
        if not self.num_members(block):
            self._words[(block + STATE) // 8] = FREE

    def _find(self, group: str) -> int | None:
        words = self._words
        for block in self.blocks():
            if (
                words[(block + STATE) // 8] != FREE
                and words[(block + IS_GROUP) // 8]
                and self.name_of(block) == group
            ):
                return block
        return None

    def _take_free(self) -> int:
        for block in self.blocks():
            if self._words[(block + STATE) // 8] == FREE:
                return block
        num = self._words[NUM_BLOCKS // 8]
        if num == MAX_CURSORS:
            raise MailboxError(
                f"{self._segment.name}: all {MAX_CURSORS} cursors are in use: close some subscriptions, or"
                " share a group"
            )
        block = self._first + num * BLOCK_BYTES
        self._segment.reserve(block, BLOCK_BYTES)
        self._words[NUM_BLOCKS // 8] = num + 1
        return block

    def _describe(self, block: int, group: str | None) -> None:
        words = self._words
        words[NUM_SUBSCRIBED // 8] += 1
        name = (group if group is not None else f"subscriber-{words[NUM_SUBSCRIBED // 8]}").encode()
        if len(name) > MAX_NAME_BYTES:
            raise InputError(f"group is {group!r}: give a name of at most {MAX_NAME_BYTES} bytes")
        self._segment.memory[block + NAME : block + NAME + len(name)] = name
        words[(block + NAME_BYTES) // 8], words[(block + IS_GROUP) // 8] = len(name), int(group is not None)
        words[(block + POPPED_BEFORE) // 8] = words[(block + POPPED) // 8]
        words[(block + LOST_BEFORE) // 8] = words[(block + LOST) // 8]
