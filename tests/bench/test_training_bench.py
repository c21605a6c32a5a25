"""The bench of small models reads what runs left, and owes a bar where there is no run."""

from __future__ import annotations

import json
from pathlib import Path

from _training_runs import Run, has_ended, read_curve
from _training_solving import Solving
from training import PROMISES, Trained, bars_of, curves_table, runs_table


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


def test_one_nearly_solved_puzzle_that_is_missed_misses_the_bar() -> None:
    bars = bars_of({"sudoku4": [_trained(0, 1.0), _trained(1, 1.0, nearly_solved=0.995)]}, is_quick=False)
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
    assert len({each.recipe for each in PROMISES}) == 4
