"""What the trainer's process starts from.

Invariant: a plan is pickled by the loop and read by its own child alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sage.hrm_core.config.model import ModelConfig
from sage.hrm_core.tasks.contract import Task
from sage.runtime.config import SolverTrainingConfig
from sage.runtime.sleep.puzzles.trainer import PuzzleTrainer

#: File in the store's folder, which the loop writes for the process.
PLAN = "plan.pickle"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerSetup:
    """stream: its name.  names, tasks, configs: of each level."""

    stream: str
    names: tuple[str, ...]
    tasks: tuple[Task, ...]
    configs: tuple[ModelConfig, ...]
    config: SolverTrainingConfig
    seed: int

    def build(self) -> PuzzleTrainer:
        """InputError as PuzzleTrainer."""
        return PuzzleTrainer(self.stream, self.names, self.tasks, self.configs, self.config, seed=self.seed)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerPlan:
    """folder: of the TrainerStore.  experiences, offers, board: names of shared memory.  run: of the store.
    parent: identity of the loop's process.  epoch_ns: wall time of the run's start, unix ns.
    """

    setup: TrainerSetup
    folder: Path
    experiences: str
    offers: str
    board: str
    run: int
    parent: int
    epoch_ns: int
