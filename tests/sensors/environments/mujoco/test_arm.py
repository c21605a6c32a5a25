"""The arm's geometry: the jacobian is the derivative of the tip, and limits hold for any command."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sage.sensors.environments.mujoco import arm

WORKSPACE = arm.Workspace(radius=(0.12, 0.45), height=(0.015, 0.40))


def test_the_jacobian_is_the_derivative_of_the_tip() -> None:
    q, step = np.array([0.4, 1.0, -1.3]), 1e-6
    for joint in range(3):
        turn = np.eye(3)[joint] * step
        slope = (arm.tip_of(q + turn) - arm.tip_of(q - turn)) / (2 * step)
        np.testing.assert_allclose(arm.jacobian(q)[:, joint], slope, atol=1e-8)


def test_a_straight_level_arm_reaches_as_far_as_its_links() -> None:
    np.testing.assert_allclose(arm.tip_of(np.zeros(3)), [0.5, 0.0, 0.08])
    np.testing.assert_allclose(arm.tip_of(np.array([np.pi / 2, 0.0, 0.0])), [0.0, 0.5, 0.08], atol=1e-12)


@given(
    st.lists(
        st.tuples(*[st.floats(-5, 5, allow_nan=False)] * 3),
        min_size=1,
        max_size=20,
    )
)
@settings(max_examples=60, deadline=None)
def test_no_command_leads_out_of_the_workspace(turns: list[tuple[float, float, float]]) -> None:
    q = arm.HOME.copy()
    for turn in turns:
        q = arm.limited(q, q + np.array(turn), WORKSPACE)
        assert WORKSPACE.excess(arm.tip_of(q)) <= 1e-9
        assert (q >= arm.JOINT_LOW).all()
        assert (q <= arm.JOINT_HIGH).all()


def test_from_outside_only_the_way_back_is_open() -> None:
    outside = np.array([0.0, 0.0, -0.2])  # stretched far out
    before = WORKSPACE.excess(arm.tip_of(outside))
    assert before > 0
    back = arm.limited(outside, outside + np.array([0.0, 0.3, -0.3]), WORKSPACE)
    assert WORKSPACE.excess(arm.tip_of(back)) < before
    np.testing.assert_array_equal(
        arm.limited(outside, outside + np.array([0.0, 0.0, 0.1]), WORKSPACE), outside
    )


def test_the_hands_frame_turns_with_the_base() -> None:
    assert arm.to_hand(np.array([0.0, 1.0, 2.0]), np.pi / 2) == pytest.approx([1.0, 0.0, 2.0])
