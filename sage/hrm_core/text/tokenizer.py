"""Between text and the symbols of a model. Imports no torch.

Invariant: `decode(encode(text))` is the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


class Tokenizer(Protocol):
    """Whatever turns text into numbers below `vocab_size` and back; those of other libraries fit with a line
    around them.
    """

    @property
    def vocab_size(self) -> int: ...

    def encode(self, text: str) -> list[int]: ...

    def decode(self, tokens: Sequence[int]) -> str: ...


@dataclass(frozen=True, slots=True)
class ByteTokenizer:
    """UTF-8, byte by byte: as the tasks `text` and `brackets` spell their cells. Broken characters become
    U+FFFD.
    """

    @property
    def vocab_size(self) -> int:
        return 256

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def decode(self, tokens: Sequence[int]) -> str:
        return bytes(tokens).decode(errors="replace")


BYTES = ByteTokenizer()
