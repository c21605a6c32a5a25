"""A segment of single words and one error text, beside the mailboxes of two processes.

Invariant: each word has one writer and is written whole, so that the other side never waits and never reads
half of one.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, ClassVar

from sage.mailbox.shared.memory.participants import OWN_OFFSET
from sage.mailbox.shared.memory.segment import HEADER_BYTES, Layout, Segment

if TYPE_CHECKING:
    from typing_extensions import Self

#: Behind the table of participants, of which a status block has none.
FIRST_WORD = OWN_OFFSET // 8


class IntWord:
    """A word of a StatusBlock that holds an int of 64 bits. index: from FIRST_WORD on."""

    def __init__(self, index: int) -> None:
        self._index = index

    def __get__(self, block: StatusBlock, owner: type | None = None) -> int:
        return block.words[self._index]

    def __set__(self, block: StatusBlock, value: int) -> None:
        block.words[self._index] = value


class BoolWord:
    """A word of a StatusBlock that holds a bool."""

    def __init__(self, index: int) -> None:
        self._index = index

    def __get__(self, block: StatusBlock, owner: type | None = None) -> bool:
        return bool(block.words[self._index])

    def __set__(self, block: StatusBlock, value: bool) -> None:
        block.words[self._index] = int(value)


class FloatWord:
    """A word of a StatusBlock that holds a float of 64 bits."""

    def __init__(self, index: int) -> None:
        self._index = index

    def __get__(self, block: StatusBlock, owner: type | None = None) -> float:
        value: float = struct.unpack("<d", struct.pack("<q", block.words[self._index]))[0]
        return value

    def __set__(self, block: StatusBlock, value: float) -> None:
        block.words[self._index] = struct.unpack("<q", struct.pack("<d", value))[0]


class TextWord:
    """A text of a StatusBlock, of one writer. index: of a word, the number of texts so far.  offset: of the
    NUM_TEXTS places for texts, num_bytes each, that are written in turn: the one that is read is not the one
    that is written.  A longer text is cut.
    """

    NUM_TEXTS: ClassVar[int] = 4

    def __init__(self, index: int, offset: int, num_bytes: int) -> None:
        self._index, self._offset, self._num_bytes = index, offset, num_bytes

    def __get__(self, block: StatusBlock, owner: type | None = None) -> str:
        text = bytes(block.memory[self._place(block.words[self._index])])
        return text.rstrip(b"\0").decode("utf-8", "ignore")

    def __set__(self, block: StatusBlock, text: str) -> None:
        if text == self.__get__(block):
            return
        num = block.words[self._index] + 1
        block.memory[self._place(num)] = text.encode()[: self._num_bytes].ljust(self._num_bytes, b"\0")
        block.words[self._index] = num

    def _place(self, num: int) -> slice:
        first = self._offset + num % self.NUM_TEXTS * self._num_bytes
        return slice(first, first + self._num_bytes)


class StatusBlock:
    """Either end. One process creates and unlinks, the other attaches.

    Subclasses set KIND, a number for each class, and ERROR_OFFSET, where the error's text begins, and add
    words from FIRST_WORD + 3 on.
    """

    KIND: ClassVar[int]
    ERROR_OFFSET: ClassVar[int]

    state = IntWord(FIRST_WORD)
    must_stop = BoolWord(FIRST_WORD + 1)
    _error_bytes = IntWord(FIRST_WORD + 2)

    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        self.words = segment.words

    @classmethod
    def create(cls, name: str) -> Self:
        """All words are 0. MailboxError if the name is taken or memory is short."""
        return cls(Segment.create(name, Layout(kind=cls.KIND, num_bytes=HEADER_BYTES, options={})))

    @classmethod
    def attach(cls, name: str) -> Self:
        """MailboxError if there is none of this name and kind."""
        return cls(Segment.attach(name, kind=cls.KIND))

    @property
    def name(self) -> str:
        return self._segment.name

    @property
    def memory(self) -> memoryview:
        """All HEADER_BYTES of it."""
        return memoryview(self._segment.memory)

    def stop(self) -> None:
        """Ask the process at the other end to stop."""
        self.must_stop = True

    @property
    def error(self) -> str:
        """What `fail` was given, cut to what fits."""
        text = self._segment.memory[self.ERROR_OFFSET : self.ERROR_OFFSET + self._error_bytes]
        return bytes(text).decode("utf-8", "replace")

    def fail(self, message: str, state: int) -> None:
        """The text first, then its length, then the state: a reader of this state reads all of the text."""
        text = message.encode()[: HEADER_BYTES - self.ERROR_OFFSET]
        self._segment.memory[self.ERROR_OFFSET : self.ERROR_OFFSET + len(text)] = text
        self._error_bytes = len(text)
        self.state = state

    def close(self) -> None:
        self._segment.close()

    def unlink(self) -> None:
        self._segment.unlink()
