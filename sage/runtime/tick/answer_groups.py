"""Sources that answer the same question, one group a topic: their exchanges, fused answers and outcomes.

A group of answers has sources with one embedding space; an exchange is the answers to one question, by the
number that is their sequence. A group of classes has sources with probabilities of the same classes.
Invariant: an answer that comes after its exchange was closed is not used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sage.runtime.trust.answers.embedding import EmbeddingTrust, FusedAnswers
from sage.runtime.trust.answers.pool import LogPool
from sage.sensors.contract import SensorSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One question. answers: (n, D), NaN where a source did not answer.  texts: "" where there is none."""

    sequence: int
    answers: np.ndarray
    confidence: np.ndarray
    right: np.ndarray
    texts: list[str]

    @property
    def has_answered(self) -> np.ndarray:
        """(n,) bool"""
        has_answered: np.ndarray = np.isfinite(self.answers).all(axis=1)
        return has_answered


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """An exchange that was fused. text: of the source closest to the fused embedding, "" without one."""

    exchange: Exchange
    fused: FusedAnswers
    nearest: str
    text: str


class AnswerGroup:
    """indices: of its sources in the run.  outcome: index of the source that returns what was right, or None.
    last: the exchange that was closed last.  num_late: answers after their exchange.
    """

    def __init__(self, indices: Sequence[int], specs: Sequence[SensorSpec], outcome: int | None) -> None:
        self.indices = np.array(indices)
        self.names = [spec.name for spec in specs]
        self.outcome = outcome
        self.trust = EmbeddingTrust(len(specs), lineage_groups([spec.lineage for spec in specs]))
        self.last: Closed | None = None
        self.num_late = 0
        self._size = specs[0].tensor.num_elements
        self._open: Exchange | None = None

    def add_answer(
        self,
        member: int,
        sequence: int,
        answer: np.ndarray,
        confidence: float,
        text: str,
        right: float | None,
    ) -> Closed | None:
        """One answer. Returns the exchange before, where this one begins another."""
        closed = None
        if self._open is not None and sequence > self._open.sequence:
            closed = self._close()
        if self._open is None:
            if self.last is not None and sequence <= self.last.exchange.sequence:
                self.num_late += 1
                return None
            self._open = self._begin(sequence)
        if sequence < self._open.sequence:
            self.num_late += 1
            return closed
        self._open.answers[member] = answer
        self._open.confidence[member] = confidence
        self._open.texts[member] = text
        self._open.right[member] = np.nan if right is None else right
        return closed

    def settle(self, is_running: np.ndarray) -> Closed | None:
        """Close the exchange once every running source has answered. is_running: (n,) bool."""
        if self._open is None or not (self._open.has_answered | ~is_running).all():
            return None
        return self._close()

    def learn_outcome(self, outcome: np.ndarray) -> np.ndarray:
        """(n,) how right each answer of the last exchange was, 0..1, NaN without one; trust learns it."""
        if self.last is None:
            return np.full(len(self.names), np.nan)
        return self.trust.learn_outcome(self.last.exchange.answers, outcome)

    def _begin(self, sequence: int) -> Exchange:
        num = len(self.names)
        return Exchange(
            sequence=sequence,
            answers=np.full((num, self._size), np.nan),
            confidence=np.zeros(num),
            right=np.full(num, np.nan),
            texts=[""] * num,
        )

    def _close(self) -> Closed:
        exchange, self._open = self._open, None
        assert exchange is not None
        fused = self.trust.meet(exchange.answers, exchange.confidence, exchange.right)
        is_fused = fused.nearest >= 0
        self.last = Closed(
            exchange=exchange,
            fused=fused,
            nearest=self.names[fused.nearest] if is_fused else "",
            text=exchange.texts[fused.nearest] if is_fused else "",
        )
        return self.last


class ClassGroup:
    """pooled: (K,) of the newest answers, NaN before the first.  label: index of the source that returns the
    right class, or None.
    """

    def __init__(self, indices: Sequence[int], specs: Sequence[SensorSpec], label: int | None) -> None:
        self.indices = np.array(indices)
        self.names = [spec.name for spec in specs]
        self.label = label
        self.num_classes = specs[0].tensor.num_elements
        self.trust = LogPool(len(specs), self.num_classes)
        self.pooled = np.full(self.num_classes, np.nan)
        self.chosen = -1
        self._given = np.full((len(specs), self.num_classes), np.nan)

    def add_answers(self, answers: dict[int, np.ndarray], is_usable: np.ndarray) -> bool:
        """New probabilities by member; (n,) bool, members whose newest reading is not too old. Returns
        whether another class has the highest pooled probability.
        """
        for member, answer in answers.items():
            self._given[member] = answer
        self._given[~is_usable] = np.nan
        self.pooled = self.trust.fuse(self._given)
        if self.label is None and answers:
            self.trust.update(self._given)
        before, self.chosen = self.chosen, int(np.argmax(self.pooled)) if np.isfinite(self.pooled[0]) else -1
        return self.chosen not in (before, -1)

    def learn_label(self, label: int) -> np.ndarray:
        """(n,) the probability that each source gave to the right class, NaN without an answer."""
        self.trust.update(self._given, label)
        has_answered = np.isfinite(self._given).all(axis=1)
        right: np.ndarray = np.where(has_answered, self._given[:, label], np.nan)
        return right


def lineage_groups(lineages: Sequence[tuple[str, ...]]) -> np.ndarray:
    """(n,) equal numbers for sources that share a name in their lineage, directly or through others."""
    groups = np.arange(len(lineages))
    for one, names in enumerate(lineages):
        for other in range(one):
            if set(names) & set(lineages[other]):
                groups[groups == groups[one]] = groups[other]
    return groups
