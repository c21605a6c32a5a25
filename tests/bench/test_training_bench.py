"""The bench of small models reads what runs left, and owes a bar where there is no run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from _training_mazes import GENERATORS, REMOVED, MazeShare, mazes_table, measure_mazes
from _training_runs import Run, has_ended, read_curve
from _training_solving import Solving
from training import MAZE_RECIPE, PROMISES, Trained, bars_of, curves_table, maze_bars, runs_table

from sage.hrm_core.config.model import ModelConfig, TokenFront
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.solving.published import save_published
from sage.hrm_core.solving.task_card import TaskCard


def _trained(seed: int, share: float, nearly_solved: float | None = 1.0) -> Trained:
    shares = {1: share / 2, 16: share}
    run = Run(
        recipe="sudoku4",
        seed=seed,
        model=Path("model"),
        num_parameters=7,
        steps=3,
        cpu_secs=10.0 + seed,
        num_held_out=8,
        exact=shares,
        valid=shares,
        spread=(0.0, 1.0),
        baseline=0.1,
        curve=[],
    )
    solving = Solving(
        num=8,
        verified=1.0,
        with_tries=1.0,
        mean_segments=2.0,
        nearly_solved=nearly_solved,
        nearly_solved_one_pass=nearly_solved,
    )
    return Trained(run, solving)


def test_a_bar_is_on_the_median_of_the_seeds_and_owed_where_nothing_ran() -> None:
    found = {"sudoku4": [_trained(0, 1.0), _trained(1, 0.5), _trained(2, 1.0)]}
    bars = {bar.name: bar for bar in bars_of(found, is_quick=False)}
    assert (bars["sudoku4: share solved, 16 segments"].value, bars["sudoku4: CPU seconds"].value) == (
        1.0,
        11.0,
    )
    assert bars["maze10: CPU seconds"].is_met is None
    assert bars["worst run: gain from 1 to 16 segments"].value == 0.25
    assert all(bar.is_met is None for bar in bars_of(found, is_quick=True))
    of_two = {bar.name: bar for bar in bars_of({"sudoku4": found["sudoku4"][:2]}, is_quick=False)}
    assert of_two["sudoku4: CPU seconds"].is_met is None
    assert of_two["worst run: gain from 1 to 16 segments"].is_met is None
    assert of_two["worst run: nearly solved, share solved"].is_met is None


def test_one_nearly_solved_puzzle_that_is_missed_misses_the_bar() -> None:
    trained = [_trained(0, 1.0), _trained(1, 1.0, nearly_solved=0.995), _trained(2, 1.0)]
    bars = bars_of({"sudoku4": trained}, is_quick=False)
    assert [bar.is_met for bar in bars if "nearly solved" in bar.name] == [False]


def test_a_curve_is_means_between_its_points_and_leaves_evaluations_out(tmp_path: Path) -> None:
    lines = [
        {
            "step": step,
            "train/lm_loss": 1.0 / step,
            "train/exact_accuracy": None if step % 2 else 0.5,
            "train/count": 1 - step % 2,
            "train_cpu_seconds": 2.0 * step,
        }
        for step in range(1, 49)
    ]
    path = tmp_path / "metrics.jsonl"
    path.write_text("\n".join(map(json.dumps, [*lines, {"step": 48, "eval/exact_accuracy": 1.0}])) + "\n")
    curve = read_curve(path)
    assert [curve[0].step, curve[-1].step, len(curve)] == [2, 48, 24]
    assert (curve[0].lm_loss, curve[0].exact, curve[-1].cpu_secs) == (0.75, 0.5, 96.0)


def test_a_run_without_a_model_has_not_ended(tmp_path: Path) -> None:
    assert not has_ended(tmp_path)


def test_tables_have_a_row_for_each_run() -> None:
    found = {"sudoku4": [_trained(0, 1.0), _trained(1, 1.0, nearly_solved=None)]}
    assert [row[0] for row in runs_table(found).rows] == ["sudoku4, seed 0", "sudoku4, seed 1"]
    assert not curves_table(found).rows
    assert len({each.recipe for each in PROMISES}) == 5


def _shares(valid: float) -> tuple[MazeShare, ...]:
    """All kinds at 1, and the last at `valid`."""
    shares = [
        MazeShare(generator, removed, 10, 200, 1.0, 0.98, 1.0)
        for generator in GENERATORS
        for removed in REMOVED
    ]
    return (*shares[:-1], replace(shares[-1], valid=valid))


def test_the_bar_of_mazes_is_on_the_worst_kind() -> None:
    runs = [
        replace(_trained(seed, 1.0), mazes=_shares(share)) for seed, share in enumerate((0.8, 0.95, 0.91))
    ]
    bars = maze_bars({MAZE_RECIPE: runs}, _shares(0.89), is_quick=False)
    assert [(bar.value, bar.is_met) for bar in bars] == [(0.89, False), (0.91, True)]
    assert [bar.is_met for bar in maze_bars({}, _shares(1.0), is_quick=False)] == [True, None]
    assert [bar.is_met for bar in maze_bars({MAZE_RECIPE: runs}, _shares(1.0), is_quick=True)] == [None, None]
    row = mazes_table({"shipped": _shares(0.89)}).rows[0]
    assert row[:3] == ("shipped", "10x10", "200")
    assert row[-2:] == ("100.0 / 89.0", "89.0")


def test_mazes_of_each_kind_are_measured_at_a_size_of_the_card(tmp_path: Path) -> None:
    front = TokenFront(vocab_size=6, seq_len=36, positions="none")
    model = HRM(ModelConfig.preset("tiny", front=front, mixer="grid", q_source="mean"))
    save_published(
        tmp_path, model, TaskCard(task="maze", options={"size": 6, "difficulty": "easy"}, sizes=(6, 8))
    )
    shares = measure_mazes(tmp_path, 2, side=7)
    assert [(each.generator, each.removed) for each in shares[:3]] == [
        ("backtracker", 0.0),
        ("backtracker", 0.1),
        ("prim", 0.0),
    ]
    assert {(each.side, each.num) for each in shares} == {(7, 2)}
    assert all(each.low <= each.valid <= each.high for each in shares)
