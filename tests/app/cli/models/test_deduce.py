"""A model of learned deduction from the command line: trained, resumed, judged, solved with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sage.app.cli.main import invoke
from sage.hrm_core.tasks.catalogue import make_task

RECIPE = ["train", "deduce_sudoku4", "--quiet", "--device", "cpu", "--batch-size", "8"]
SMALL = [
    "--set",
    "model.hidden_size=16",
    "--set",
    "train.eval_examples=8",
    "--set",
    "train.eval_segments=[4]",
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run of 40 steps, in two parts."""
    out = str(tmp_path_factory.mktemp("runs") / "deduce")
    assert invoke([*RECIPE, *SMALL, "--steps", "20", "--out", out]) == 0
    assert invoke([*RECIPE, *SMALL, "--steps", "40", "--out", out, "--resume"]) == 0
    return out


def test_the_run_logs_the_losses_of_deduction(run: str) -> None:
    rows = [json.loads(line) for line in (Path(run) / "metrics.jsonl").read_text().splitlines()]
    last = [row for row in rows if "train/keep_loss" in row][-1]
    assert last["step"] == 40
    assert {"train/lm_loss", "train/conflict_loss", "train/lost", "train/wrong_kills"} <= set(last)


def test_eval_reports_chains_with_rules_and_without(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    ways = ["--num", "8", "--segments", "1", "--chains", "2", "--search", "8", "--device", "cpu", "--quiet"]
    assert invoke(["eval", run, *ways]) == 0
    printed = capsys.readouterr().out
    assert "answers accepted by the rules: 2 chains, up to 8 model calls: solved" in printed
    assert "without rules, by the conflict head alone: 2 chains" in printed
    assert invoke(["eval", run, *ways, "--json"]) == 0
    with_rules, without = json.loads(capsys.readouterr().out)["models"][0]["deduced"]
    assert (with_rules["has_rules"], without["has_rules"]) == (True, False)
    assert with_rules["wrong"] == 0.0
    assert with_rules["mean_calls"] <= 8


def test_solve_takes_chains(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    puzzle = make_task("sudoku", size=4).decode(make_task("sudoku", size=4).held_out(1).inputs[0])
    way = ["solve", "sudoku", puzzle, "--checkpoint", run, "--segments", "1", "--chains", "4"]
    invoke([*way, "--search", "20", "--json"])  # a model of 40 steps may fail
    said = json.loads(capsys.readouterr().out)
    assert said["search"]["width"] == 4
    assert said["search"]["calls"] <= 20
    assert said["is_verified"] or said["outcome"] == "budget"
    assert invoke(["solve", "sudoku", puzzle, "--checkpoint", "sudoku4", "--chains", "4"]) == 2
    assert "chains is 4: the model has no deduction heads: leave it out" in capsys.readouterr().err
