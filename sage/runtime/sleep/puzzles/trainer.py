"""Memory, practice and nights of one solving model, without a process or a clock.

Invariant: a night works on copies; until it is accepted, practice has the weights from before it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from sage.errors import InputError
from sage.hrm_core.config.model import ModelConfig
from sage.hrm_core.model_family import ModelFamily
from sage.hrm_core.optim.ranks import SINGLE, Ranks
from sage.hrm_core.tasks.contract import Task
from sage.runtime.config import SolverTrainingConfig
from sage.runtime.report import SleepOutcome
from sage.runtime.sleep.judge import SLEPT
from sage.runtime.sleep.puzzles.family_trainer import check_learns
from sage.runtime.sleep.puzzles.memory import OLD_TICK, PuzzleMemory
from sage.runtime.sleep.puzzles.night import NightPlan, NightResult, PuzzleNight
from sage.runtime.sleep.puzzles.practice import PuzzlePractice
from sage.runtime.solving.learner import Offer


class PuzzleTrainer:
    """stream: its name in reports.  names, tasks, configs: of each level.  slept_at: tick of the newest
    puzzle that the last accepted or undecided night examined, -1 before it.

    InputError where `learns` or `night_learns` does not fit the models, or a task cannot be searched though
    night_calls is above 0.
    """

    def __init__(
        self,
        stream: str,
        names: Sequence[str],
        tasks: Sequence[Task],
        configs: Sequence[ModelConfig],
        config: SolverTrainingConfig,
        *,
        seed: int = 0,
    ) -> None:
        self.stream = stream
        self.names = tuple(names)
        self.tasks = tuple(tasks)
        self._config = config
        self._seed = seed
        self.memory = PuzzleMemory(tasks, config, seed=seed)
        self._practice = PuzzlePractice(tasks, configs, self.memory, config, seed=seed)
        check_learns(self._practice.family, config.night_learns)
        for task in tasks:
            if config.night_calls and not hasattr(task, "may_extend"):
                raise InputError(
                    f"night_calls is {config.night_calls}: task {task.spec.name} cannot be searched: give 0"
                )
        self._night: PuzzleNight | None = None
        self._newest_tick = OLD_TICK  # of the puzzles that the night in progress examines
        self.num_nights = 0
        self.slept_at = -1

    @property
    def configs(self) -> tuple[ModelConfig, ...]:
        return self._practice.family.configs

    @property
    def num_steps(self) -> int:
        return self._practice.num_steps

    @property
    def loss(self) -> float:
        return self._practice.loss

    @property
    def is_sleeping(self) -> bool:
        return self._night is not None

    def load(self, weights: Mapping[str, Tensor], *, num_steps: int | None = None) -> None:
        """Practise from these weights. num_steps: of optimizers so far, by default unchanged.

        InputError where they do not fit.
        """
        self._practice.load(weights, num_steps=num_steps)

    def compile_loops(self) -> None:
        """Of a step of practice, which else compiles them when it is first taken."""
        self._practice.compile_loops()

    def practise(self) -> bool:
        """One optimizer step; False where there is too little to learn from."""
        return self._practice.step()

    def weights(self) -> dict[str, Tensor]:
        """Copies of the averaged weights of practice."""
        return self._practice.weights()

    def offer(self) -> Offer:
        return Offer(weights=self.weights(), kind="practice", num_steps=self.num_steps, loss=self.loss)

    def begin_night(
        self,
        tick: int,
        *,
        on_step: Callable[[ModelFamily], None] = lambda candidate: None,
        ranks: Ranks = SINGLE,
        device: torch.device | str = "cpu",
    ) -> None:
        """Start a night on copies of the weights and the memory; a night in progress ends without a result.
        on_step, ranks: see PuzzleNight.  device: of the night's models.
        """
        family = ModelFamily(self._practice.family.configs).to(device)
        family.load_weights(self.weights())
        plan = NightPlan(
            stream=self.stream,
            names=self.names,
            config=self._config,
            seed=self._seed + self.num_nights,
            tick=tick,
            slept_at=self.slept_at,
        )
        self.num_nights += 1
        self._newest_tick = self.memory.newest_examined_tick  # others may still be in the mailbox
        self._night = PuzzleNight(self.tasks, family, self.memory, plan, on_step=on_step, ranks=ranks)

    def advance_night(self) -> Offer | None:
        """One slice of the night; its result at the end, with a report. Accepted weights are then those of
        practice, with a fresh optimizer.
        """
        if self._night is None:
            return None
        result = self._night.advance()
        if result is None:
            return None
        self._night = None
        self._keep(result)
        return Offer(
            weights=result.weights,
            kind="night",
            num_steps=self.num_steps,
            loss=self.loss,
            report=result.report,
        )

    def abort_night(self) -> None:
        self._night = None

    def _keep(self, result: NightResult) -> None:
        if result.report.outcome is SleepOutcome.ACCEPTED:
            self._practice.load(result.weights)
        if result.report.outcome in SLEPT:
            self.slept_at = max(self.slept_at, self._newest_tick)
        for searched in result.searched:
            table = self.memory.levels[searched.level].unsolved
            for number, inputs, solution, calls in zip(
                searched.numbers, searched.inputs, searched.solutions, searched.calls
            ):
                numbers = table.columns["number"][: table.count]
                is_same = (numbers == number) & (table.cells[: table.count] == inputs).all(axis=1)
                for row in is_same.nonzero()[0][:1]:
                    self.memory.settle(searched.level, int(row), solution, int(calls))
