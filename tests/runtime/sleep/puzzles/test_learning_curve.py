"""From fresh weights to solving held-out puzzles, by practice on a stream."""

from __future__ import annotations

import numpy as np
import pytest

from sage.hrm_core.evaluation.evaluate import run_segments
from sage.hrm_core.model_family import family_of
from sage.hrm_core.tasks.contract import Task
from sage.runtime.config import SolverTrainingConfig
from sage.runtime.sleep.puzzles.inline import InlineLearner
from tests.runtime.sleep.puzzles.conftest import NAMES, Feed

NUM_STEPS, PUZZLES_A_STEP = 140, 4


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_held_out_puzzles_are_solved_after_140_steps_of_practice(tasks: list[Task], feed: Feed) -> None:
    task = tasks[0]
    family = family_of("sudoku", [task.spec])
    learner = InlineLearner("puzzles", NAMES[:1], [task], family.configs, SolverTrainingConfig())
    learner.open(family.weights())
    held_out = task.held_out(200)
    number = 0
    while learner.facts().num_steps < NUM_STEPS:
        learner.note(feed(PUZZLES_A_STEP, first=number % 600))
        number += PUZZLES_A_STEP
        learner.work(0)
        offer = learner.collect()
        if offer is not None:
            family.load_weights(offer.weights)
    trace = run_segments(family[0], held_out, 8)
    index, _ = trace.halted()
    answers = trace.answers[index, np.arange(len(held_out))]
    assert task.verify(held_out.inputs, answers).mean() >= 0.95
