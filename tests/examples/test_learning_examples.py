"""The examples run as they stand, for a few steps: they say what they did, and claim nothing that few steps
cannot give.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def told_by(name: str, *arguments: str) -> tuple[list[str], dict[str, Any]]:
    """Lines printed, and the JSON of the last."""
    command = [sys.executable, str(EXAMPLES / name), *arguments]
    lines = subprocess.run(command, check=True, capture_output=True, text=True, cwd="/").stdout.splitlines()
    return lines, json.loads(lines[-1])


def test_a_task_of_ones_own_is_learned_from() -> None:
    lines, told = told_by("own_task.py", "--steps", "5", "--digits", "3", "--batch-size", "32")
    assert (told["steps"], told["task"]) == (5, {"digits": 3})
    assert 0 <= told["exact"] <= 1
    assert sum("  ->  " in line for line in lines) == 3


def test_both_twins_write_and_the_cache_changes_no_symbol() -> None:
    lines, told = told_by("text_generation.py", "--steps", "3")
    assert told["same_text"]
    assert [line[:3] for line in lines[:-1]] == ["HRM", "GPT"] * 3


def test_no_plan_is_carried_out_that_was_not_verified() -> None:
    _, told = told_by("planning.py", "--steps", "3", "--disks", "3", "--puzzles", "6")
    assert told["wrong_plans_carried_out"] == 0
    assert told["carried_out"] + told["abstained"] == told["puzzles"]


def test_what_is_wrong_is_named() -> None:
    command = [sys.executable, str(EXAMPLES / "own_task.py"), "--steps", "0"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode != 0
    assert "steps" in done.stderr


@pytest.mark.parametrize("name", ["own_task.py"])
def test_the_example_stays_short(name: str) -> None:
    assert len((EXAMPLES / name).read_text().splitlines()) < 120
