"""One puzzle stream in the loop: read, solve a segment at a time, answer, learn.

Invariant: the weights change only between two ticks (`adopt`), after a check; every puzzle under way then
starts again.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping

import numpy as np
import torch

from sage.errors import InputError
from sage.hrm_core.model_family import weights_digest
from sage.mailbox.clock import Clock
from sage.runtime.config import SolvingConfig
from sage.runtime.report import ActionFacts, SleepReport, SolvingFacts
from sage.runtime.scheduling.skips import NOT_DUE, WORDS
from sage.runtime.solving.learner import Offer
from sage.runtime.solving.messages import StreamMessages
from sage.runtime.solving.models import FRESH
from sage.runtime.solving.record import StreamRecord
from sage.runtime.solving.stream import PuzzleStream
from sage.runtime.solving.under_way import Answered, LevelRows
from sage.runtime.solving.weights import WeightsCheck
from sage.runtime.tick.effector_gate import EffectorGate
from sage.runtime.tick.policy import SOLVER_ROLE, Situation
from sage.sensors.puzzle_messages import Answer, Puzzle

#: Where no sensor gives the level in force, it is the highest of so many puzzles.
NUM_LEVEL_PUZZLES = 16
#: Names in a snapshot.
_WEIGHTS, _TEACHER, _COUNTS, _WORLD = "weights/", "teacher", "counts/", "world/"
#: Digest of the weights that the run was given, with which the snapshot was begun: no bytes for fresh ones.
_GIVEN = "given"
#: emit(kind, message, source)
Emit = Callable[[str, str, str], None]


class StreamSolver:
    """Owns the weights of one stream and its puzzles under way."""

    def __init__(
        self,
        stream: PuzzleStream,
        config: SolvingConfig,
        *,
        clock: Clock,
        device: torch.device,
        seed: int,
        emit: Emit,
    ) -> None:
        self.name = stream.name
        self.family = stream.family.to(device).eval()
        self.learner = stream.learner
        self._given = "" if config.weights == FRESH else weights_digest(self.family.weights())
        self.record = StreamRecord(stream.levels, checks_labels=stream.checks_labels)
        self._world = stream.world
        self.levels = tuple(stream.levels)
        self.rows = [
            LevelRows(self.family[index], level.task, config.of_level(level.name), seed)
            for index, level in enumerate(stream.levels)
        ]
        self.num_swapped = 0
        self.num_refused = 0
        self._config = config
        self._clock = clock
        self._emit = emit
        self._answer_spec = stream.answer.spec
        self._messages = StreamMessages(stream, lambda kind, message: emit(kind, message, stream.name))
        self._check = WeightsCheck(self.family, self.levels, config)
        self._ready: deque[Answered] = deque()
        self._recent_levels: deque[int] = deque(maxlen=NUM_LEVEL_PUZZLES)
        self._num_segments = 0
        self._level: int | None = None
        self._board: tuple[Puzzle, np.ndarray | None] | None = None
        self._shown_number = -1
        self._final: tuple[Puzzle, np.ndarray | None] | None = None  # of this tick, of the puzzle shown
        self._held_reason = ""
        self._problem = ""

    @property
    def num_under_way(self) -> int:
        return sum(len(rows) for rows in self.rows) + len(self._ready)

    def prepare(self) -> None:
        """Draw the held-out puzzles and compile what a tick computes with. To be called before any device is
        opened, which has a time limit: the environment draws with the same generators.
        """
        self._check.prepare()

    def open(self) -> None:
        """Start the sensors and the learner, with the weights of now."""
        self.prepare()
        self.learner.open(self.family.weights())
        self._messages.start()

    def close(self) -> None:
        try:
            self.learner.abort_night()
            self.learner.close(self.family.weights())
        finally:
            self._messages.close()

    def sense(self, tick: int, now_ns: int, time_ns: int, episode: int = 0) -> None:
        """Read results, then puzzles. time_ns: of the run.  episode: of memory at that time."""
        self._num_segments = 0
        self._final = None
        self._messages.poll(now_ns)
        experiences = []
        for result in self._messages.results():
            experience = self.record.note_result(result, tick, time_ns, episode)
            if experience is None:
                self._emit("fault", f"a result of puzzle {result.number}, which waits for none", self.name)
            else:
                experiences.append(experience)
        right = [experience.level for experience in experiences if experience.is_right]
        self.record.note_reward(right, self._messages.reward())
        if experiences:
            self.learner.note(experiences)
        self._note_level(self._messages.level())
        for puzzle in self._messages.puzzles(self._config.max_under_way - self.num_under_way):
            self._take(puzzle, tick, now_ns)

    def step(self, level: int) -> int:
        """One segment for the rows of a level. Returns the segments computed."""
        num_segments, ended = self.rows[level].step()
        self._num_segments += num_segments
        self._ready.extend(ended)
        return num_segments

    def answer(self, gate: EffectorGate, situation: Situation) -> list[ActionFacts]:
        """Give every answer that is ready. One that is held stays, and is given when the policy allows it."""
        for rows in self.rows:
            self._ready.extend(rows.conclude(situation.now_ns))
        facts = []
        while self._ready:
            answered = self._ready[0]
            message = np.zeros(self._answer_spec.tensor.shape, dtype=self._answer_spec.tensor.dtype)
            Answer(number=answered.puzzle.number, cells=answered.cells).write(message)
            done, fact = gate.submit(self._answer_spec.name, message, situation, role=SOLVER_ROLE)
            facts.append(fact)
            if done is None:
                self._note_held(fact.reason)
                break
            self._held_reason = ""
            self._ready.popleft()
            self._board = (answered.puzzle, answered.cells)
            if answered.puzzle.number == self._shown_number:
                self._final = self._board
            if done.is_held:
                number = answered.puzzle.number
                self._emit("fault", f"{self.name} took no answer to puzzle {number}", self.name)
            else:
                self.record.note_given(answered, fact.decision)
        return facts

    def facts(self, waits: str = "") -> SolvingFacts:
        """Of the tick. waits: why puzzles under way got no segment, where none did."""
        skipped = "" if self._num_segments else waits if self.num_under_way else WORDS[NOT_DUE]
        counts = self.learner.facts()
        board = self._shown()
        return SolvingFacts(
            stream=self.name,
            level=max(self._recent_levels, default=0) if self._level is None else self._level,
            levels=self.record.levels(),
            num_under_way=self.num_under_way,
            num_segments=self._num_segments,
            answers=self.record.take_answers(),
            teacher_trust=self.record.teacher.trust if self.record.teacher.num_shown else math.nan,
            solver_trust=self.record.endings.trust,
            num_experiences=counts.num_experiences,
            num_lost=counts.num_lost,
            num_steps=counts.num_steps,
            loss=counts.loss,
            num_restarts=counts.num_restarts,
            num_swapped=self.num_swapped,
            num_refused=self.num_refused,
            bytes_copied=counts.bytes_copied,
            is_sleeping=counts.is_sleeping,
            skipped=skipped,
            board_number=-1 if board is None else board[0].number,
            board_cells=() if board is None else tuple(board[0].cells.tolist()),
            board_answer=() if board is None or board[1] is None else tuple(board[1].tolist()),
        )

    def _note_storage(self, problem: str) -> None:
        """An event when the learner's files cannot be written, and when they are again."""
        if problem != self._problem:
            self._problem = problem
            text = f"experiences are not written: {problem}" if problem else "experiences are written again"
            self._emit("storage", f"{self.name}: {text}", self.name)

    def pass_time(self, deadline_ns: int) -> SleepReport | None:
        """Between two ticks: the learner's work, then a part of the check of its weights. Returns the report
        of a night that ended.
        """
        self.learner.work(deadline_ns)
        self._note_storage(self.learner.facts().problem)
        report = None
        if not self._check.is_busy:
            offer = self.learner.collect()
            if offer is None:
                return None
            report = offer.report
            if self._are_in_use(offer.weights):  # of a night that changed nothing: no puzzle starts again
                return report
            self._begin_check(offer)
        verdict = self._check.work(lambda: self._clock.now_ns() < deadline_ns)
        if verdict is not None:
            self._settle(verdict.reason, verdict.kind)
        return report

    def _are_in_use(self, weights: Mapping[str, torch.Tensor]) -> bool:
        own = self.family.weights()
        return own.keys() == weights.keys() and all(
            tensor.shape == weights[name].shape and bool((tensor == weights[name].to(tensor.device)).all())
            for name, tensor in own.items()
        )

    def _begin_check(self, offer: Offer) -> None:
        begun = [level for level in range(len(self.rows)) if self.record.has_begun(level)]
        self._check.begin(offer, begun or [0])

    def _settle(self, reason: str, kind: str) -> None:
        """Take the candidate's weights, or refuse them."""
        if reason:
            self.num_refused += 1
            self._emit("weights", f"{kind} weights refused: {reason}", self.name)
        else:
            self.adopt(self._check.candidate.weights())

    def adopt(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Between two ticks: compute with these weights from now on. InputError if they do not fit."""
        self.family.load_weights(weights)
        self.num_swapped += 1
        for rows in self.rows:
            rows.restart()

    def state(self) -> dict[str, np.ndarray]:
        """Copies."""
        weights = {
            f"{_WEIGHTS}{name}": tensor.cpu().numpy().copy() for name, tensor in self.family.weights().items()
        }
        counts = {f"{_COUNTS}{name}": array for name, array in self.record.state().items()}
        world = {} if self._world is None else self._world.state()
        return {
            **weights,
            _GIVEN: np.array(list(bytes.fromhex(self._given)), dtype=np.uint8),
            _TEACHER: self.record.teacher.state(),
            **counts,
            **{f"{_WORLD}{name}": array for name, array in world.items()},
        }

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Given weights other than those that the snapshot was begun with stay, and weights of another model
        change nothing; an event says so.
        """
        begun = bytes(state[_GIVEN]).hex() if _GIVEN in state else None
        if self._given and begun not in (None, self._given):
            text = "the weights of solving.weights are taken in the place of those of the snapshot"
            self._emit("weights", text, self.name)
        elif not self._load_weights(state):
            return
        elif begun is None and self._given:
            text = (
                "the snapshot's are taken in the place of those of solving.weights: an earlier version wrote"
                " it, without what it was begun with; for the given ones take another state directory"
            )
            self._emit("weights", text, self.name)
        else:
            self._given = begun or ""
        self.record.teacher.load_state(state[_TEACHER])
        self._resume(state)

    def _load_weights(self, state: Mapping[str, np.ndarray]) -> bool:
        """False for those of another model."""
        weights = {
            name[len(_WEIGHTS) :]: torch.from_numpy(array.copy())
            for name, array in state.items()
            if name.startswith(_WEIGHTS)
        }
        try:
            self.family.load_weights(weights)
        except InputError as error:
            self._emit("weights", f"the snapshot's are of another model, starting fresh: {error}", self.name)
            return False
        return True

    def _resume(self, state: Mapping[str, np.ndarray]) -> None:
        """Counts and the place of the stream; a snapshot of an earlier version has none."""
        counts, world = (
            {name[len(start) :]: array for name, array in state.items() if name.startswith(start)}
            for start in (_COUNTS, _WORLD)
        )
        if not counts:
            return
        try:
            self.record.load_state(counts)
            if world and self._world is not None:
                self._world.load_state(world)
        except InputError as error:
            self._emit(
                "level",
                f"the snapshot's stream is another one, starting at the first level: {error}",
                self.name,
            )
            self.record.clear()

    def _take(self, puzzle: Puzzle, tick: int, now_ns: int) -> None:
        """Begin a puzzle. One that does not fit its level is answered by an abstention, with an event."""
        limit = self._config.deadline_secs
        deadline_ns = None if limit is None else now_ns + int(limit * 1e9)
        if not 0 <= puzzle.level < len(self.rows):
            self._emit(
                "fault", f"puzzle {puzzle.number} has level {puzzle.level} of {len(self.rows)}", self.name
            )
            return
        try:
            self.rows[puzzle.level].add(puzzle, tick, deadline_ns)
        except InputError as error:
            self._emit("fault", f"puzzle {puzzle.number}: {error}", self.name)
            self._ready.append(_abstention(puzzle, tick))
        else:
            self._recent_levels.append(puzzle.level)

    def _note_level(self, level: int | None) -> None:
        if level is None or not 0 <= level < len(self.levels):
            return
        if self._level is not None and level != self._level:
            move = "up" if level > self._level else "down"
            self._emit("level", f"{move} to {self.levels[level].name}", self.name)
        self._level = level

    def _note_held(self, reason: str) -> None:
        if reason != self._held_reason:
            self._held_reason = reason
            self._emit("held", f"answers are held: {reason}", self.name)

    def _shown(self) -> tuple[Puzzle, np.ndarray | None] | None:
        """The puzzle under way that was read first, with its final answer in the tick that gives it; else the
        last one answered.
        """
        if self._final is not None:
            return self._final
        live = [each for each in (rows.first for rows in self.rows) if each is not None]
        if not live:
            return self._board
        first = min(live, key=lambda each: each.puzzle.number)
        self._shown_number = first.puzzle.number
        return first.puzzle, first.answer


def _abstention(puzzle: Puzzle, tick: int) -> Answered:
    return Answered(
        puzzle=puzzle,
        tick=tick,
        cells=np.zeros(0, dtype=np.int32),
        confidence=0.0,
        num_segments=0,
        num_calls=0,
        num_open=(),
        weights_changed=False,
    )
