from __future__ import annotations

import numpy as np
import pytest

from sage.errors import InputError
from sage.hrm_core.tasks.table.config import TableConfig
from sage.hrm_core.tasks.table.task import TableTask


def test_a_typed_scene_is_planned_and_drawn() -> None:
    task = TableTask()
    puzzle = task.encode("1>2 2>1 3>4/1")
    assert task.decode(puzzle) == "1>2 2>1 3>4/1"
    assert task.render(puzzle) == "1: goes to 2\n2: goes to 1\n3: goes to 4, behind 1"
    examples = task.solved(task.scenes_of(puzzle[None]))
    answer = examples.answers()[0]
    assert task.decode(answer) == "1>b 2>1 3>4 1>2"
    assert task.render(answer) == "1. 1 to the buffer\n2. 2 to 1\n3. 3 to 4\n4. 1 to 2"
    assert task.moves_of(answer) == [(0, None), (1, 0), (2, 3), (0, 1)]


def test_objects_in_buffers_and_at_their_goals_are_written() -> None:
    task = TableTask(TableConfig(buffers=2))
    for text in ("3>3 5>2/6,7 6>8 7>5 b2>1", "1>2/3 3>1"):
        assert task.decode(task.encode(text)) == text
    for puzzle in task.held_out(20).inputs:
        np.testing.assert_array_equal(task.encode(task.decode(puzzle)), puzzle)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("1>2 x", "'x': give PLACE>GOAL"),
        (f"{'9' * 5000}>1", "give PLACE>GOAL"),  # Python makes no number of so many digits
        ("1>9", "place 9: unknown: give 1 to 8"),
        ("b2>1", "place b2: unknown: give b1 to b1"),
        ("1>2 1>3", "place 1 has two objects"),
        ("1>3 2>3", "place 3 is the goal of two objects"),
        ("1>b1", "goal b1 is a buffer"),
        ("", "the scene has 0 objects"),
        ("1>1", "every object is at its goal"),
        ("1>2/3", "can be in the way"),
        ("1>2/3 3>3", "can be in the way"),
        ("1>2/b1 b1>3", "can be in the way"),
        ("1>2/2 2>3/1", "is in its own way"),
        ("1>2 2>1 b1>3 3>4/1,2 4>5/3", "cannot all reach their goals"),
    ],
)
def test_a_scene_that_breaks_a_rule_is_refused_in_one_line(text: str, told: str) -> None:
    with pytest.raises(InputError) as caught:
        TableTask().encode(text)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
