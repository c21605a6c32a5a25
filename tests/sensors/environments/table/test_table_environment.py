"""The tables through their sensors and their effector."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from sage.hrm_core.tasks.table.breadth_first import breadth_first_plan, legal_moves
from sage.hrm_core.tasks.table.kernel import HOME
from sage.mailbox.clock import ManualClock
from sage.sensors.contract import Sensor, SensorContext, SensorError
from sage.sensors.environment import Counting, PuzzleEnvironment
from sage.sensors.environments.table.config import TableWorldConfig
from sage.sensors.environments.table.table_environment import TableEnvironment
from sage.sensors.testing.conformance import check_sensor


def test_it_is_a_puzzle_environment_of_one_level(open_desk: Any) -> None:
    environment = open_desk().environment
    assert isinstance(environment, PuzzleEnvironment)
    assert isinstance(environment, Counting)
    names = [sensor.spec.name for sensor in environment.sensors()]
    assert names == ["table.puzzle", "table.result", "table.reward", "table.level"]
    (level,) = environment.levels
    assert (level.name, level.task, level.num_cells) == ("table of 5 to 8 objects", "table", 81)
    assert len(environment.held_out(0, 7)) == 7


def test_a_right_plan_is_executed_move_by_move_and_the_next_scene_begins(open_desk: Any) -> None:
    desk = open_desk()
    first = desk.next_puzzle()
    plan = desk.shortest(first.cells)
    num_moves = len(desk.task.moves_of(plan))
    assert not desk.answer(first.number, plan).is_held
    result = desk.result()
    assert result.is_right
    assert (desk.read("reward"), result.number) == (np.ones(1), first.number)
    np.testing.assert_array_equal(result.solution, plan)
    for made in range(num_moves):
        assert desk.puzzle() is None
        assert desk.totals["moves"] == made
        desk.clock.advance(200_000_000)
    second = desk.puzzle()
    assert second.number == 1
    assert desk.totals["tables cleared"] == 1
    assert desk.totals["moves"] == num_moves
    assert desk.task.num_moves(second.cells[None])[0] > 0


def test_a_plan_that_breaks_a_rule_is_executed_up_to_there_and_asked_for_again(open_desk: Any) -> None:
    desk = open_desk()
    first = desk.next_puzzle()
    scene = desk.task.scenes_of(first.cells[None])
    goals, blockers, places = scene.goals[0], scene.blockers[0], desk.task.config.places
    states = np.zeros(len(goals), np.int64)
    row, to = next(move for move in breadth_first_plan(goals, blockers, places) or ())
    states[row] = to
    allowed = legal_moves(goals, blockers, places, states)
    blocked = next(
        other for other in np.flatnonzero(scene.is_open[0] & (states == 0)) if (other, HOME) not in allowed
    )
    aside, home = np.zeros((2, 1, len(goals)), np.int64)
    (home if to == HOME else aside)[0, row] = 1
    home[0, blocked] = 2
    desk.answer(first.number, desk.task.with_plan(first.cells[None], aside, home)[0])
    assert not desk.result().is_right
    again = desk.next_puzzle()
    assert again.number == 1
    assert (desk.totals["moves"], desk.totals["moves refused"], desk.totals["given up"]) == (1, 1, 0)
    shortest = desk.task.num_moves(np.stack([first.cells, again.cells]))
    assert shortest[1] == shortest[0] - 1


def test_a_scene_is_given_up_after_too_many_plans(open_desk: Any) -> None:
    desk = open_desk(max_plans=3)
    for number in range(3):
        assert desk.totals["given up"] == 0
        puzzle = desk.next_puzzle()
        assert puzzle.number == number
        desk.answer(number, np.zeros(0, np.int32))
        assert not desk.result().is_right
    assert desk.totals["given up"] == 1
    assert desk.totals["replans"] == 2


def test_places_have_new_numbers_each_time_and_the_scene_is_the_same(open_desk: Any) -> None:
    desk = open_desk(max_plans=9)
    scenes = []
    for _ in range(5):
        puzzle = desk.next_puzzle()
        scenes.append(puzzle.cells)
        desk.answer(puzzle.number, np.zeros(0, np.int32))
    assert len(np.unique(desk.task.orbit_keys(np.array(scenes)))) == 1
    assert len(np.unique(np.array(scenes), axis=0)) > 1


def test_a_scene_that_changes_is_planned_again_and_still_cleared(open_desk: Any) -> None:
    desk = open_desk(change=0.5, slip=0.2, tables=4)
    while desk.totals["tables cleared"] < 30:
        puzzle = desk.next_puzzle()
        desk.answer(puzzle.number, desk.shortest(puzzle.cells))
        assert desk.result().is_right
    totals = desk.totals
    assert totals["given up"] == totals["moves refused"] == 0
    waiting = totals["changed scenes"] - totals["replans"]
    assert 0 <= waiting <= 4
    assert totals["replans"] > 20
    assert totals["slips"] > 10


def test_an_answer_to_a_scene_that_waits_for_none_is_held(open_desk: Any) -> None:
    desk = open_desk(teacher="never")
    puzzle = desk.next_puzzle()
    assert desk.answer(99, puzzle.cells).is_held
    assert not desk.answer(puzzle.number, desk.shortest(puzzle.cells)).is_held
    assert desk.answer(puzzle.number, puzzle.cells).is_held
    assert desk.result().solution is None
    assert desk.read("result") is None


def test_equal_seeds_and_equal_answers_give_equal_messages(open_desk: Any) -> None:
    def life(seed: int) -> list[np.ndarray]:
        desk, seen = open_desk(seed=seed, tables=3, change=0.3, slip=0.2), []
        for index in range(60):
            puzzle = desk.next_puzzle()
            plan = desk.shortest(puzzle.cells) if index % 4 else puzzle.cells
            desk.answer(puzzle.number, plan)
            seen += [puzzle.cells, desk.read("result"), desk.read("reward")]
        return seen

    first, again, other = life(3), life(3), life(4)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_a_held_out_scene_never_begins(open_desk: Any) -> None:
    desk = open_desk(max_plans=1)
    held_out = desk.task.orbit_keys(desk.environment.held_out(0, 300).inputs)
    begun = []
    for _ in range(300):
        puzzle = desk.next_puzzle()
        begun.append(puzzle.cells)
        desk.answer(puzzle.number, np.zeros(0, np.int32))
    assert not np.isin(desk.task.orbit_keys(np.array(begun)), held_out).any()


def test_a_closed_environment_delivers_nothing_and_opens_in_its_first_state(open_desk: Any) -> None:
    desk = open_desk()
    first = desk.next_puzzle()
    desk.answer(first.number, desk.shortest(first.cells))
    desk.environment.close()
    desk.environment.close()
    assert desk.read("result") is None
    assert desk.totals["plans"] == 1
    with pytest.raises(SensorError, match="closed"):
        desk.read("puzzle")
    desk.environment.open()
    again = desk.next_puzzle()
    assert (again.number, desk.totals["plans"]) == (0, 0)
    np.testing.assert_array_equal(again.cells, first.cells)


def test_its_scene_sensor_passes_the_kit(clock: ManualClock, context: SensorContext) -> None:
    def make() -> Sensor:
        environment = TableEnvironment(TableWorldConfig(tables=64), context)
        environment.open()
        return environment.sensors()[0]

    results = check_sensor(make, clock=clock)
    # A configuration is the environment's, not the sensor's.
    assert {result.name for result in results if not result.is_ok} == {"config_is_a_sensor_config"}


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"objects": (5, 9)}, "objects is 5 to 9"),
        ({"places": 4}, "places is 4"),
        ({"buffers": 0}, "buffers is 0"),
        ({"slip": 1.0}, "slip"),
        ({"move_secs": 0}, "move_secs"),
        ({"teacher": "lies"}, "teacher"),
    ],
)
def test_a_wrong_setting_is_refused(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        TableWorldConfig.model_validate(settings)
