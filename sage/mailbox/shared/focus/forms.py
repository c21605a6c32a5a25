"""What a slot can hold, worked out once for each shape and dtype: the spec, numpy's view of it, and the
table's words.

Invariant: a form fits a slot of this pool, whoever described it: a user, or the words that another process
wrote.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sage.errors import InputError
from sage.mailbox.local.intake import numpy_dtype
from sage.mailbox.shared.focus.layout import spec_bytes, spec_from
from sage.mailbox.tensor_spec import TensorSpec

_BYTES_DATA = bytes.__basicsize__ - 1  # where an object of bytes keeps them
_MANY = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """words: of the table, as bytes that lie at `words_at` for as long as this lives."""

    spec: TensorSpec
    shape: tuple[int, ...]
    dtype: np.dtype
    words: bytes
    words_at: int


class Forms:
    """Those that one handle has met lately."""

    def __init__(self, name: str, slot_bytes: int) -> None:
        self._name, self._slot_bytes = name, slot_bytes
        self.asked: dict[tuple[tuple[int, ...], str], Form] = {}  # by shape and dtype
        self.found: dict[bytes, Form] = {}  # by the table's words

    def ask(self, shape: tuple[int, ...], dtype: str) -> Form:
        """InputError for a tensor that no slot can hold."""
        spec = TensorSpec(shape=tuple(shape), dtype=dtype)
        if spec.num_bytes > self._slot_bytes:
            raise InputError(
                f"{self._name}: {dtype} {spec.shape} takes {spec.num_bytes} bytes, a slot has"
                f" {self._slot_bytes}: raise slot_bytes"
            )
        if len(self.asked) >= _MANY:
            self.asked.clear()
        form = self.asked[spec.shape, dtype] = _form_of(spec)
        return form

    def find(self, words: bytes) -> Form:
        """MailboxError for words that make no sense."""
        if len(self.found) >= _MANY:
            self.found.clear()
        form = self.found[words] = _form_of(spec_from(words, self._slot_bytes))
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
