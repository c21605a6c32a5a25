"""Three tasks one after another in one small model (COGNITION.md, Sleep): 4x4 sudoku, mazes, recolouring.

All are on one board of BOARD cells with symbols of their own, so that the tasks share every weight, and what
is learned later can overwrite what was learned before. Arms differ in what a day may practise on, and in
whether there are nights; every arm has the same CPU seconds of training.
Shapes: N puzzles, L cells of a task.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import harness
import numpy as np
from _life_solver import TrainedSolver
from _student import interval

from sage.hrm_core.tasks.catalogue import make_task
from sage.hrm_core.tasks.contract import Examples, Task, TaskSpec
from sage.hrm_core.tasks.orbits import orbit_keys
from sage.hrm_core.tasks.split import Generated, are_held_out, row_keys, without_ids
from sage.runtime.config import SolverTrainingConfig, SolvingConfig

SIDE = 6
BOARD = SIDE * SIDE
#: Symbols of a task; symbol 0 is an unused cell of the board.
NUM_SYMBOLS = 8
NAMES = ("sudoku 4x4", "maze 5x5", "recolouring 6x6")
SOLVING = SolvingConfig(preset="small", max_segments=8)
POINTS_OVER_NAIVE, SHARE_OF_JOINT = 0.25, 0.95
FEWEST_SEEDS = 3


class Recolouring(Generated):
    """A grid of colours, each of which moves on by the number of the first cell. Symbols 0..5."""

    @property
    def spec(self) -> TaskSpec:
        return TaskSpec(name="recolouring", vocab_size=SIDE, seq_len=BOARD, grid=(SIDE, SIDE))

    def draw(self, num: int, rng: np.random.Generator, *, is_held_out: bool) -> Examples:
        inputs = rng.integers(0, SIDE, (num, BOARD))
        inputs = inputs[are_held_out(row_keys(inputs)) == is_held_out]
        return without_ids(inputs, _recoloured(inputs))

    def verify(self, inputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
        found: np.ndarray = (answers == _recoloured(inputs)).all(axis=1)
        return found


def _recoloured(inputs: np.ndarray) -> np.ndarray:
    found: np.ndarray = (inputs + inputs[:, :1]) % SIDE
    found[:, 0] = inputs[:, 0]
    return found


class OnBoard:
    """A task whose cells are the first ones of the board, with symbols that no other task has."""

    def __init__(self, task: Task, index: int) -> None:
        self._task = task
        self._first = 1 + index * NUM_SYMBOLS
        assert task.spec.vocab_size <= NUM_SYMBOLS, "give the task more symbols"

    @property
    def spec(self) -> TaskSpec:
        blank = self._task.spec.blank
        return TaskSpec(
            name=self._task.spec.name,
            vocab_size=1 + len(NAMES) * NUM_SYMBOLS,
            seq_len=BOARD,
            grid=(SIDE, SIDE),
            blank=None if blank is None else self._first + blank,
        )

    def sample(self, num: int, rng: np.random.Generator) -> Examples:
        return self._placed(self._task.sample(num, rng))

    def held_out(self, num: int) -> Examples:
        return self._placed(self._task.held_out(num))

    def verify(self, inputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """False too where an answer has a symbol of another task."""
        own = answers[:, : self._task.spec.seq_len] - self._first
        is_own = ((own >= 0) & (own < self._task.spec.vocab_size)).all(axis=1)
        known = np.where(is_own[:, None], own, 0).astype(np.int32)
        return is_own & np.asarray(self._task.verify(self._taken(inputs), known), bool)

    def transform(self, examples: Examples, rng: np.random.Generator) -> Examples:
        """A random symmetry of the task, where it has some."""
        transform = getattr(self._task, "transform", None)
        if transform is None:
            return examples
        own = without_ids(self._taken(examples.inputs), self._taken(examples.labels))
        return self._placed(transform(own, rng))

    def orbit_keys(self, inputs: np.ndarray) -> np.ndarray:
        return orbit_keys(self._task, self._taken(inputs))

    def _placed(self, examples: Examples) -> Examples:
        boards = np.zeros((2, len(examples), BOARD), np.int32)
        boards[:, :, : self._task.spec.seq_len] = examples.inputs, examples.answers()
        boards[:, :, : self._task.spec.seq_len] += self._first
        return without_ids(boards[0], boards[1])

    def _taken(self, boards: np.ndarray) -> np.ndarray:
        found: np.ndarray = (boards[:, : self._task.spec.seq_len] - self._first).astype(np.int32)
        return found


@dataclass(frozen=True)
class Scale:
    """Of each task. day_secs, night_secs: CPU seconds of training.  puzzles_a_sec: answered in a second of a
    day.  num_eval: held-out puzzles of each task.
    """

    day_secs: float = 60.0
    night_secs: float = 30.0
    puzzles_a_sec: float = 8.0
    num_eval: int = 200


QUICK = Scale(day_secs=1.0, night_secs=0.5, num_eval=8)


@dataclass(frozen=True)
class Arm:
    """sleeps: has nights; else a day is longer by as much.  recalls: days go on practising earlier tasks.
    is_joint: all three tasks every day.
    """

    name: str
    sleeps: bool = False
    recalls: bool = False
    is_joint: bool = False


ARMS = (
    Arm("naive"),
    Arm("naive days with nights", sleeps=True),
    Arm("whole", sleeps=True, recalls=True),
    Arm("joint", recalls=True, is_joint=True),
)


@dataclass(frozen=True)
class Result:
    """solved: after each task, the share of held-out puzzles of every task.  nights: their outcomes."""

    arm: str
    seed: int
    solved: tuple[tuple[float, ...], ...]
    nights: tuple[str, ...]
    train_secs: float
    steps: int

    @property
    def mean(self) -> float:
        """Of all tasks at the end."""
        return float(np.mean(self.solved[-1]))

    @property
    def forgotten(self) -> float:
        """Mean over the earlier tasks of the best share so far less the last (Chaudhry et al. 2018)."""
        shares = np.array(self.solved)
        return float((shares.max(axis=0) - shares[-1])[:-1].mean())

    @property
    def backward_transfer(self) -> float:
        """Mean over the earlier tasks of the last share less that when its task was learned (Lopez-Paz &
        Ranzato 2017, BWT).
        """
        shares = np.array(self.solved)
        return float((shares[-1] - shares.diagonal())[:-1].mean())

    @property
    def forward_transfer(self) -> float:
        """Mean over the later tasks of the share before its task was learned (Lopez-Paz & Ranzato 2017, FWT,
        with 0 as the share of fresh weights: they solve no whole puzzle).
        """
        return float(np.array(self.solved).diagonal(offset=1).mean())


class TaskSequence(TrainedSolver):
    """One arm, one seed."""

    def __init__(self, arm: Arm, seed: int, scale: Scale) -> None:
        tasks = (
            make_task("sudoku", size=4),
            make_task("maze", size=5, difficulty="easy"),
            Recolouring(),
        )
        super().__init__(
            NAMES,
            [OnBoard(task, index) for index, task in enumerate(tasks)],
            SolverTrainingConfig(
                where="inline", night_cpu_secs=scale.night_secs, night_steps=100_000, min_examined=16
            ),
            solving=SOLVING,
            seed=seed,
        )
        self._arm, self._seed, self._scale = arm, seed, scale
        self._rng = np.random.default_rng((seed, 17))
        self._examples = [task.held_out(scale.num_eval) for task in self._tasks]

    def run(self) -> Result:
        scale, solved = self._scale, []
        for index in range(len(NAMES)):
            levels = list(range(len(NAMES))) if self._arm.is_joint else [index]
            if not self._arm.recalls:
                self._forget_days()
            self._wake(levels, scale.day_secs if self._arm.sleeps else scale.day_secs + scale.night_secs)
            if self._arm.sleeps:
                self._sleep()
            solved.append(
                tuple(float(self._solved(at, each).mean()) for at, each in enumerate(self._examples))
            )
        return Result(
            arm=self._arm.name,
            seed=self._seed,
            solved=tuple(solved),
            nights=tuple(each.outcome.value for each in self._reports),
            train_secs=self._train_secs,
            steps=self._trainer.num_steps + sum(each.num_steps for each in self._reports),
        )

    def _forget_days(self) -> None:
        """Practice begins anew from the same weights, without the puzzles of before; what nights replay
        stays.
        """
        for level in self._trainer.memory.levels:
            level.recent.count = 0
        self._trainer.load(self._family.weights())

    def _wake(self, levels: list[int], secs: float) -> None:
        """As many puzzles in every arm: a longer day has them more slowly."""
        rounds = max(1, round(self._scale.day_secs * self._scale.puzzles_a_sec / 8))
        for number in range(rounds):
            self._answer(levels[number % len(levels)], 8)
            self._practise(secs / rounds)

    def _answer(self, level: int, num: int) -> None:
        puzzles = self._tasks[level].sample(num, self._rng)
        answers = self._solve([(level, cells) for cells in puzzles.inputs])
        cells = np.array([each.cells for each in answers])
        is_right = self._tasks[level].verify(puzzles.inputs, cells)
        for at, solution in enumerate(answers):
            number, self._num_answers = self._num_answers, self._num_answers + 1
            self._note(
                number, level, puzzles.inputs[at], solution, puzzles.labels[at], is_right=bool(is_right[at])
            )


def result_of(arm: Arm, seed: int, scale: Scale, folder: Path | None) -> Result:
    """With a folder, the one that its file has of the same arm, seed and scale, or a new one that is written
    there.
    """
    of = json.loads(json.dumps({"arm": asdict(arm), "seed": seed, "scale": asdict(scale)}))
    name = "".join(each if each.isalnum() else "_" for each in arm.name)
    path = None if folder is None else folder / f"tasks-{name}-{seed}.json"
    if path is not None and path.exists():
        kept = json.loads(path.read_text())
        if kept["of"] == of:
            solved = tuple(map(tuple, kept["result"]["solved"]))
            return Result(**{**kept["result"], "solved": solved, "nights": tuple(kept["result"]["nights"])})
    result = TaskSequence(arm, seed, scale).run()
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"of": of, "result": asdict(result)}))
    return result


@dataclass(frozen=True)
class Results:
    """By the arm's name."""

    found: dict[str, list[Result]] = field(default_factory=dict)

    def table(self) -> harness.TextTable:
        def shown(values: Sequence[float]) -> str:
            mean, low, high = interval(values)
            text = f"{100 * mean:.1f}"
            return text if math.isnan(low) else f"{text} ({100 * low:.1f} to {100 * high:.1f})"

        rows = []
        for name, results in self.found.items():
            outcomes = [outcome for each in results for outcome in each.nights]
            rows.append(
                (
                    name,
                    str(len(results)),
                    shown([each.mean for each in results]),
                    *(shown([each.solved[-1][at] for each in results]) for at in range(len(NAMES))),
                    shown([each.forgotten for each in results]),
                    shown([each.backward_transfer for each in results]),
                    shown([each.forward_transfer for each in results]),
                    f"{outcomes.count('accepted')} of {len(outcomes)}" if outcomes else "-",
                    f"{np.mean([each.steps for each in results]):,.0f}",
                    f"{np.mean([each.train_secs for each in results]):.0f}",
                )
            )
        transfers = ("forgotten", "BWT", "FWT")
        columns = ("arm", "n", "all %", *(f"{name} %" for name in NAMES), *transfers, "accepted", "steps")
        title = "Three tasks in one model, at the end: mean and 95% interval over seeds"
        return harness.TextTable(title=title, columns=(*columns, "CPU s"), rows=tuple(rows))

    def bars(self) -> list[harness.Bar]:
        """Of the better of the two arms with nights; owed with fewer than FEWEST_SEEDS seeds."""
        has_all = all(len(self.found.get(arm.name, ())) >= FEWEST_SEEDS for arm in ARMS)
        means = {
            name: float(np.mean([each.mean for each in results])) for name, results in self.found.items()
        }
        best = max((means[arm.name] for arm in ARMS if arm.sleeps and arm.name in means), default=math.nan)
        return [
            harness.Bar(
                name="all tasks at the end, with nights less naive",
                value=best - means["naive"] if has_all else None,
                bar=POINTS_OVER_NAIVE,
                better="higher",
            ),
            harness.Bar(
                name="all tasks at the end, share of joint training",
                value=best / means["joint"] if has_all else None,
                bar=SHARE_OF_JOINT,
                better="higher",
            ),
        ]

    def to_plain(self) -> dict[str, Any]:
        return {name: [asdict(each) for each in results] for name, results in self.found.items()}
