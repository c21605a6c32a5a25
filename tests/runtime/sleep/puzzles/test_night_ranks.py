"""A night that several processes train together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from sage.hrm_core.model_family import ModelFamily
from sage.hrm_core.optim.ranks import Ranks
from sage.hrm_core.tasks.contract import Examples, Task
from sage.runtime.sleep.puzzles.examination import Answers
from sage.runtime.sleep.puzzles.night import NightPlan, PuzzleNight
from tests.runtime.sleep.puzzles.conftest import NAMES, Feed, MakeTrainer


class TwoRanks(Ranks):
    """One process, whose examination is averaged with that of another, which solved what it did not."""

    def mean(self, value: float) -> float:
        return 0.5


def test_processes_of_one_night_train_the_same_levels_whatever_each_of_them_has_answered(
    tasks: list[Task], make_trainer: MakeTrainer, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gradients of different levels were averaged, or the processes waited for each other for ever."""
    trainer = make_trainer(60, num_levels=2, night_steps=12, num_asked=4, dream_share=0.0)
    for experience in feed(60, level=1):
        trainer.memory.note(experience)
    chosen = []
    for solved in (0, 1):

        def answers(model: Any, task: Task, examples: Examples, solved: int = solved) -> Iterator[Answers]:
            is_solved = np.full(len(examples), (task.spec.seq_len == 16) == bool(solved))
            yield Answers(cells=examples.inputs, is_solved=is_solved)

        monkeypatch.setattr("sage.runtime.sleep.puzzles.night.answers_of", answers)
        plan = NightPlan(stream="puzzles", names=NAMES, config=trainer._config, seed=0, tick=1)
        night = PuzzleNight(tasks, ModelFamily(trainer.configs), trainer.memory, plan, ranks=TwoRanks())
        night._rng.random(solved)  # as after a search that found something else
        night.run()
        chosen.append([level for level, _ in night._losses])
    assert set(chosen[0]) == {0, 1}
    assert chosen[0] == chosen[1]
