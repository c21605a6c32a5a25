"""Half of the rows are episodes, moved by the task's symmetries; the rest is the base task's."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from sage.errors import InputError
from sage.hrm_core.from_search.collecting import collect, puzzles_of
from sage.hrm_core.from_search.episode_task import EpisodeTask, Shares
from sage.hrm_core.from_search.episodes import DEAD, EpisodeFolder, Episodes
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.solving.settings import SolveSettings
from sage.hrm_core.tasks.contract import IGNORED
from sage.hrm_core.tasks.sudoku.grid import orbit_keys, solve_grids
from sage.hrm_core.tasks.sudoku.task import BLANK, SudokuTask
from sage.hrm_core.training.config import TrainConfig
from sage.hrm_core.training.epoch import examples_per_epoch
from sage.hrm_core.training.mirror_task import MirrorTask
from sage.hrm_core.training.trainer import Trainer


@pytest.fixture(scope="module")
def found(guesser: HRM, sudoku4: SudokuTask, tmp_path_factory: pytest.TempPathFactory) -> Episodes:
    folder = EpisodeFolder(tmp_path_factory.mktemp("episodes"))
    settings = SolveSettings(search=80, max_segments=1, search_segments=1, halt="never")
    collect(guesser, sudoku4, puzzles_of(sudoku4, 8, seed=0), folder, settings, origin="untrained")
    return folder.read_all()[0]


def _num_solutions(task: SudokuTask, inputs: np.ndarray) -> np.ndarray:
    return np.asarray(solve_grids(inputs.astype(np.int64) - BLANK, task.box).counts)


def test_every_row_has_a_right_label_or_none_and_no_solution(found: Episodes, sudoku4: SudokuTask) -> None:
    rows = EpisodeTask(sudoku4, found, Shares(episodes=1.0)).sample(300, np.random.default_rng(0))
    is_dead = (rows.labels == IGNORED).all(axis=1)
    assert sudoku4.verify(rows.inputs[~is_dead], rows.labels[~is_dead]).all()
    assert (_num_solutions(sudoku4, rows.inputs) == np.where(is_dead, 0, 1)).all()
    assert 0.15 < is_dead.mean() < 0.35
    assert len(np.unique(rows.inputs, axis=0)) > len(found)  # moved by symmetries


def test_episodes_that_are_not_moved_are_those_of_the_search(found: Episodes, sudoku4: SudokuTask) -> None:
    task = EpisodeTask(sudoku4, found, Shares(episodes=1.0), is_moved=False)
    rows = task.sample(300, np.random.default_rng(0))
    assert {row.tobytes() for row in rows.inputs} <= {row.tobytes() for row in found.inputs}


def test_shares_are_kept(found: Episodes, sudoku4: SudokuTask) -> None:
    task = EpisodeTask(sudoku4, found, Shares(episodes=0.5, true=0.0, dead=1.0))
    rows = task.sample(1000, np.random.default_rng(1))
    is_dead = (rows.labels == IGNORED).all(axis=1)
    assert 0.45 < is_dead.mean() < 0.55
    assert 0.4 < is_dead[:500].mean() < 0.6  # in no order
    assert len(task.sample(0, np.random.default_rng(1))) == 0
    for share in (0.0, 1.0):
        rows = EpisodeTask(sudoku4, found, Shares(episodes=share, true=0.0, dead=1.0)).sample(
            20, np.random.default_rng(2)
        )
        assert (rows.labels == IGNORED).all(axis=1).mean() == share


def test_rows_repeat_with_the_generator(found: Episodes, sudoku4: SudokuTask) -> None:
    task = EpisodeTask(sudoku4, found)
    one, other = (task.sample(64, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(one.inputs, other.inputs)
    np.testing.assert_array_equal(one.labels, other.labels)


def test_a_kind_that_is_missing_leaves_its_share_to_the_others(found: Episodes, sudoku4: SudokuTask) -> None:
    living = found.take(np.flatnonzero(found.kind != DEAD))
    rows = EpisodeTask(sudoku4, living, Shares(episodes=1.0)).sample(40, np.random.default_rng(0))
    assert (rows.labels != IGNORED).all()
    dead = found.take(np.flatnonzero(found.kind == DEAD))
    rows = EpisodeTask(sudoku4, dead, Shares(episodes=1.0, true=1.0, dead=0.0)).sample(
        8, np.random.default_rng(0)
    )
    assert (rows.labels == IGNORED).all()


def test_puzzles_that_one_pass_solves_are_left_out(found: Episodes, sudoku4: SudokuTask) -> None:
    plain = dataclasses.replace(found, calls=np.where(found.puzzle == 0, 1, found.calls))
    task = EpisodeTask(sudoku4, plain, Shares(episodes=1.0, true=0.0, dead=0.0))
    assert task.num_plain_left_out == (found.puzzle == 0).sum() > 0
    rows = task.sample(60, np.random.default_rng(0))
    others = found.labels[(found.puzzle > 0) & (found.kind != DEAD)].astype(np.int64) - BLANK
    assert set(orbit_keys(rows.labels.astype(np.int64) - BLANK, sudoku4.box)) <= set(
        orbit_keys(others, sudoku4.box)
    )
    with pytest.raises(InputError, match="the searches left nothing to learn from"):
        EpisodeTask(sudoku4, dataclasses.replace(found, calls=np.ones_like(found.calls)))


def test_everything_else_is_the_base_tasks(found: Episodes, sudoku4: SudokuTask) -> None:
    task = EpisodeTask(sudoku4, found)
    assert task.spec == sudoku4.spec
    np.testing.assert_array_equal(task.held_out(5).inputs, sudoku4.held_out(5).inputs)
    assert task.verify(task.held_out(5).inputs, task.held_out(5).answers()).all()
    assert task.baseline(task.held_out(5).inputs).name == sudoku4.baseline(task.held_out(5).inputs).name
    assert examples_per_epoch(task) == examples_per_epoch(sudoku4)
    assert not hasattr(EpisodeTask(MirrorTask(seq_len=16, num_symbols=6), found), "baseline")


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({"episodes": 1.5}, r"episodes is 1\.5: give a share"),
        ({"dead": -0.1}, r"dead is -0\.1: give a share"),
        ({"true": 0.6, "dead": 0.6}, "true and dead are"),
    ],
)
def test_a_share_that_is_none_is_refused(shares: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Shares(**shares)


def test_a_dead_row_teaches_the_q_head_and_nothing_else(
    guesser: HRM, found: Episodes, sudoku4: SudokuTask
) -> None:
    """Trained on dead rows alone: the loss of cells is 0, q falls."""
    from copy import deepcopy

    from sage.hrm_core.evaluation.evaluate import run_segments
    from sage.hrm_core.optim.config import OptimizerConfig

    dead = found.take(np.flatnonzero(found.kind == DEAD))
    task, model = EpisodeTask(sudoku4, dead, Shares(episodes=1.0)), deepcopy(guesser)
    model.inner.q_head.bias.data.fill_(2.0)
    rows = task.sample(32, np.random.default_rng(0))
    before = run_segments(model, rows, 2).q_halt
    config = TrainConfig(
        steps=30, batch_size=16, eval_examples=8, eval_segments=(1,),
        optimizer=OptimizerConfig(kind="muon", lr=1e-2, warmup_steps=0),
    )  # fmt: skip
    losses: list[float] = []

    class Watch:
        def on_step(self, progress: object) -> None:
            losses.append(progress.facts.figures["lm_loss"])  # type: ignore[attr-defined]

        def on_evaluation(self, step: int, report: object) -> None: ...

        def on_save(self, step: int, path: Path, is_best: bool) -> None: ...

    Trainer(model, task, config, callbacks=[Watch()]).train()
    assert set(losses) == {0.0}
    assert run_segments(model, rows, 2).q_halt.mean() < before.mean() - 1.0
