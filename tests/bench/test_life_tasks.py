"""The bench of three tasks in one model: its board, its figures and its bars."""

from __future__ import annotations

import numpy as np
import pytest
from _life_tasks import ARMS, BOARD, NUM_SYMBOLS, OnBoard, Recolouring, Result, Results

from sage.hrm_core.tasks.catalogue import make_task

SOLVED = ((0.5, 0.2, 0.0), (0.9, 0.7, 0.4), (0.6, 0.8, 1.0))


def _result(arm: str, seed: int, solved: tuple[tuple[float, ...], ...] = SOLVED) -> Result:
    return Result(arm=arm, seed=seed, solved=solved, nights=(), train_secs=1.0, steps=1)


def test_figures_of_a_sequence() -> None:
    result = _result("naive", 0)
    assert result.mean == pytest.approx(0.8)
    assert result.forgotten == pytest.approx((0.3 + 0.0) / 2)
    assert result.backward_transfer == pytest.approx((0.1 + 0.1) / 2)
    assert result.forward_transfer == pytest.approx((0.2 + 0.4) / 2)


def test_a_task_on_the_board_has_symbols_of_its_own_and_its_own_rules() -> None:
    tasks = [OnBoard(make_task("sudoku", size=4), 0), OnBoard(Recolouring(), 1)]
    rows = [task.sample(6, np.random.default_rng(0)) for task in tasks]
    for task, own in zip(tasks, rows):
        assert own.inputs.shape == own.labels.shape == (6, BOARD)
        assert task.verify(own.inputs, own.labels).all()
        wrong = own.labels.copy()
        wrong[:, 1] = np.where(wrong[:, 1] == wrong[:, 1].max(), wrong[:, 1].min(), wrong[:, 1].max())
        assert not task.verify(own.inputs, wrong).any()
    used = [set(np.unique(own.inputs)) - {0} for own in rows]
    assert not used[0] & used[1]
    assert not tasks[0].verify(rows[0].inputs, rows[0].labels + NUM_SYMBOLS).any()  # symbols of another task


def test_held_out_recolourings_are_not_sampled() -> None:
    task = Recolouring()
    held_out = {row.tobytes() for row in task.held_out(200).inputs}
    assert not held_out & {row.tobytes() for row in task.sample(2000, np.random.default_rng(1)).inputs}


def test_bars_are_owed_with_fewer_than_three_seeds() -> None:
    for seeds, is_owed in ((2, True), (3, False)):
        results = Results({arm.name: [_result(arm.name, seed) for seed in range(seeds)] for arm in ARMS})
        bars = results.bars()
        assert [bar.is_met for bar in bars] == ([None, None] if is_owed else [False, True])
        assert len(results.table().rows) == len(ARMS)
