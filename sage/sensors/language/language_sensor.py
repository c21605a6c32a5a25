"""A language model as a sensor (kind: language): one question each period, one answer a reading.

A reading is the answer's embedding, with the confidence and the time of the question; the text goes to the
run's board, from where the loop makes it an event. Its sequence is the number of the question since the run's
start, so that sources with equal periods answer the same question under the same number; a question without
an answer is a gap. `read_into` never waits for the model. Invariants: no failure of a backend leaves the
sensor; several in a row are a SensorError. In a run a question is asked once, and the budget and the limit of
calls that have not returned are those of the source, however often it is opened again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from sage.mailbox.tensor_spec import TensorSpec
from sage.sensors.board import ANSWER, AnswerText, Board, Posted
from sage.sensors.contract import Reading, SensorContext, SensorError, SensorSpec
from sage.sensors.language.asking import Answer, Asker, AskingLimits, AskingRecord
from sage.sensors.language.backends import check_of, embedder_for, model_for
from sage.sensors.language.budget import Budget
from sage.sensors.language.config import LanguageConfig
from sage.sensors.language.model import AskFailed
from sage.sensors.language.prompt import PromptTemplate

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageStatistics:
    """Counts of the source since the run began; without a board, of this sensor. failures: by kind.
    num_over_budget: questions not asked.  num_skipped: questions that were due during a call.  num_cut:
    answers with a text that was cut off.
    """

    num_asked: int
    num_answered: int
    num_cut: int
    num_skipped: int
    num_over_budget: int
    num_tokens: int
    num_secs: float
    failures: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class _Kept:
    """Of a source, whatever instance asks. next_question: the first that was not asked or skipped."""

    budget: Budget
    record: AskingRecord = field(default_factory=AskingRecord)
    next_question: int = 0
    num_skipped: int = 0


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
        kept = _Kept(
            budget=Budget(
                calls_a_minute=config.calls_a_minute,
                tokens_an_hour=config.tokens_an_hour,
                secs_an_hour=config.secs_an_hour,
            )
        )
        self._kept = kept if self._board is None else self._board.kept(config.name, lambda: kept)
        embedder = embedder_for(config)
        space = embedder.space if embedder is not None else f"{config.function} {config.embedding_size}"
        self._asker = Asker(
            model_for(config),
            embedder,
            self._kept.budget,
            AskingLimits(
                size=config.embedding_size,
                deadline_secs=config.deadline_secs,
                max_text_bytes=config.max_text_bytes,
                unknown_confidence=config.unknown_confidence,
            ),
            context.clock,
            check=check_of(config),
            is_inline=config.returns_at_once,
            record=self._kept.record,
        )
        self.latest: Answer | None = None
        self._is_open = False
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
        budget, record = self._kept.budget, self._kept.record
        return LanguageStatistics(
            num_asked=budget.num_calls,
            num_answered=record.num_answered,
            num_cut=record.num_cut,
            num_skipped=self._kept.num_skipped,
            num_over_budget=budget.num_refused,
            num_tokens=budget.num_tokens,
            num_secs=budget.num_secs,
            failures=dict(record.failures),
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
        self._kept.next_question = max(self._kept.next_question, self._question(self._clock.now_ns()))
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
        due, kept = self._question(self._clock.now_ns()), self._kept
        if due < kept.next_question:
            return
        kept.num_skipped += due - kept.next_question
        kept.next_question = due + 1
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
