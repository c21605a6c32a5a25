"""Lives of days and nights on a graded stream of puzzles (LIFE.md, "What must be shown"): arms that differ in
how they learn.

A life is counted in CPU seconds of training: between nights practice may use `day_secs`, a night `night_secs`
of steps, and about `examine_secs` on its examinations. An arm without nights practises for all of that time
instead, in the place of its nights or through its days, so that every arm that learns has the same.
Puzzles are answered at a fixed number a CPU second of a day. Invariant: stream and seed decide the
puzzles; the parts are those that the loop uses, without the loop's sensors.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from _life_solver import TrainedSolver

from sage.hrm_core.tasks.contract import Examples
from sage.runtime.config import SolverTrainingConfig, SolvingConfig
from sage.runtime.report import SleepOutcome
from sage.runtime.solving.models import Reasoner
from sage.sensors.environments.puzzles.config import PuzzlesConfig
from sage.sensors.environments.puzzles.level_source import LevelSource
from sage.sensors.environments.puzzles.stream import PuzzleStream
from sage.sensors.puzzle_messages import Answer

SIZES = (4, 6)
SOLVING = SolvingConfig(max_segments=16)


@dataclass(frozen=True)
class Scale:
    """examine_secs: of a night in the mean, as measured.  puzzles_a_sec: answered a CPU second of a day.
    num_eval: held-out puzzles of a level, at each measurement; `num_points` of them between two nights.
    """

    nights: int = 4
    day_secs: float = 10.0
    night_secs: float = 10.0
    examine_secs: float = 5.2
    puzzles_a_sec: float = 24.0
    num_eval: int = 200
    num_points: int = 2


REASONER_SCALE = Scale(nights=1, day_secs=80.0, night_secs=0.0, num_points=8)
QUICK = Scale(nights=1, day_secs=1.0, night_secs=0.5, examine_secs=0.2, num_eval=8, num_points=1)


@dataclass(frozen=True)
class Arm:
    """sleeps: has nights.  learns: trains at all.  training: changes to SolverTrainingConfig.  teacher: as in
    PuzzlesConfig.  reasoner: as in RuntimeConfig.  two_nets: as in SolvingConfig.  is_spread: the seconds of
    nights are spread over the answers of the day.
    """

    name: str
    sleeps: bool = True
    learns: bool = True
    training: dict[str, Any] = field(default_factory=dict)
    teacher: Any = "after"
    reasoner: Reasoner = "hrm"
    two_nets: bool = False
    is_spread: bool = False


ARMS = (
    Arm("a whole"),
    Arm("b practice only", sleeps=False),
    Arm("b practice all day", sleeps=False, is_spread=True),
    Arm("c nights without symmetries", training={"night_symmetries": False}),
    Arm("d most surprising only", training={"replay": "surprising"}),
    Arm("e uniform replay", training={"replay": "uniform"}),
    Arm("f no learning", sleeps=False, learns=False),
    Arm("g transformer", reasoner="transformer"),
    Arm("g MLP", reasoner="mlp"),
    Arm("lies 15%", teacher={"lying": 0.15}),
)
#: Of the suite reasoner, in which nothing but practice trains.
REASONER_ARMS = (
    Arm("HRM", sleeps=False),
    Arm("linear", sleeps=False, reasoner="linear"),
    Arm("MLP", sleeps=False, reasoner="mlp"),
    Arm("transformer", sleeps=False, reasoner="transformer"),
)
#: Of the suite loops: what practice and what a night trains, of the two nets.
LOOP_ARMS = (
    Arm("practice L, night H", training={"learns": "low", "night_learns": "high"}, two_nets=True),
    Arm("practice L, night both", training={"learns": "low", "night_learns": "all"}, two_nets=True),
    Arm("practice both, night H", training={"learns": "all", "night_learns": "high"}, two_nets=True),
    Arm("practice both, night both", two_nets=True),
)


@dataclass(frozen=True)
class Point:
    """train_secs: CPU seconds of training so far.  solved: share of the held-out puzzles of each level."""

    train_secs: float
    solved: tuple[float, ...]


@dataclass(frozen=True)
class Lived:
    """right: share of all answers given awake.  nights: outcome and gain of each.  forgotten: by level, the
    best share after any night less the last one.  num_bytes: of the memory.  num_parameters: of the model of
    each level.
    """

    arm: str
    seed: int
    points: tuple[Point, ...]
    num_answers: int
    right: float
    segments: float
    steps: int
    train_secs: float
    nights: tuple[dict[str, Any], ...]
    num_bytes: int
    num_parameters: tuple[int, ...]

    @property
    def area(self) -> float:
        """Mean share of held-out puzzles solved, over the CPU seconds of the life and both levels."""
        shares = np.mean([point.solved for point in self.points], axis=1)
        secs = np.diff([point.train_secs for point in self.points])
        if not secs.sum():
            return float(shares.mean())
        return float((secs * (shares[1:] + shares[:-1]) / 2).sum() / secs.sum())

    @property
    def final(self) -> tuple[float, ...]:
        return self.points[-1].solved

    @property
    def forgotten(self) -> tuple[float, ...]:
        shares = np.array([point.solved for point in self.points])
        found: list[float] = (shares.max(axis=0) - shares[-1]).tolist()
        return tuple(found)

    def to_plain(self) -> dict[str, Any]:
        return asdict(self) | {"area": self.area, "final": self.final, "forgotten": self.forgotten}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Lived:
        """The inverse of `to_plain`, after JSON."""
        points = tuple(
            Point(train_secs=each["train_secs"], solved=tuple(each["solved"])) for each in plain["points"]
        )
        values = {each.name: plain[each.name] for each in fields(cls)}
        tuples = {name: tuple(plain[name]) for name in ("nights", "num_parameters")}
        return cls(**{**values, **tuples, "points": points})


def lived(arm: Arm, seed: int, scale: Scale, folder: Path | None) -> Lived:
    """A life; with a folder, the one that its file has of the same arm, seed and scale, or a new one that is
    written there.
    """
    life_of = {"arm": asdict(arm), "seed": seed, "scale": asdict(scale)}
    name = "".join(each if each.isalnum() else "_" for each in arm.name)
    path = None if folder is None else folder / f"{name}-{seed}.json"
    if path is not None and path.exists():
        found = json.loads(path.read_text())
        if found["of"] == json.loads(json.dumps(life_of)):
            return Lived.from_plain(found["life"])
    life = Life(arm, seed, scale).run()
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"of": life_of, "life": life.to_plain()}))
    return life


class Life(TrainedSolver):
    """One arm with one seed. solved: of the last measurement, for each level whether each held-out puzzle is
    solved.
    """

    def __init__(
        self,
        arm: Arm,
        seed: int,
        scale: Scale,
        *,
        solving: SolvingConfig = SOLVING,
        clock: Callable[[], float] = time.process_time,
    ):
        self._arm = arm
        self.solved: list[np.ndarray] = []
        self._scale = scale
        levels = [{"task": "sudoku", "options": {"size": size}} for size in SIZES]
        config = PuzzlesConfig.model_validate(
            {"name": "life", "levels": levels, "teacher": arm.teacher, "seed": seed}
        )
        self._sources = [
            LevelSource(level, index=index, seed=seed, base_dir=Path())
            for index, level in enumerate(config.all_levels)
        ]
        self._stream = PuzzleStream(config, self._sources, is_ahead=False)
        training = SolverTrainingConfig(
            where="inline",
            night_cpu_secs=scale.night_secs or None,
            night_steps=100_000,
            min_examined=16,
            **arm.training,
        )
        super().__init__(
            [source.level.name for source in self._sources],
            [source.task for source in self._sources],
            training,
            solving=solving.model_copy(update={"two_nets": arm.two_nets}),
            reasoner=arm.reasoner,
            seed=seed,
            clock=clock,
        )
        self._seed = seed
        self._examples: list[Examples] = [source.held_out(scale.num_eval) for source in self._sources]
        self._points: list[Point] = []
        self._num_right = self._num_segments = 0

    def run(self) -> Lived:
        scale = self._scale
        num_answers = scale.day_secs * scale.puzzles_a_sec
        self._measure()
        for _ in range(scale.nights):
            if self._arm.is_spread:
                secs, portions = scale.day_secs + scale.night_secs + scale.examine_secs, scale.num_points + 1
            else:
                secs, portions = scale.day_secs, scale.num_points
            for _ in range(portions):
                self._wake(secs / portions, round(num_answers / portions))
                self._measure()
            if self._arm.is_spread:
                continue
            if self._arm.sleeps:
                self._sleep()
            elif scale.night_secs:
                self._wake(scale.night_secs + scale.examine_secs, 0)
            self._measure()
        self._stream.close()
        nights = tuple(
            {"outcome": each.outcome.value, "gain": each.gain, "low": each.gain_low, "high": each.gain_high}
            for each in self._reports
        )
        return Lived(
            arm=self._arm.name,
            seed=self._seed,
            points=tuple(self._points),
            num_answers=self._num_answers,
            right=self._num_right / max(self._num_answers, 1),
            segments=self._num_segments / max(self._num_answers, 1),
            steps=self._trainer.num_steps + sum(each.num_steps for each in self._reports),
            train_secs=self._train_secs,
            nights=nights,
            num_bytes=self._trainer.memory.nbytes,
            num_parameters=tuple(
                sum(each.numel() for each in member.parameters()) for member in self._family.members
            ),
        )

    def _wake(self, secs: float, num: int) -> None:
        """Practise for that CPU time, in slices between `num` answers. An arm that does not learn only
        answers.
        """
        rounds = max(1, num // 8)
        for _ in range(rounds):
            if num:
                self._answer(8)
            if self._arm.learns:
                self._practise(secs / rounds)

    def _answer(self, num: int) -> None:
        puzzles = [each for each in (self._stream.next_puzzle() for _ in range(num)) if each is not None]
        for puzzle, solution in zip(puzzles, self._solve([(each.level, each.cells) for each in puzzles])):
            outcome = self._stream.answer(Answer(number=puzzle.number, cells=solution.cells))
            assert outcome is not None
            self._num_answers += 1
            self._num_right += outcome.result.is_right
            self._num_segments += solution.num_segments
            if self._arm.learns:
                self._note(
                    puzzle.number,
                    puzzle.level,
                    puzzle.cells,
                    solution,
                    outcome.result.solution,
                    is_right=outcome.result.is_right,
                )

    def _measure(self) -> None:
        self.solved = [self._solved(level, each) for level, each in enumerate(self._examples)]
        shares = tuple(float(each.mean()) for each in self.solved)
        self._points.append(Point(train_secs=self._train_secs, solved=shares))


def accepted_share(lives: Sequence[Lived]) -> float:
    """Accepted nights among those that were examined."""
    outcomes = [night["outcome"] for life in lives for night in life.nights]
    examined = [each for each in outcomes if each != SleepOutcome.SKIPPED.value]
    return sum(each == SleepOutcome.ACCEPTED.value for each in examined) / max(len(examined), 1)
