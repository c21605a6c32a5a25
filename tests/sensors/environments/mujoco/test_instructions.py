"""Instructions: each form names a goal, and a text that names none is refused with the forms."""

from __future__ import annotations

import pytest

from sage.errors import InputError
from sage.sensors.environments.mujoco.instructions import GOAL_CHANNELS, Goal, goal_of

GOALS = {
    "reach the red ball": Goal(task="reach", object="red ball"),
    "Touch the  cube.": Goal(task="reach", object="cube"),
    "push the cube to the left": Goal(task="push", object="cube", direction="left"),
    "push the cube away": Goal(task="push", object="cube", direction="away"),
    "pick up the cube and place it on the pad": Goal(task="pick_and_place", object="cube"),
}


@pytest.mark.parametrize("text", GOALS)
def test_an_instruction_names_a_goal(text: str) -> None:
    assert goal_of(text) == GOALS[text]


def test_the_vector_is_one_hot_in_each_part() -> None:
    vector = goal_of("push the cube to the right").vector
    hot = {name for name, value in zip(GOAL_CHANNELS, vector) if value}
    assert hot == {"push", "cube", "right"}
    assert vector.shape == (len(GOAL_CHANNELS),)


@pytest.mark.parametrize("text", ["", "juggle", "push the pad away", "reach the blue ball"])
def test_a_text_without_a_goal_is_one_line_with_the_forms(text: str) -> None:
    with pytest.raises(InputError, match="names no goal: give one of: reach the OBJECT") as caught:
        goal_of(text)
    assert "\n" not in str(caught.value)
