"""The puzzle stream through its sensors and its effector."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sage.errors import InputError
from sage.hrm_core.tasks.sudoku.grid import box_of_size, orbit_keys, solve_grids
from sage.mailbox.clock import ManualClock
from sage.sensors.contract import Sensor, SensorContext, SensorError
from sage.sensors.environment import PuzzleEnvironment
from sage.sensors.environments.puzzles.config import PuzzlesConfig
from sage.sensors.environments.puzzles.puzzles_environment import PuzzlesEnvironment
from sage.sensors.puzzle_messages import Puzzle
from sage.sensors.testing.conformance import check_sensor

GRADED = {"levels": [{"task": "sudoku", "options": {"size": 4}}, {"task": "sudoku", "options": {"size": 6}}]}
EVEN = "1234341221434321"


def solved(puzzle: Puzzle) -> np.ndarray:
    """(L,) the cells of its solution."""
    grid = puzzle.cells[None].astype(np.int64) - 1
    found: np.ndarray = solve_grids(grid, box_of_size(round(len(puzzle.cells) ** 0.5))).solutions[0] + 1
    return found.astype(np.int32)


def test_it_is_a_puzzle_environment_with_its_specs_known_before_it_opens(open_desk: Any) -> None:
    environment = open_desk(**GRADED).environment
    assert isinstance(environment, PuzzleEnvironment)
    names = [sensor.spec.name for sensor in environment.sensors()]
    assert names == ["puzzles.puzzle", "puzzles.result", "puzzles.reward", "puzzles.level"]
    assert [sensor.spec.observes[0] for sensor in environment.sensors()] == [
        "puzzle", "result", "reward", "level",
    ]  # fmt: skip
    assert environment.sensors()[0].spec.tensor.shape == (3 + 36,)
    assert [level.name for level in environment.levels] == ["sudoku 4x4", "sudoku 6x6"]
    assert environment.levels[1].options == (("size", 6),)
    (answer,) = environment.effectors()
    assert (answer.spec.name, answer.spec.effect) == ("puzzles.answer", "cognitive")


def test_a_right_answer_is_rewarded_and_a_wrong_one_and_none_are_not(open_desk: Any) -> None:
    desk = open_desk()
    first, second, third = desk.puzzle(), desk.puzzle(), desk.puzzle()
    desk.answer(first.number, solved(first))
    desk.answer(second.number, second.cells)
    desk.abstain(third.number)
    results = [desk.result() for _ in range(3)]
    assert [result.number for result in results] == [0, 1, 2]
    assert [result.is_right for result in results] == [True, False, False]
    rewards = [desk.read("reward") for _ in range(3)]
    assert [float(reward[0]) for reward in rewards if reward is not None] == [1.0, 0.0, 0.0]
    assert desk.read("result") is None


def test_after_an_answer_the_teacher_shows_the_solution_and_never_shows_none(open_desk: Any) -> None:
    desk, silent = open_desk(), open_desk(teacher="never")
    puzzle = desk.puzzle()
    desk.abstain(puzzle.number)
    np.testing.assert_array_equal(desk.result().solution, solved(puzzle))
    silent.abstain(silent.puzzle().number)
    assert silent.result().solution is None


def test_a_level_may_have_a_teacher_of_its_own(open_desk: Any) -> None:
    easy, hard = ({"task": "sudoku", "options": {"size": 4}, "name": name} for name in ("easy", "hard"))
    desk = open_desk(levels=[easy, {**hard, "teacher": "never"}], first_level=1)
    shows = {0: set(), 1: set()}
    for _ in range(40):
        desk.abstain(desk.puzzle().number)
        result = desk.result()
        shows[result.level].add(result.solution is not None)
    assert shows == {0: {True}, 1: {False}}


def test_a_lying_teacher_shows_that_share_of_wrong_solutions_with_the_givens(open_desk: Any) -> None:
    desk = open_desk(teacher={"lying": 0.25})
    num_wrong, num = 0, 400
    for _ in range(num):
        puzzle = desk.puzzle()
        desk.abstain(puzzle.number)
        shown = desk.result().solution
        is_given = puzzle.cells > 1
        np.testing.assert_array_equal(shown[is_given], puzzle.cells[is_given])
        differs = np.flatnonzero(shown != solved(puzzle))
        assert len(differs) in (0, 2)
        num_wrong += bool(len(differs))
    assert 0.18 < num_wrong / num < 0.32


def test_the_window_bounds_what_is_unanswered(open_desk: Any) -> None:
    desk = open_desk(window=3)
    numbers = [desk.puzzle().number for _ in range(3)]
    assert desk.read("puzzle") is None
    desk.abstain(numbers[1])
    assert desk.puzzle().number == 3
    assert desk.read("puzzle") is None


def test_a_rate_bounds_the_puzzles_a_second(open_desk: Any, clock: ManualClock) -> None:
    desk = open_desk(rate_hz=10, window=100)
    num = 0
    for _ in range(100):
        num += desk.read("puzzle") is not None
        clock.advance(20_000_000)
    assert num == 20


def test_an_answer_to_a_puzzle_that_waits_for_none_is_held(open_desk: Any) -> None:
    desk = open_desk()
    puzzle = desk.puzzle()
    assert desk.abstain(99).is_held
    assert not desk.abstain(puzzle.number).is_held
    assert desk.abstain(puzzle.number).is_held
    desk.result()
    assert desk.read("result") is None


def test_equal_seeds_and_equal_answers_give_equal_messages(open_desk: Any) -> None:
    def life(seed: int) -> list[np.ndarray]:
        desk, seen = open_desk(seed=seed, teacher={"lying": 0.5}, **GRADED), []
        for index in range(120):
            puzzle = desk.puzzle()
            desk.answer(puzzle.number, puzzle.cells if index % 40 == 39 else solved(puzzle))
            seen += [puzzle.cells, *(desk.read(part) for part in ("result", "reward", "level"))]
        return [np.zeros(1) if each is None else each for each in seen]

    first, again, other = life(3), life(3), life(4)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_a_move_up_is_a_reading_and_one_puzzle_in_five_is_from_an_earlier_level(open_desk: Any) -> None:
    desk = open_desk(**GRADED)
    assert desk.read("level")[0] == 0
    for _ in range(50):
        puzzle = desk.puzzle()
        assert puzzle.level == 0
        desk.answer(puzzle.number, solved(puzzle))
    assert desk.read("level")[0] == 1
    assert desk.read("level") is None
    levels = []
    for _ in range(100):
        puzzle = desk.puzzle()
        levels.append(puzzle.level)
        assert len(puzzle.cells) == (36 if puzzle.level else 16)
        desk.abstain(puzzle.number)
    assert levels.count(0) == 20


def test_held_out_puzzles_are_never_posed(open_desk: Any) -> None:
    desk = open_desk(task="sudoku", options={"size": 6}, window=1000)
    held_out = desk.environment.held_out(0, 200)
    box = box_of_size(6)
    grids = np.array([solved(desk.puzzle()) for _ in range(300)]) - 1
    assert not np.isin(orbit_keys(grids, box), orbit_keys(held_out.labels - 1, box)).any()
    assert len(held_out) == 200


def test_a_closed_stream_delivers_nothing_and_opens_in_its_first_state(open_desk: Any) -> None:
    desk = open_desk()
    first = desk.puzzle()
    desk.abstain(first.number)
    desk.environment.close()
    desk.environment.close()
    assert desk.read("result") is None
    with pytest.raises(SensorError, match="closed"):
        desk.read("puzzle")
    desk.environment.open()
    again = desk.puzzle()
    assert again.number == 0
    np.testing.assert_array_equal(again.cells, first.cells)


def test_its_puzzle_sensor_passes_the_kit(clock: ManualClock, context: SensorContext) -> None:
    def make() -> Sensor:
        environment = PuzzlesEnvironment(
            PuzzlesConfig(task="sudoku", options={"size": 4}, window=64), context
        )
        environment.open()
        return environment.sensors()[0]

    results = check_sensor(make, clock=clock)
    # A configuration is the environment's, not the sensor's.
    assert {result.name for result in results if not result.is_ok} == {"config_is_a_sensor_config"}


def test_puzzles_of_a_file_come_in_a_seeded_order_and_all_of_them(open_desk: Any, tmp_path: Path) -> None:
    rows = [f"own,{EVEN[:keep]}{'.' * (16 - keep)},{EVEN},0" for keep in (12, 13, 14, 15)]
    (tmp_path / "p.csv").write_text("\n".join(["source,question,answer,rating", *rows]))
    orders = []
    for seed in (0, 1, 2):
        desk = open_desk(file="p.csv", seed=seed)
        orders.append([int((desk.puzzle().cells == 1).sum()) for _ in range(8)])
        assert sorted(orders[-1][:4]) == sorted(orders[-1][4:]) == [1, 2, 3, 4]
    assert len(set(map(tuple, orders))) > 1
    with pytest.raises(InputError, match="give held_out_file"):
        desk.environment.held_out(0, 10)


def test_a_file_is_measured_on_another_file(open_desk: Any, tmp_path: Path) -> None:
    for name, keep in (("p", 12), ("q", 15)):
        (tmp_path / f"{name}.txt").write_text(f"{EVEN[:keep]}{'.' * (16 - keep)}\n")
    desk = open_desk(file="p.txt", held_out_file="q.txt")
    assert (desk.environment.held_out(0, 10).inputs == 1).sum() == 1
    puzzle = desk.puzzle()
    desk.abstain(puzzle.number)
    np.testing.assert_array_equal(desk.result().solution, [int(digit) + 1 for digit in EVEN])


def test_a_puzzle_that_is_posed_is_not_measured_on_in_any_form(open_desk: Any, tmp_path: Path) -> None:
    """The second line of q.txt is that of p.txt with other digits, the third another puzzle."""
    posed = f"{EVEN[:12]}...."
    (tmp_path / "p.txt").write_text(f"{posed}\n")
    renamed = posed.translate(str.maketrans("1234", "2341"))
    (tmp_path / "q.txt").write_text(f"{posed}\n{renamed}\n{EVEN[:15]}.\n")
    desk = open_desk(file="p.txt", held_out_file="q.txt")
    assert (desk.environment.held_out(0, 10).inputs == 1).sum(axis=1).tolist() == [1]
    with pytest.raises(InputError, match=r"p\.txt: every puzzle is in p\.txt too: give others"):
        open_desk(file="p.txt", held_out_file="p.txt")


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "task": ({"task": "sudokku"}, "did you mean 'sudoku'"),
    "option": ({"options": {"sides": 4}}, "option 'sides': unknown"),
    "size": ({"options": {"size": 7}}, "size is 7"),
    "option of a level": (
        {"levels": [{"task": "sudoku", "options": {"size": 4, "givens": []}}]},
        r"levels\.0: task sudoku: givens is \[\]: give two whole numbers",
    ),
    "level": ({"levels": [{"task": "sudoku"}, {"task": "none"}]}, r"levels\.1: task 'none': unknown"),
    "name": ({"levels": [{"task": "sudoku"}, {"task": "sudoku"}]}, "two levels are called 'sudoku 9x9'"),
    "file": ({"file": "none.csv"}, "no such file"),
}


@pytest.mark.parametrize("name", BAD)
def test_an_unknown_task_option_or_file_is_refused_in_one_line(context: SensorContext, name: str) -> None:
    settings, message = BAD[name]
    given = {**({} if "levels" in settings else {"task": "sudoku", "options": {"size": 4}}), **settings}
    with pytest.raises(InputError, match=message) as raised:
        PuzzlesEnvironment(PuzzlesConfig.model_validate(given), context)
    assert "\n" not in str(raised.value)


def test_puzzles_without_solutions_need_a_silent_teacher(
    context: SensorContext, tmp_path: Path, open_desk: Callable[..., Any]
) -> None:
    (tmp_path / "graph.txt").write_text("p edge 2 1\ne 1 2\n")
    settings = {"task": "colouring", "file": "graph.txt", "options": {"colours": 2, "vertices": 2}}
    config = PuzzlesConfig.model_validate(settings)
    with pytest.raises(InputError, match="has no solutions"):
        PuzzlesEnvironment(config, context)
    open_desk(**settings, teacher="never")
    open_desk(levels=[{**settings, "teacher": "never"}], teacher="after")


def test_a_stream_goes_on_at_its_level_with_its_counts_and_other_puzzles(open_desk: Any) -> None:
    desk = open_desk(**GRADED)
    seen = set()
    for _ in range(60):
        puzzle = desk.puzzle()
        seen.add(puzzle.cells.tobytes())
        desk.answer(puzzle.number, solved(puzzle))
    desk.puzzle()  # stays unanswered
    assert desk.environment.level == 1
    state = desk.environment.state()
    other = open_desk_from(open_desk, state)
    assert other.environment.level == 1
    level = other.read("level")
    assert level is not None
    assert level.tolist() == [1]
    puzzle = other.puzzle()
    assert puzzle.number == 61
    assert puzzle.cells.tobytes() not in seen
    again = other.environment.state()
    assert again["last"].tolist() == state["last"].tolist() == [True] * len(state["last"])
    assert again["level"].tolist() == state["level"].tolist()


def open_desk_from(open_desk: Any, state: Any) -> Any:
    """A desk of a new environment that begins at `state`."""
    desk = open_desk(**GRADED)
    desk.environment.close()
    desk.environment.load_state(state)
    desk.environment.open()
    return desk


def test_a_state_of_other_levels_is_refused(open_desk: Any) -> None:
    state = open_desk(**GRADED).environment.state()
    with pytest.raises(InputError, match="its state is of 2 levels, it has 1"):
        open_desk().environment.load_state(state)
