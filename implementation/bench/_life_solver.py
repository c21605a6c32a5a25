"""A model of puzzles that practises, sleeps and answers: parts of the loop, without its sensors."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from sage.hrm_core.solving.engine import Engine
from sage.hrm_core.solving.settings import SolveSettings
from sage.hrm_core.solving.solutions import Solution
from sage.hrm_core.tasks.contract import Examples, Task
from sage.runtime.config import SolverTrainingConfig, SolvingConfig
from sage.runtime.report import SleepReport
from sage.runtime.sleep.puzzles.trainer import PuzzleTrainer
from sage.runtime.solving.learner import PuzzleExperience, SolutionSource
from sage.runtime.solving.models import Reasoner, family_for, segments_of


class TrainedSolver:
    """A model family and its trainer. Subclasses decide which puzzles come, and when.

    solving: of the model, its two_nets included.  clock: in seconds, by which training is counted.
    """

    def __init__(
        self,
        names: Sequence[str],
        tasks: Sequence[Task],
        training: SolverTrainingConfig,
        *,
        solving: SolvingConfig,
        reasoner: Reasoner = "hrm",
        seed: int = 0,
        clock: Callable[[], float] = time.process_time,
    ) -> None:
        self._solving = solving
        self._clock = clock
        self._tasks = list(tasks)
        self._family = family_for([task.spec for task in tasks], solving, reasoner=reasoner, seed=seed)
        self._trainer = PuzzleTrainer("life", names, self._tasks, self._family.configs, training, seed=seed)
        self._trainer.load(self._family.weights())
        self._reports: list[SleepReport] = []
        self._num_answers = 0
        self._train_secs = 0.0

    def _practise(self, secs: float) -> None:
        started = self._clock()
        while self._clock() - started < secs and self._trainer.practise():
            pass
        self._train_secs += self._clock() - started
        self._family.load_weights(self._trainer.weights())

    def _sleep(self) -> None:
        started = self._clock()
        self._trainer.begin_night(self._num_answers)
        offer = None
        while offer is None:
            offer = self._trainer.advance_night()
        self._train_secs += self._clock() - started
        assert offer.report is not None
        assert offer.weights is not None
        self._reports.append(offer.report)
        self._family.load_weights(offer.weights)

    def _note(
        self,
        number: int,
        level: int,
        cells: np.ndarray,
        solution: Solution,
        shown: np.ndarray | None,
        *,
        is_right: bool,
    ) -> None:
        """Keep an answered puzzle in the trainer's memory. shown: what the teacher says."""
        self._trainer.memory.note(
            PuzzleExperience(
                number=number,
                level=level,
                cells=cells,
                answer=solution.cells,
                solution=solution.cells if is_right else shown,
                source=SolutionSource.VERIFIED if is_right else SolutionSource.TEACHER,
                trust=1.0,
                is_right=is_right,
                confidence=solution.confidence,
                num_segments=solution.num_segments,
                num_calls=1,
                tick=self._num_answers,
                time_ns=0,
            )
        )

    def _solve(self, puzzles: Sequence[tuple[int, np.ndarray]]) -> list[Solution]:
        """One plain pass each."""
        found: list[Solution | None] = [None] * len(puzzles)
        for level, model in enumerate(self._family.members):
            rows = [index for index, (each, _) in enumerate(puzzles) if each == level]
            engine = Engine(model, self._tasks[level], batch_size=64)  # type: ignore[arg-type]
            solving = SolveSettings(max_segments=segments_of(model, self._solving))  # type: ignore[arg-type]
            jobs = {engine.submit(puzzles[index][1], solving): index for index in rows}
            while not engine.is_idle:
                for job in engine.step():
                    found[jobs[job]] = job.solution()
        return [each for each in found if each is not None]

    def _solved(self, level: int, examples: Examples) -> np.ndarray:
        """(N,) bool: the rules accept the answer of one pass."""
        answers = self._solve([(level, cells) for cells in examples.inputs])
        cells = np.array([each.cells for each in answers])
        return np.asarray(self._tasks[level].verify(examples.inputs, cells), bool)
