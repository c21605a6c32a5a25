"""Conversion between text and a model's token numbers. Imports no torch.

Invariant: `decode(encode(text))` is the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


class Tokenizer(Protocol):
    """Converts text to token numbers in 0..vocab_size - 1 and back; other libraries' tokenizers need a small
    wrapper.
    """

    @property
    def vocab_size(self) -> int: ...

    def encode(self, text: str) -> list[int]: ...

    def decode(self, tokens: Sequence[int]) -> str: ...


@dataclass(frozen=True, slots=True)
class ByteTokenizer:
    """UTF-8 bytes, as in the tasks `text` and `brackets`. Invalid bytes decode to U+FFFD."""

    @property
    def vocab_size(self) -> int:
        return 256

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def decode(self, tokens: Sequence[int]) -> str:
        return bytes(tokens).decode(errors="replace")


BYTES = ByteTokenizer()
