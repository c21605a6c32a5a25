"""The contract of language models: a prompt in; a text, and what came with it, out. Imports no torch.

`ask` may take as long as `deadline_secs`; its caller enforces that and everything else about the answer (see
`sage.sensors.language.asking`), so that a backend only translates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, get_args, runtime_checkable

import numpy as np

from sage.sensors.contract import SensorError

#: refused: no connection.  timeout: no answer in time.  status: an HTTP status other than 200, a redirect
#: included.  garbage: not the JSON of the protocol.  size: more bytes than allowed.  empty: no text.
#: embedding: not finite, all zeros, or of another size.  error: an exception of the backend.  busy: earlier
#: calls that did not return are still running.
Failure = Literal["refused", "timeout", "status", "garbage", "size", "empty", "embedding", "error", "busy"]
FAILURES: tuple[Failure, ...] = get_args(Failure)


class AskFailed(SensorError):
    """One call without a usable answer. failure: of which kind."""

    def __init__(self, failure: Failure, message: str) -> None:
        super().__init__(message)
        self.failure: Failure = failure


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelReply:
    """What a model returned. embedding: (D,) or None.  confidence: 0..1 or None.  num_tokens: of prompt and
    text, None where the backend does not count them.
    """

    text: str
    embedding: np.ndarray | None = None
    confidence: float | None = None
    num_tokens: int | None = None


@runtime_checkable
class LanguageModel(Protocol):
    """One backend. Used by one thread at a time, not always the same."""

    def ask(self, prompt: str, deadline_secs: float) -> ModelReply:
        """AskFailed where there is no answer. deadline_secs: above 0; a backend that can, ends by then."""
        ...

    def close(self) -> None:
        """Safe to call twice, and while `ask` runs on another thread."""
        ...


@runtime_checkable
class Embedder(Protocol):
    """Text to a vector. space: a name, equal for embedders whose vectors can be compared."""

    @property
    def space(self) -> str: ...

    @property
    def size(self) -> int: ...

    def embed(self, text: str, deadline_secs: float) -> np.ndarray:
        """(size,) float32. AskFailed where there is none."""
        ...
