"""What a session learned to solve: answers of every level of a puzzle stream, and what its nights changed.

Invariant: constant memory; a share is of answers that had a result.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from sage.app.terminal.figures import count, number, percent, signed
from sage.runtime.report import NAN, AnswerFacts, SleepOutcome, SleepReport, SolvingFacts

#: Answers at each end of a session that its first and its last share are of.
NUM_COMPARED = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelFigures:
    """One level in this session. first, last: share right of its first and its last NUM_COMPARED answers (of
    num_first and num_last where there were fewer).  num_segments, confidence: mean of an answer.
    held_out: share right of num_held_out puzzles that the stream never poses, measured at the end.
    """

    name: str
    num_answered: int
    num_right: int
    num_abstained: int
    num_first: int
    first: float
    num_last: int
    last: float
    num_segments: float
    confidence: float
    num_held_out: int = 0
    held_out: float = NAN


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamFigures:
    """One puzzle stream in this session; the counts of its learner are those at the end."""

    stream: str
    level: int
    levels: tuple[LevelFigures, ...]
    teacher_trust: float
    solver_trust: float
    num_steps: int
    loss: float
    num_experiences: int
    num_lost: int
    num_restarts: int
    num_swapped: int
    num_refused: int
    bytes_copied: int


@dataclass(slots=True)
class _LevelTally:
    name: str
    num_answered: int = 0
    num_right: int = 0
    num_abstained: int = 0
    num_segments: int = 0
    confidence: float = 0.0
    first: list[bool] = field(default_factory=list)
    last: deque[bool] = field(default_factory=lambda: deque(maxlen=NUM_COMPARED))
    held_out: tuple[int, int] = (0, 0)

    def add(self, answer: AnswerFacts) -> None:
        self.num_answered += 1
        self.num_right += answer.is_right
        self.num_abstained += answer.is_abstained
        self.num_segments += answer.num_segments
        self.confidence += answer.confidence
        self.last.append(answer.is_right)
        if len(self.first) < NUM_COMPARED:
            self.first.append(answer.is_right)

    def figures(self) -> LevelFigures:
        num, (num_held_out, num_solved) = self.num_answered, self.held_out
        return LevelFigures(
            name=self.name,
            num_answered=num,
            num_right=self.num_right,
            num_abstained=self.num_abstained,
            num_first=len(self.first),
            first=_share(sum(self.first), len(self.first)),
            num_last=len(self.last),
            last=_share(sum(self.last), len(self.last)),
            num_segments=_share(self.num_segments, num),
            confidence=_share(self.confidence, num),
            num_held_out=num_held_out,
            held_out=_share(num_solved, num_held_out),
        )


class SolvingTally:
    """Sums over a session. `add` each tick's facts of one stream; the notes are for the end."""

    def __init__(self) -> None:
        self._levels: dict[str, list[_LevelTally]] = {}
        self._last: dict[str, SolvingFacts] = {}

    def add(self, facts: SolvingFacts) -> None:
        if facts.stream not in self._levels:
            self._levels[facts.stream] = [_LevelTally(level.name) for level in facts.levels]
        for answer in facts.answers:
            self._levels[facts.stream][answer.level].add(answer)
        self._last[facts.stream] = facts

    def note_held_out(self, stream: str, level: int, num: int, num_solved: int) -> None:
        self._levels[stream][level].held_out = (num, num_solved)

    def note_lost(self, stream: str, num_lost: int) -> None:
        """Experiences in all, known once the learner is closed."""
        if stream in self._last:
            self._last[stream] = replace(self._last[stream], num_lost=num_lost)

    def figures(self) -> tuple[StreamFigures, ...]:
        return tuple(
            StreamFigures(
                stream=stream,
                level=facts.level,
                levels=tuple(tally.figures() for tally in self._levels[stream]),
                teacher_trust=facts.teacher_trust,
                solver_trust=facts.solver_trust,
                num_steps=facts.num_steps,
                loss=facts.loss,
                num_experiences=facts.num_experiences,
                num_lost=facts.num_lost,
                num_restarts=facts.num_restarts,
                num_swapped=facts.num_swapped,
                num_refused=facts.num_refused,
                bytes_copied=facts.bytes_copied,
            )
            for stream, facts in self._last.items()
        )


def learned_lines(stream: StreamFigures, sleeps: Sequence[SleepReport]) -> Iterator[str]:
    """What it learned to do, one line a level, then what the last night changed, if there was one."""
    begun = [level for level in stream.levels if level.num_answered]
    for level in begun:
        yield _level_line(level)
    if not begun:
        yield "no answer had a result"
    nights = [report for report in sleeps if report.stream == stream.stream]
    if nights:
        yield _night_line(nights)
    yield _learner_line(stream)


def _level_line(level: LevelFigures) -> str:
    if level.num_answered < NUM_COMPARED:
        text = f"{level.name} begun: {percent(level.last)} right of {count(level.num_answered)} answers"
    else:
        text = (
            f"{level.name}: {percent(level.first)} right of the first {level.num_first} answers,"
            f" {percent(level.last)} of the last {level.num_last}, of {count(level.num_answered)}"
        )
    if level.num_held_out:
        text += f"; {percent(level.held_out, 1)} of {level.num_held_out} held-out puzzles"
    return text


def _night_line(nights: Sequence[SleepReport]) -> str:
    examined = [report for report in nights if report.levels]
    if not examined:
        last = nights[-1]
        return f"nights: none examined ({last.outcome.value.replace('_', ' ')}: {last.reason})"
    report = examined[-1]
    verb = "changed" if report.outcome is SleepOutcome.ACCEPTED else "would have changed"
    changes = "; ".join(
        f"{level.level} by {signed(100 * (level.after - level.before), 1)} points"
        f" ({signed(100 * level.gain_low, 1)} to {signed(100 * level.gain_high, 1)}, of {level.num})"
        for level in report.levels
    )
    outcome = report.outcome.value.replace("_", " ")
    which = "the night" if len(examined) == 1 else f"the last of {len(examined)} nights"
    return f"{which} ({outcome}) {verb} {changes}"


def _learner_line(stream: StreamFigures) -> str:
    text = (
        f"{count(stream.num_steps)} training steps, loss {number(stream.loss)}; weights taken"
        f" {count(stream.num_swapped)} times, refused {count(stream.num_refused)}"
    )
    if stream.num_lost:
        text += f"; {count(stream.num_lost)} experiences lost"
    if stream.num_restarts:
        text += f"; the trainer restarted {count(stream.num_restarts)} times"
    if stream.teacher_trust == stream.teacher_trust:
        text += f"; trust in the teacher {number(stream.teacher_trust)}"
    if stream.solver_trust == stream.solver_trust:
        text += f"; trust in the answers {number(stream.solver_trust)}"
    return text


def _share(part: float, whole: int) -> float:
    return part / whole if whole else NAN
