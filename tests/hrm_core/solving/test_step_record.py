"""The record of a puzzle's plain try, segment by segment."""

from __future__ import annotations

import numpy as np
import pytest

from sage.hrm_core.solving.engine import Engine
from sage.hrm_core.solving.search_record import SearchRecord
from sage.hrm_core.solving.settings import SolveSettings
from sage.hrm_core.solving.step_record import StepRecord

PUZZLE = np.array([1, 5, 1, 1, 2, 1, 5, 3, 1, 3, 4, 1, 1, 1, 1, 1], np.int32)


@pytest.fixture
def engine() -> Engine:
    import torch

    from sage.hrm_core.config.model import ModelConfig, TokenFront
    from sage.hrm_core.model.hrm import HRM
    from sage.hrm_core.tasks.sudoku.task import SudokuConfig, SudokuTask

    front = TokenFront(vocab_size=6, seq_len=16, positions="learned")
    model = HRM(ModelConfig.preset("tiny", front=front), generator=torch.Generator().manual_seed(0))
    return Engine(model, SudokuTask(SudokuConfig(size=4)))


def test_each_segment_of_the_plain_try_is_recorded_and_the_answer_is_unchanged(engine: Engine) -> None:
    settings = SolveSettings(max_segments=3, halt="never", tries=2, search=5, search_segments=1)
    steps, search = StepRecord(), SearchRecord()
    jobs = [
        engine.submit(PUZZLE, settings, steps=steps, record=search),
        engine.submit(PUZZLE, settings),
    ]
    while not engine.is_idle:
        engine.step()
    recorded, plain = (job.solution() for job in jobs)
    assert (recorded.cells == plain.cells).all()
    assert len(steps.steps) == steps.num_segments == 3
    for step in steps.steps:
        assert step.answer.shape == step.certainty.shape == (16,)
        assert ((step.certainty > 0) & (step.certainty <= 1)).all()
        assert step.H_change > 0
        assert step.L_change > 0
    assert (steps.steps[0].certainty != steps.steps[1].certainty).any()
    # The children of a node are ranked from the most probable to the least.
    children = search.ranks[search.parents == 0]
    assert (np.diff(children) <= 0).all()


def test_segments_after_the_limit_are_counted_only(engine: Engine) -> None:
    steps = StepRecord(max_steps=2)
    engine.submit(PUZZLE, SolveSettings(max_segments=5, halt="never"), steps=steps)
    while not engine.is_idle:
        engine.step()
    assert (len(steps.steps), steps.num_segments) == (2, 5)
