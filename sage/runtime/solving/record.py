"""What became of a stream's answers: counts by level, experiences for the learner, facts for reports.

Invariant: a solution that the task's rules refuse reaches no experience, unless labels are not checked.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sage.errors import InputError
from sage.hrm_core.solving.endings import EndingTrust
from sage.hrm_core.tasks.contract import Task
from sage.runtime.report import AnswerFacts, LevelFacts
from sage.runtime.solving.learner import PuzzleExperience, SolutionSource
from sage.runtime.solving.stream import StreamLevel
from sage.runtime.solving.teacher import TeacherTrust
from sage.runtime.solving.under_way import Answered
from sage.sensors.puzzle_messages import Result

#: Answers that `LevelFacts.recent` is of.
NUM_RECENT = 50
#: Given answers that wait for a result at most; the oldest is forgotten.
MAX_WAITING = 1024
#: Weight of an earlier reward in the reward at stake.
REWARD_MEMORY = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """An answer that was given, and waits for its result. decision: of the policy."""

    answered: Answered
    decision: str


class StreamRecord:
    """Counts of one stream. answers: facts of the results of this tick, until `take_answers`."""

    def __init__(self, levels: Sequence[StreamLevel], *, checks_labels: bool = True) -> None:
        self.teacher = TeacherTrust()
        self._checks_labels = checks_labels
        self._levels = levels
        self._waiting: dict[int, Given] = {}
        self._answers: list[AnswerFacts] = []
        self.num_unknown = 0
        self.clear()

    def clear(self) -> None:
        """Count from 0."""
        levels = self._levels
        self._num_answered = [0] * len(levels)
        self._num_right = [0] * len(levels)
        self._recent: list[deque[bool]] = [deque(maxlen=NUM_RECENT) for _ in levels]
        self._stake = [1.0] * len(levels)
        self._level_facts: tuple[LevelFacts, ...] | None = None
        self.endings = EndingTrust()

    def state(self) -> dict[str, np.ndarray]:
        """Copies of the counts, for a snapshot. `recent` is (levels, NUM_RECENT), -1 where there is none."""
        recent = np.full((len(self._levels), NUM_RECENT), -1, np.int8)
        for level, answers in enumerate(self._recent):
            recent[level, : len(answers)] = answers
        return {
            "names": _encoded_names(self._levels),
            "answered": np.array(self._num_answered, np.int64),
            "right": np.array(self._num_right, np.int64),
            "recent": recent,
            "stake": np.array(self._stake),
            "endings": self.endings.state(),
        }

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Restore counts. InputError, and nothing changed, where they are of other levels."""
        if not np.array_equal(state["names"], _encoded_names(self._levels)):
            raise InputError(f"its levels were {state['names'].tobytes().decode()}")
        self._num_answered = state["answered"].tolist()
        self._num_right = state["right"].tolist()
        self._recent = [
            deque((bool(each) for each in row if each >= 0), maxlen=NUM_RECENT) for row in state["recent"]
        ]
        self._stake = state["stake"].tolist()
        self._level_facts = None
        if "endings" in state:  # an earlier version has none
            self.endings.load_state(state["endings"])

    def stake(self, level: int) -> float:
        """The mean reward of a right answer at this level; 1 before the first."""
        return self._stake[level]

    def note_given(self, answered: Answered, decision: str) -> None:
        self._waiting[answered.puzzle.number] = Given(answered=answered, decision=decision)
        if len(self._waiting) > MAX_WAITING:
            del self._waiting[next(iter(self._waiting))]

    def note_reward(self, levels: Sequence[int], reward: float) -> None:
        """reward: the sum for the right answers of one tick, at these levels."""
        if not levels or not math.isfinite(reward):
            return
        share = reward / len(levels)
        for level in levels:
            self._stake[level] = REWARD_MEMORY * self._stake[level] + (1 - REWARD_MEMORY) * share

    def note_result(
        self, result: Result, tick: int, time_ns: int, episode: int = 0
    ) -> PuzzleExperience | None:
        """What the learner gets. None for the result of a puzzle that waits for none."""
        given = self._waiting.pop(result.number, None)
        if given is None:
            self.num_unknown += 1
            return None
        answered, level = given.answered, given.answered.puzzle.level
        self._num_answered[level] += 1
        self._num_right[level] += result.is_right
        self._recent[level].append(result.is_right)
        self._level_facts = None
        self.endings.note(answered.outcome, is_right=result.is_right)
        self._answers.append(_facts(given, result, tick))
        source, solution = self._solution(answered, result)
        return PuzzleExperience(
            number=result.number,
            level=level,
            cells=answered.puzzle.cells,
            answer=answered.cells,
            solution=solution,
            source=source,
            trust=1.0 if source is SolutionSource.VERIFIED else self.teacher.trust,
            is_right=result.is_right,
            confidence=answered.confidence,
            num_segments=answered.num_segments,
            num_calls=answered.num_calls,
            tick=tick,
            time_ns=time_ns,
            episode=episode,
        )

    def take_answers(self) -> tuple[AnswerFacts, ...]:
        answers, self._answers = tuple(self._answers), []
        return answers

    def levels(self) -> tuple[LevelFacts, ...]:
        """Made anew after a result only."""
        if self._level_facts is None:
            columns = zip(self._levels, self._num_answered, self._num_right, self._recent)
            self._level_facts = tuple(
                LevelFacts(
                    name=level.name,
                    num_answered=num_answered,
                    num_right=num_right,
                    recent=sum(recent) / len(recent) if recent else math.nan,
                )
                for level, num_answered, num_right, recent in columns
            )
        return self._level_facts

    def has_begun(self, level: int) -> bool:
        """Whether an answer at this level has had a result."""
        return self._num_answered[level] > 0

    def _solution(self, answered: Answered, result: Result) -> tuple[SolutionSource, np.ndarray | None]:
        """The solution to learn from: the teacher's if the rules accept it or labels are not checked, else an
        own answer that both the environment and the rules accept.
        """
        rules, cells = self._levels[answered.puzzle.level].task, answered.puzzle.cells
        if not answered.is_abstained and result.is_right and rules_accept(rules, cells, answered.cells):
            own = answered.cells
        else:
            own = None
        if result.solution is not None:
            is_accepted = rules_accept(rules, cells, result.solution)
            self.teacher.note(is_accepted)
            if own is None and (is_accepted or not self._checks_labels):
                return SolutionSource.TEACHER, result.solution
        return (SolutionSource.NONE, None) if own is None else (SolutionSource.VERIFIED, own)


def _encoded_names(levels: Sequence[StreamLevel]) -> np.ndarray:
    """As bytes, for a snapshot."""
    return np.frombuffer(", ".join(level.name for level in levels).encode(), np.uint8).copy()


def rules_accept(task: Task, cells: np.ndarray, answer: np.ndarray) -> bool:
    """Whether the task's rules accept an answer (L,) to the puzzle (L,); False for another shape."""
    return answer.shape == cells.shape and bool(task.verify(cells[None], answer[None])[0])


def _facts(given: Given, result: Result, tick: int) -> AnswerFacts:
    answered = given.answered
    return AnswerFacts(
        number=result.number,
        level=answered.puzzle.level,
        is_right=result.is_right,
        is_abstained=answered.is_abstained,
        decision=given.decision,
        num_segments=answered.num_segments,
        num_calls=answered.num_calls,
        confidence=answered.confidence,
        age_ticks=tick - answered.tick,
        num_open=answered.num_open,
        weights_changed=answered.weights_changed,
        ending=answered.outcome,
    )
