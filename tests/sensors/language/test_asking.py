"""Deadline, budget and checks of answers, outside the backend, on a manual clock."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from sage.mailbox.clock import ManualClock
from sage.sensors.language.asking import MAX_LEFT, Answer, Asker, AskingLimits, cut
from sage.sensors.language.budget import Budget
from sage.sensors.language.embedders import HashingEmbedder
from sage.sensors.language.model import AskFailed, LanguageModel, ModelReply

SIZE = 16
LIMITS = AskingLimits(size=SIZE, deadline_secs=2.0, max_text_bytes=32, unknown_confidence=0.4)


class Scripted:
    """A model that returns, or raises, what it is given."""

    def __init__(self, *script: ModelReply | Exception) -> None:
        self._script = iter(script)

    def ask(self, prompt: str, deadline_secs: float) -> ModelReply:
        entry = next(self._script)
        if isinstance(entry, Exception):
            raise entry
        return entry

    def close(self) -> None: ...


class Hanging:
    """A model whose calls return once `release` is called."""

    def __init__(self) -> None:
        self._may_return = threading.Event()
        self.entered = threading.Semaphore(0)

    def ask(self, prompt: str, deadline_secs: float) -> ModelReply:
        self.entered.release()
        self._may_return.wait()
        return ModelReply(text="too late")

    def close(self) -> None: ...

    def release(self) -> None:
        self._may_return.set()


def budget(calls: float = 1e6, tokens: float = 1e9, secs: float = 1e9) -> Budget:
    return Budget(calls_a_minute=calls, tokens_an_hour=tokens, secs_an_hour=secs)


def asker_of(model: LanguageModel, clock: ManualClock, *, is_inline: bool = True, **given: object) -> Asker:
    kept = {"budget": budget(), "check": None} | given
    return Asker(
        model,
        HashingEmbedder(SIZE),
        kept["budget"],
        LIMITS,
        clock,
        check=kept["check"],
        is_inline=is_inline,
    )


def asked(asker: Asker, prompt: str = "p", sequence: int = 0) -> Answer:
    assert asker.start(prompt, sequence) == ""
    answer = asker.poll()
    assert answer is not None
    return answer


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    model = Hanging()
    yield model
    model.release()


def test_an_answer_is_complete() -> None:
    clock = ManualClock(5)
    asker = asker_of(Scripted(ModelReply(text=" It is warm. ", num_tokens=7)), clock)
    answer = asked(asker, sequence=3)
    assert (answer.sequence, answer.text, answer.asked_ns, answer.num_tokens) == (3, "It is warm.", 5, 7)
    assert answer.confidence == LIMITS.unknown_confidence
    assert answer.embedding.dtype == np.float32
    np.testing.assert_array_equal(answer.embedding, HashingEmbedder(SIZE).embed("It is warm.", 1.0))
    assert asker.poll() is None
    assert (asker.record.num_answered, asker.budget.num_tokens) == (1, 7)


@pytest.mark.parametrize(
    ("reply", "failure"),
    [
        (ModelReply(text="  "), "empty"),
        (ModelReply(text=3), "empty"),  # type: ignore[arg-type]
        (ModelReply(text="a", embedding=np.full(SIZE, np.nan)), "embedding"),
        (ModelReply(text="a", embedding=np.full(SIZE, np.inf)), "embedding"),
        (ModelReply(text="a", embedding=np.ones(SIZE + 1)), "embedding"),
        (ModelReply(text="a", embedding=np.ones((SIZE, 1))), "embedding"),
        (ModelReply(text="a", embedding=np.zeros(SIZE)), "embedding"),
        (ModelReply(text="a", embedding=["x"] * SIZE), "embedding"),  # type: ignore[arg-type]
        (ModelReply(text="?!"), "embedding"),  # no word to embed
        (AskFailed("refused", "no connection"), "refused"),
        (RuntimeError("boom"), "error"),
    ],
)
def test_a_bad_answer_is_a_failure_and_the_next_one_counts(
    reply: ModelReply | Exception, failure: str
) -> None:
    asker = asker_of(Scripted(reply, ModelReply(text="good")), ManualClock())
    assert asker.start("p", 0) == ""
    with pytest.raises(AskFailed) as failed:
        asker.poll()
    assert failed.value.failure == failure
    assert asker.record.failures == {failure: 1}
    assert asked(asker, sequence=1).text == "good"


def test_a_call_that_does_not_return_is_left_at_its_deadline(hanging: Hanging) -> None:
    clock = ManualClock()
    asker = asker_of(hanging, clock, is_inline=False)
    for number in range(MAX_LEFT):
        assert asker.start("p", number) == ""
        hanging.entered.acquire()
        clock.advance(round(1.9e9))
        assert asker.poll() is None
        clock.advance(round(0.2e9))
        with pytest.raises(AskFailed, match="no answer within 2 s"):
            asker.poll()
        assert not asker.is_waiting
    assert "2 earlier calls" in asker.start("p", 9)
    assert asker.record.failures == {"timeout": MAX_LEFT, "busy": 1}
    assert asker.budget.num_secs == pytest.approx(2.1 * MAX_LEFT)


def test_an_answer_after_the_deadline_is_not_used() -> None:
    clock = ManualClock()
    asker = asker_of(Scripted(ModelReply(text="late")), clock)
    asker.start("p", 0)
    clock.advance(round(2.1e9))
    with pytest.raises(AskFailed, match="no answer within"):
        asker.poll()


@pytest.mark.parametrize(
    ("limited", "name"),
    [(budget(calls=2), "calls a minute"), (budget(tokens=10), "tokens an hour"), (budget(secs=1), "seconds")],
)
def test_a_budget_ends_the_calls_and_comes_back(limited: Budget, name: str) -> None:
    clock = ManualClock()
    model = Scripted(*[ModelReply(text="ok", num_tokens=5)] * 4)
    asker = asker_of(model, clock, budget=limited)
    for number in range(2):
        assert asker.start("p", number) == ""
        clock.advance(round(0.5e9))
        assert asker.poll() is not None
    assert name in asker.start("p", 2)
    assert limited.num_refused == 1
    clock.advance(3601 * 10**9)
    assert asked(asker, sequence=3).text == "ok"


def test_tokens_are_estimated_where_the_backend_does_not_count_them() -> None:
    asker = asker_of(Scripted(ModelReply(text="12345")), ManualClock())
    assert asked(asker, prompt="1234567").num_tokens == 3


def test_a_long_text_is_cut_between_characters() -> None:
    asker = asker_of(Scripted(ModelReply(text="é" * 20)), ManualClock())
    assert asked(asker).text == "é" * 16
    assert asker.record.num_cut == 1
    assert cut("aé", 2) == "a"


@pytest.mark.parametrize(("given", "confidence"), [(0.7, 0.7), (1.7, 1.0), (-1.0, 0.0), (float("nan"), 0.4)])
def test_a_confidence_is_within_its_range(given: float, confidence: float) -> None:
    asker = asker_of(Scripted(ModelReply(text="a b", confidence=given)), ManualClock())
    assert asked(asker).confidence == pytest.approx(confidence)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"confidence": "high"}, "confidence is 'high': give a number, or None"),
        ({"num_tokens": "many"}, "num_tokens is 'many': give a number, or None"),
        ({"num_tokens": float("inf")}, "num_tokens is inf"),
    ],
)
def test_a_reply_with_something_else_than_a_number_is_a_failure(given: dict[str, Any], reason: str) -> None:
    asker = asker_of(Scripted(ModelReply(text="yes", **given), ModelReply(text="yes")), ManualClock())
    assert asker.start("p", 0) == ""
    with pytest.raises(AskFailed, match=reason):
        asker.poll()
    assert asker.record.failures == {"garbage": 1}
    assert asked(asker, sequence=1).text == "yes"


def test_a_checker_gives_its_verdict() -> None:
    def check(text: str, prompt: str) -> float:
        return float(text in prompt)

    asker = asker_of(Scripted(ModelReply(text="warm"), ModelReply(text="cold")), ManualClock(), check=check)
    assert asked(asker, prompt="is it warm").right == 1.0
    assert asked(asker, prompt="is it warm").right == 0.0
