"""The examples that train: a few steps of each; a signal ends them with one line and exit code 143."""

from __future__ import annotations

import json
import runpy
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
#: SIGNAL arrives at the first optimizer step, or at the given call of an example without Trainer.
STOP_AT = """
import os, runpy, sys
sys.path.insert(0, {folder!r})
from {module} import {owner}
before = {owner}.{call}
def call(*arguments, **options):
    os.kill(os.getpid(), {number})
    return before(*arguments, **options)
{owner}.{call} = call
sys.argv = [{path!r}]
runpy.run_path({path!r}, run_name="__main__")
"""


def run_example(name: str, *arguments: str) -> tuple[list[str], dict[str, Any]]:
    """Lines printed, and the JSON of the last."""
    command = [sys.executable, str(EXAMPLES / name), *arguments]
    lines = subprocess.run(command, check=True, capture_output=True, text=True, cwd="/").stdout.splitlines()
    return lines, json.loads(lines[-1])


@pytest.mark.torch
def test_own_task_trains_and_solves_rows() -> None:
    lines, summary = run_example("own_task.py", "--steps", "5", "--digits", "3", "--batch-size", "32")
    assert (summary["steps"], summary["task"]) == (5, {"digits": 3})
    assert 0 <= summary["exact"] <= 1
    assert sum("  ->  " in line for line in lines) == 3


@pytest.mark.slow
def test_own_task_learns_to_sort_by_default() -> None:
    _, summary = run_example("own_task.py")
    assert summary["exact"] >= 0.95


@pytest.mark.torch
def test_both_models_generate_and_the_cache_changes_no_symbol() -> None:
    lines, summary = run_example("text_generation.py", "--steps", "3")
    assert summary["same_text"]
    assert [line[:3] for line in lines[:6]] == ["HRM", "GPT"] * 3


@pytest.mark.torch
def test_only_verified_plans_are_executed() -> None:
    _, summary = run_example("planning.py", "--steps", "3", "--disks", "3", "--puzzles", "6")
    assert summary["wrong_plans_executed"] == 0
    assert summary["executed"] + summary["abstained"] == summary["puzzles"]


def test_a_plan_is_described_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    planning = runpy.run_path(str(EXAMPLES / "planning.py"))
    task = planning["HanoiTask"](planning["HanoiConfig"](disks=3))
    label = task._row([0, 0, 2], 2)  # disks 1 and 2 on A, disk 3 on C, goal C: three moves
    assert planning["describe"](task, np.array(label), np.array(label)) == [
        "Move all 3 disks to C (disk 1 is the smallest)",
        "  start: A has 2 1, B has no disk, C has 3",
        "  1. move disk 1, the top disk, from A to B: A has 2, B has 1, C has 3",
        "  2. move disk 2, the top disk, from A to C: A has no disk, B has 1, C has 3 2",
        "  3. move disk 1, the top disk, from B to C: A has no disk, B has no disk, C has 3 2 1",
        "  all disks are on C",
    ]


@pytest.mark.torch
@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--steps", "0"], "own_task: steps is 0: give a number above 0, below 2^63\n"),
        (["--digits", "1"], "own_task: digits is 1: give 2 to 64\n"),
    ],
)
def test_a_wrong_option_is_one_line_and_exit_code_2(arguments: list[str], line: str) -> None:
    command = [sys.executable, str(EXAMPLES / "own_task.py"), *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, line)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    ("name", "module", "owner", "call"),
    [
        ("own_task", "sage.hrm_core.training.learner", "Learner", "step"),
        ("planning", "sage.hrm_core.training.learner", "Learner", "step"),
        ("text_generation", "sage.hrm_core.training.learner", "Learner", "step"),
        ("reach", "torch.optim", "AdamW", "step"),
        ("micro_hrm", "random", "Random", "randint"),
    ],
)
def test_a_signal_ends_an_example_with_one_line(
    name: str, module: str, owner: str, call: str, number: signal.Signals
) -> None:
    path = str(EXAMPLES / f"{name}.py")
    code = STOP_AT.format(
        folder=str(EXAMPLES), path=path, module=module, owner=owner, call=call, number=int(number)
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("\n")) == (143, 1), done.stderr
    assert done.stderr.startswith(f"{name}: stopped ")


def test_own_task_stays_short() -> None:
    assert len((EXAMPLES / "own_task.py").read_text().splitlines()) < 120
