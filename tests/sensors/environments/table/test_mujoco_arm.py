"""Plans executed by the simulated arm: cubes move, and what the simulation shows decides what follows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sage.hrm_core.tasks.table.scenes import draw_scenes
from sage.hrm_core.tasks.table.task import TableTask
from sage.sensors.environments.table.arm import Chances, Outcome
from sage.sensors.environments.table.mujoco_arm import ON_PLACE, MujocoArm, as_pairs, place_middles

pytest.importorskip("mujoco")
TASK = TableTask()


def arm_of_pair(slip: float = 0.0) -> tuple[MujocoArm, list[tuple[int, int | None]]]:
    """An arm with a scene in which an object lies upon another one, and its shortest plan."""
    arm = MujocoArm("table", TASK, Chances(slip=slip, change=0.0), np.random.default_rng(0))
    scenes = as_pairs(draw_scenes(TASK.config, 200, np.random.default_rng(5)))
    examples = TASK.solved(scenes)
    has_pair = (TASK.scenes_of(examples.inputs).blockers > 0).any(axis=1)
    chosen = examples.take(np.flatnonzero(has_pair)[:1])
    arm.set_scene(TASK.scenes_of(chosen.inputs))
    return arm, TASK.moves_of(chosen.answers()[0])


def end_of_move(arm: MujocoArm) -> tuple[Outcome, bool]:
    for _ in range(400):
        outcome, has_changed = arm.act()
        if outcome is not Outcome.WORKING:
            return outcome, has_changed
    raise AssertionError("the move does not end")


def test_a_plan_moves_cubes_to_their_goals_and_one_upon_another_is_not_lifted() -> None:
    arm, plan = arm_of_pair()
    under = int(np.flatnonzero(arm.blockers)[0])
    upper = int(np.flatnonzero(arm.blockers[under] >> np.arange(TASK.config.rows) & 1)[0])
    assert arm.middle_of(upper)[2] > arm.middle_of(under)[2] + 0.03
    arm.take_plan([(under, int(arm.goals[under]))])
    assert arm.act() == (Outcome.REFUSED, False)
    arm.take_plan(plan)
    for _ in plan:
        assert end_of_move(arm) == (Outcome.MOVED, False)
    assert arm.is_cleared
    spots = place_middles(TASK.config.rows)
    for row, name in arm._cubes.items():
        assert np.linalg.norm(arm.simulation.place_of(name)[:2] - spots[row]) < ON_PLACE


def test_a_grasp_that_fails_ends_the_plan_and_the_scene_stays() -> None:
    arm, plan = arm_of_pair(slip=0.999)
    before = arm.goals.copy()
    arm.take_plan(plan)
    assert end_of_move(arm) == (Outcome.SLIPPED, False)
    assert not arm.has_plan
    assert (arm.num_slips, arm.num_moves) == (1, 0)
    np.testing.assert_array_equal(arm.goals, before)


def test_a_cube_that_someone_moves_changes_the_scene_and_ends_the_plan() -> None:
    arm, plan = arm_of_pair()
    arm.take_plan(plan)
    assert arm.act() == (Outcome.WORKING, False)
    row = next(each for each in arm._cubes if each != plan[0][0] and not arm.blockers[each])
    taken = {to for _, to in plan[:1]}
    to = next(each for each in np.flatnonzero(arm.goals[:-1] < 0).tolist() if each not in taken)
    name, goal = arm._cubes[row], int(arm.goals[row])
    arm.simulation.put({name: np.array([*place_middles(TASK.config.rows)[to], 0.02])})
    assert end_of_move(arm) == (Outcome.MOVED, True)
    assert not arm.has_plan
    assert (arm.num_changes, int(arm.goals[to]), arm._cubes[to]) == (1, goal, name)
    lost = next(iter(arm._cubes))
    arm.simulation.put({arm._cubes[lost]: np.array([-0.3, 0.3, 0.02])})
    assert not arm._is_as_expected()
    assert np.linalg.norm(arm.simulation.place_of(arm._cubes[lost]) - arm.middle_of(lost)) < ON_PLACE


def test_the_environment_clears_a_table_with_it_and_plans_again_after_a_failed_grasp(open_desk: Any) -> None:
    desk = open_desk(executor="mujoco", slip=0.1, change=0.1, seed=1, max_plans=50)
    while desk.totals["tables cleared"] < 2:
        puzzle = None
        while puzzle is None:
            desk.clock.advance(200_000_000)
            puzzle = desk.puzzle()
        desk.answer(puzzle.number, desk.shortest(puzzle.cells))
        assert desk.result().is_right
    totals = desk.totals
    assert totals["moves"] >= 10
    assert totals["moves refused"] == totals["given up"] == 0
    assert totals["slips"] + totals["changed scenes"] > 0
    assert totals["replans"] > 0
