"""A language model as a sensor (kind: language): one question each period, one answer a reading.

A reading is the answer's embedding, with the confidence and the time of the question; the text goes to the
run's board, from where the loop makes it an event. Its sequence is the number of the question since the run's
start, so that sources with equal periods answer the same question under the same number; a question without
an answer is a gap. `read_into` never waits for the model. Invariant: no failure of a backend leaves the
sensor; several in a row are a SensorError.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from sage.mailbox.tensor_spec import TensorSpec
from sage.sensors.board import ANSWER, AnswerText, Board, Posted
from sage.sensors.contract import Reading, SensorContext, SensorError, SensorSpec
from sage.sensors.language.asking import Answer, Asker, AskingLimits
from sage.sensors.language.backends import check_of, embedder_for, model_for
from sage.sensors.language.budget import Budget
from sage.sensors.language.config import LanguageConfig
from sage.sensors.language.model import AskFailed
from sage.sensors.language.prompt import PromptTemplate

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageStatistics:
    """Counts since the sensor was made. failures: by kind.  num_over_budget: questions not asked.
    num_skipped: questions that were due during a call.  num_cut: answers with a text that was cut off.
    """

    num_asked: int
    num_answered: int
    num_cut: int
    num_skipped: int
    num_over_budget: int
    num_tokens: int
    num_secs: float
    failures: Mapping[str, int] = field(default_factory=dict)


class LanguageSensor:
    """Asks on the run's clock. latest: the last answer, None before the first."""

    Config = LanguageConfig

    def __init__(self, config: LanguageConfig, context: SensorContext) -> None:
        self._config = config
        self._clock = context.clock
        self._epoch_ns = context.epoch_ns
        self._board = context.board if isinstance(context.board, Board) else None
        self._template = PromptTemplate(config.prompt)
        self._period_ns = round(config.period_secs * 1e9)
        embedder = embedder_for(config)
        space = embedder.space if embedder is not None else f"{config.function} {config.embedding_size}"
        self._asker = Asker(
            model_for(config),
            embedder,
            Budget(
                calls_a_minute=config.calls_a_minute,
                tokens_an_hour=config.tokens_an_hour,
                secs_an_hour=config.secs_an_hour,
            ),
            AskingLimits(
                size=config.embedding_size,
                deadline_secs=config.deadline_secs,
                max_text_bytes=config.max_text_bytes,
                unknown_confidence=config.unknown_confidence,
            ),
            context.clock,
            check=check_of(config),
            is_inline=config.returns_at_once,
        )
        self.latest: Answer | None = None
        self._is_open = False
        self._next = 0
        self._num_skipped = 0
        self._num_failed_in_a_row = 0
        self._refusal = ""
        if self._board is not None and self._template.has_fields:
            self._board.has_readers = True
        self._spec = SensorSpec(
            name=config.name,
            modality="cognitive",
            tensor=TensorSpec(shape=(config.embedding_size,), dtype="float32"),
            period_ns=self._period_ns,
            observes=(f"{ANSWER}:{config.topic}" if config.topic else ANSWER, space),
            lineage=config.lineage,
            is_bounded=config.returns_at_once,
        )

    @property
    def spec(self) -> SensorSpec:
        return self._spec

    @property
    def statistics(self) -> LanguageStatistics:
        asker = self._asker
        return LanguageStatistics(
            num_asked=asker.budget.num_calls,
            num_answered=asker.num_answered,
            num_cut=asker.num_cut,
            num_skipped=self._num_skipped,
            num_over_budget=asker.budget.num_refused,
            num_tokens=asker.budget.num_tokens,
            num_secs=asker.budget.num_secs,
            failures=dict(asker.failures),
        )

    def age_secs(self) -> float:
        """Since the question of the latest answer; NaN before the first."""
        if self.latest is None:
            return float("nan")
        return (self._clock.now_ns() - self.latest.asked_ns) * 1e-9

    def open(self) -> None:
        """InputError for a prompt that reads a source which the run does not have."""
        if self._board is not None:
            self._template.check(self._board)
        self._next = max(self._next, self._question(self._clock.now_ns()))
        self._is_open = True

    def read_into(self, out: np.ndarray) -> Reading | None:
        if not self._is_open:
            raise SensorError(f"{self._spec.name}: read while closed: call open() first")
        answer = self._poll()
        if answer is None and not self._asker.is_waiting:
            self._begin()
            answer = self._poll()
        if answer is None:
            return None
        out[:] = answer.embedding
        return Reading(
            captured_ns=answer.asked_ns,
            received_ns=answer.answered_ns,
            sequence=answer.sequence,
            confidence=answer.confidence,
        )

    def close(self) -> None:
        self._is_open = False
        self._asker.close()

    def _question(self, now_ns: int) -> int:
        return max(0, (now_ns - self._epoch_ns) // self._period_ns)

    def _begin(self) -> None:
        """Ask the question that is due, if any."""
        due = self._question(self._clock.now_ns())
        if due < self._next:
            return
        self._num_skipped += due - self._next
        self._next = due + 1
        posted = Posted() if self._board is None else self._board.posted
        reason = self._asker.start(self._template.render(posted), due)
        if reason != self._refusal and reason:
            self._note(f"not asked: {reason}")
        self._refusal = reason

    def _poll(self) -> Answer | None:
        try:
            answer = self._asker.poll()
        except AskFailed as failed:
            self._num_failed_in_a_row += 1
            if self._num_failed_in_a_row >= self._config.max_failures:
                num, self._num_failed_in_a_row = self._num_failed_in_a_row, 0
                raise SensorError(
                    f"{self._spec.name}: {num} calls in a row without an answer, the last:"
                    f" {failed.failure}: {failed}"
                ) from None
            self._note(f"{failed.failure}: {failed}")
            return None
        if answer is None:
            return None
        self._num_failed_in_a_row = 0
        self.latest = answer
        if self._board is not None:
            answer_text = AnswerText(sequence=answer.sequence, text=answer.text, right=answer.right)
            self._board.post_text(self._spec.name, answer_text)
        return answer

    def _note(self, message: str) -> None:
        if self._board is not None:
            self._board.note(self._spec.name, message)
