"""Ask a language model within a deadline and a budget, and check what it returns.

Both are enforced here, outside the backend: a call that does not return is left to its thread, which is a
daemon, and counted. Invariants: at most one call is waited for, at most MAX_LEFT others still run; an Answer
is complete, finite and bounded.
"""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from numbers import Real

import numpy as np

from sage.errors import SageError, pass_on
from sage.mailbox.clock import Clock
from sage.sensors.language.budget import Budget
from sage.sensors.language.model import AskFailed, Embedder, LanguageModel, ModelReply

MAX_LEFT = 2
#: Where a backend does not count tokens: one for each so many bytes of prompt and text.
BYTES_A_TOKEN = 4

#: (text, prompt) -> 0..1, or None.
Check = Callable[[str, str], float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """text: within the limit of bytes.  embedding: (D,) float32, finite, not all zeros.  confidence: 0..1.
    right: 0..1 by the checker, None where it has no verdict.  asked_ns, answered_ns: on the run's clock.
    """

    sequence: int
    text: str
    embedding: np.ndarray
    confidence: float
    right: float | None
    asked_ns: int
    answered_ns: int
    num_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AskingLimits:
    """deadline_secs: of one call, embedding included.  max_text_bytes: UTF-8, more is cut off.
    unknown_confidence: where the backend gives none.
    """

    size: int
    deadline_secs: float
    max_text_bytes: int
    unknown_confidence: float


@dataclass(slots=True, kw_only=True)
class AskingRecord:
    """What one asker leaves to the next of its source. left: calls that had not returned.

    num_answered, num_cut: answers, and of those with a text that was cut off.  failures: by kind.
    """

    left: list[_Call] = field(default_factory=list)
    num_answered: int = 0
    num_cut: int = 0
    failures: Counter[str] = field(default_factory=Counter)


class Asker:
    """One model with its embedder. `start` begins a call, `poll` returns its answer once.

    is_inline: calls run in `start`, on the caller's thread; for functions that return at once.
    record: of the askers before it; it is continued.
    """

    def __init__(
        self,
        model: LanguageModel,
        embedder: Embedder | None,
        budget: Budget,
        limits: AskingLimits,
        clock: Clock,
        *,
        check: Check | None = None,
        is_inline: bool = False,
        record: AskingRecord | None = None,
    ) -> None:
        self._model = model
        self._embedder = embedder
        self._limits = limits
        self._clock = clock
        self._check = check
        self._is_inline = is_inline
        self._call: _Call | None = None
        self.budget = budget
        self.record = record or AskingRecord()

    @property
    def is_waiting(self) -> bool:
        return self._call is not None

    def start(self, prompt: str, sequence: int) -> str:
        """Begin a call: "" or why not, which is counted. Nothing may be waited for."""
        assert self._call is None
        record = self.record
        record.left = [call for call in record.left if call.is_alive]
        if len(record.left) >= MAX_LEFT:
            record.failures["busy"] += 1
            return f"{len(record.left)} earlier calls have not returned"
        now_ns = self._clock.now_ns()
        reason = self.budget.admit(now_ns)
        if reason:
            return reason
        self._call = _Call(self._ask, prompt, sequence, now_ns)
        self._call.begin(is_inline=self._is_inline)
        return ""

    def poll(self) -> Answer | None:
        """The answer, once; None while there is none. AskFailed, once, where the call failed."""
        call = self._call
        if call is None:
            return None
        now_ns = self._clock.now_ns()
        secs = (now_ns - call.started_ns) * 1e-9
        is_late = secs > self._limits.deadline_secs
        if not (call.is_done or is_late):
            return None
        self._call = None
        reply = call.reply
        self.budget.settle(now_ns, _num_tokens(call.prompt, reply), secs)
        try:
            if is_late:
                raise AskFailed("timeout", f"no answer within {self._limits.deadline_secs:g} s")
            if call.error is not None:
                raise _described(call.error)
            assert reply is not None
            answer = self._answer(call, reply, now_ns)
        except AskFailed as failed:
            self.record.failures[failed.failure] += 1
            if call.is_alive:
                self.record.left.append(call)
            raise
        self.record.num_answered += 1
        return answer

    def close(self) -> None:
        """Leave the call in progress."""
        if self._call is not None:
            self.record.left.append(self._call)
            self._call = None
        self._model.close()

    def _ask(self, call: _Call) -> None:
        """On the call's thread: the text, its embedding and its verdict."""
        deadline_ns = call.started_ns + round(self._limits.deadline_secs * 1e9)
        reply = self._model.ask(call.prompt, self._limits.deadline_secs)
        if not isinstance(reply.text, str) or not reply.text.strip():
            raise AskFailed("empty", "the answer has no text")
        _check_numbers(reply)
        text = cut(reply.text.strip(), self._limits.max_text_bytes)
        embedding = reply.embedding
        if embedding is None and self._embedder is not None:
            left_secs = max((deadline_ns - self._clock.now_ns()) * 1e-9, 1e-3)
            embedding = self._embedder.embed(text, left_secs)
        call.right = None if self._check is None else self._check(text, call.prompt)
        call.reply = ModelReply(
            text=text, embedding=embedding, confidence=reply.confidence, num_tokens=reply.num_tokens
        )
        call.is_cut = text != reply.text.strip()

    def _answer(self, call: _Call, reply: ModelReply, now_ns: int) -> Answer:
        self.record.num_cut += call.is_cut
        confidence = reply.confidence
        if confidence is None or not np.isfinite(confidence):
            confidence = self._limits.unknown_confidence
        return Answer(
            sequence=call.sequence,
            text=reply.text,
            embedding=checked_embedding(reply.embedding, self._limits.size),
            confidence=min(max(float(confidence), 0.0), 1.0),
            right=call.right,
            asked_ns=call.started_ns,
            answered_ns=now_ns,
            num_tokens=_num_tokens(call.prompt, reply),
        )


class _Call:
    """One call, on a thread of its own."""

    def __init__(self, ask: Callable[[_Call], None], prompt: str, sequence: int, started_ns: int) -> None:
        self.prompt = prompt
        self.sequence = sequence
        self.started_ns = started_ns
        self.reply: ModelReply | None = None
        self.right: float | None = None
        self.is_cut = False
        self.error: BaseException | None = None
        self.is_done = False
        self._ask = ask
        self._thread: threading.Thread | None = None

    @property
    def is_alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def begin(self, *, is_inline: bool) -> None:
        if is_inline:
            self._run()
            return
        # A daemon: a backend that never returns must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="language-model", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._ask(self)
        except BaseException as error:  # around a backend: counted and shown by the asker
            pass_on(error)
            self.error = error
        self.is_done = True


def _check_numbers(reply: ModelReply) -> None:
    """AskFailed where a backend gave something else than a number. A confidence of NaN is unknown."""
    given: tuple[tuple[str, object], ...] = (
        ("confidence", reply.confidence),
        ("num_tokens", reply.num_tokens),
    )
    for name, value in given:
        is_number = isinstance(value, Real) and (name == "confidence" or math.isfinite(value))
        if value is not None and not is_number:
            raise AskFailed("garbage", f"{name} is {cut(repr(value), 80)}: give a number, or None")


def checked_embedding(embedding: object, size: int) -> np.ndarray:
    """(size,) float32. AskFailed for a vector of another size, that is not finite, or all zeros."""
    if embedding is None:
        raise AskFailed("embedding", "the answer has no embedding")
    try:
        vector = np.asarray(embedding, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise AskFailed("embedding", f"the embedding is not a vector of numbers: {error}") from None
    if vector.shape != (size,):
        raise AskFailed("embedding", f"the embedding is of shape {vector.shape}, not {(size,)}")
    if not np.isfinite(vector).all():
        raise AskFailed("embedding", "the embedding has NaN or infinity")
    if not vector.any():
        raise AskFailed("embedding", "the embedding is all zeros")
    return vector


def cut(text: str, max_bytes: int) -> str:
    """The first `max_bytes` bytes of the text in UTF-8, whole characters only."""
    encoded = text.encode("utf-8", "replace")
    return text if len(encoded) <= max_bytes else encoded[:max_bytes].decode("utf-8", "ignore")


def _described(error: BaseException) -> AskFailed:
    if isinstance(error, AskFailed):
        return error
    message = str(error) if isinstance(error, SageError) else f"{type(error).__name__}: {error}"
    return AskFailed("error", cut(message, 400))


def _num_tokens(prompt: str, reply: ModelReply | None) -> int:
    if reply is not None and reply.num_tokens is not None:
        return max(int(reply.num_tokens), 0)
    text = "" if reply is None else reply.text
    return -(
        -(len(prompt.encode("utf-8", "replace")) + len(text.encode("utf-8", "replace"))) // BYTES_A_TOKEN
    )
