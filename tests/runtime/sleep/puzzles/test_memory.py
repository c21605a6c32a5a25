from __future__ import annotations

import numpy as np
import pytest

from sage.errors import InputError
from sage.hrm_core.tasks.contract import Task
from sage.hrm_core.tasks.orbits import are_examined, orbit_keys
from sage.runtime.config import SolverTrainingConfig
from sage.runtime.sleep.puzzles.memory import PuzzleMemory, surprise_of
from sage.runtime.sleep.puzzles.pool import RecentRows
from sage.runtime.sleep.puzzles.table import Provenance, PuzzleRow, PuzzleTable
from tests.runtime.sleep.puzzles.conftest import Feed


def _memory(tasks: list[Task], **settings: object) -> PuzzleMemory:
    return PuzzleMemory(tasks, SolverTrainingConfig.model_validate(settings))


def test_a_tenth_is_examined_and_never_replayed(tasks: list[Task], feed: Feed) -> None:
    memory = _memory(tasks)
    for experience in feed(500):
        memory.note(experience)
    level = memory.levels[0]
    assert level.replayed.count + level.examined.count == 500
    assert 25 <= level.examined.count <= 90
    for table, is_examined in ((level.replayed, False), (level.recent, False), (level.examined, True)):
        keys = orbit_keys(tasks[0], table.cells[: table.count].astype(np.int32))
        assert (are_examined(keys) == is_examined).all()
        assert (keys == table.columns["orbit"][: table.count]).all()


def test_bytes_are_constant_and_every_level_keeps_its_places(tasks: list[Task], feed: Feed) -> None:
    memory = _memory(tasks, num_replayed=32, num_recent=8, num_examined=8, num_unsolved=8)
    before = memory.nbytes
    for experience in [*feed(60), *feed(200, level=1)]:
        memory.note(experience)
    assert memory.nbytes == before
    assert [level.replayed.count for level in memory.levels] == [32, 32]
    newest = memory.levels[0].recent.columns["number"]
    assert newest.min() > 40


def test_surprising_and_trusted_puzzles_are_kept_more_often(tasks: list[Task], feed: Feed) -> None:
    memory = _memory(tasks, num_replayed=60)
    puzzles = feed(600)
    for index, experience in enumerate(puzzles):
        is_sure = index % 2 == 0
        answer = experience.solution if is_sure else experience.answer
        changes = {"answer": answer, "is_right": is_sure, "confidence": float(is_sure)}
        for noted in feed(1, first=index, **changes):
            memory.note(noted)
    kept = memory.levels[0].replayed.columns["number"][:60]
    assert (kept % 2 == 1).mean() > 0.7


def test_rows_of_later_runs_enter_a_full_reservoir(tasks: list[Task], feed: Feed) -> None:
    """Thirty short runs, each with the memory of the one before: all rows have the same chance to be kept."""
    memory = _memory(tasks, num_replayed=16)
    for run in range(30):
        for experience in feed(10, first=10 * run):
            memory.note(experience)
        state, memory = memory.state(), _memory(tasks, num_replayed=16)
        memory.load_state(state)
    numbers = memory.levels[0].replayed.columns["number"]
    assert (numbers >= 200).sum() >= 2
    assert (numbers < 100).sum() >= 1


@pytest.mark.parametrize("replay", ["uniform", "surprising"])
def test_other_write_rules(tasks: list[Task], feed: Feed, replay: str) -> None:
    memory = _memory(tasks, num_replayed=60, replay=replay)
    for index in range(200):
        memory.note(feed(1, first=index, confidence=float(index % 2), is_right=False)[0])
    share = (memory.levels[0].replayed.columns["surprise"][:60] > 0.99).mean()
    assert share == 1.0 if replay == "surprising" else share > 0


def test_without_replay_practice_has_the_newest_rows(tasks: list[Task], feed: Feed) -> None:
    memory = _memory(tasks, num_recent=16, replay="none")
    for experience in feed(100):
        memory.note(experience)
    level = memory.levels[0]
    assert level.replayed.count == 0
    rows = RecentRows(level.recent, level.replayed, tasks[0], np.random.default_rng(0), moves=False)
    taken = rows.take(64)
    newest = level.recent.cells[: level.recent.count]
    assert len(taken) == 64
    assert all((newest == cells).all(axis=1).any() for cells in taken.inputs)


def test_a_solution_that_breaks_the_rules_is_refused(tasks: list[Task], feed: Feed) -> None:
    memory = _memory(tasks)
    for experience in feed(50):
        assert experience.solution is not None
        memory.note(feed(1, first=experience.number, solution=np.roll(experience.solution, 1))[0])
    assert memory.num_refused == 50
    assert memory.levels[0].replayed.count == 0
    assert memory.levels[0].unsolved.count + memory.levels[0].examined.count == 50


def test_an_answer_that_was_right_is_a_solution(tasks: list[Task], feed: Feed) -> None:
    memory = _memory(tasks)
    for experience in feed(40):
        right = {"answer": experience.solution, "solution": None, "is_right": True}
        memory.note(feed(1, first=experience.number, **right)[0])
    replayed = memory.levels[0].replayed
    assert replayed.count > 25
    assert (replayed.columns["provenance"][: replayed.count] == Provenance.VERIFIED).all()


def test_a_solution_found_by_search_moves_a_puzzle_to_replay(tasks: list[Task], feed: Feed) -> None:
    memory = _memory(tasks)
    puzzles = {each.number: each for each in feed(20)}
    for experience in feed(20, solution=None):
        memory.note(experience)
    level = memory.levels[0]
    num = level.unsolved.count
    number = int(level.unsolved.columns["number"][3])
    solution = puzzles[number].solution
    assert solution is not None
    memory.settle(0, 3, solution, 40)
    assert level.unsolved.count == num - 1
    assert number not in level.unsolved.columns["number"][: num - 1]
    assert level.replayed.columns["number"][0] == number
    assert level.replayed.columns["provenance"][0] == Provenance.SEARCH


def test_state_is_restored(tasks: list[Task], feed: Feed) -> None:
    memory, other = _memory(tasks), _memory(tasks)
    for experience in [*feed(40), *feed(30, level=1), *feed(5, first=40, solution=None)]:
        memory.note(experience)
    other.load_state(memory.state())
    for name, array in memory.state().items():
        assert (other.state()[name] == array).all()


def test_surprise_is_the_error_of_the_confidence_or_the_share_of_wrong_cells(feed: Feed) -> None:
    puzzle = feed(1)[0]
    assert surprise_of(puzzle) == 1.0
    right = {"answer": puzzle.solution, "is_right": True}
    assert surprise_of(feed(1, **right, confidence=0.75)[0]) == 0.25
    assert surprise_of(feed(1, solution=None, confidence=0.3)[0]) == pytest.approx(0.3)
    assert surprise_of(feed(1, answer=np.zeros(0, np.int32))[0]) == 1.0


def test_what_is_no_puzzle_of_the_stream_is_refused(tasks: list[Task], feed: Feed) -> None:
    memory = _memory(tasks)
    with pytest.raises(InputError, match="level is 5"):
        memory.note(feed(1, level=0)[0].__class__(**{**_fields(feed), "level": 5}))
    with pytest.raises(InputError, match="has 16 cells, its level 36"):
        memory.note(feed(1)[0].__class__(**{**_fields(feed), "level": 1}))


def _fields(feed: Feed) -> dict[str, object]:
    puzzle = feed(1)[0]
    return {name: getattr(puzzle, name) for name in puzzle.__dataclass_fields__}


def _table(*numbers: int, capacity: int = 4) -> PuzzleTable:
    table = PuzzleTable(capacity, 1)
    _append(table, *numbers)
    return table


def _append(table: PuzzleTable, *numbers: int) -> None:
    for number in numbers:
        table.append(
            PuzzleRow(
                number=number,
                tick=0,
                cells=np.zeros(1, np.int32),
                solution=None,
                orbit=0,
                provenance=Provenance.NONE,
                trust=1.0,
                surprise=1.0,
            )
        )


def _numbers(table: PuzzleTable) -> list[int]:
    return [int(each) for each in table.columns["number"][: table.count]]


def test_a_table_of_another_capacity_keeps_the_newest_rows() -> None:
    for capacity, expected in ((3, [3, 4, 5]), (4, [4, 5, 2, 3]), (6, [2, 3, 4, 5])):
        table = PuzzleTable(capacity, 1)
        table.load_state(_table(*range(6)).state())
        assert _numbers(table) == expected
        _append(table, 6, 7, 8)
        assert sorted(_numbers(table))[-3:] == [6, 7, 8]
        assert sorted(_numbers(table)) == list(range(9 - capacity, 9))[-table.count :]


def test_after_a_removal_the_oldest_row_is_still_overwritten_first() -> None:
    table = _table(*range(6))
    table.remove(_numbers(table).index(4))
    assert _numbers(table) == [2, 3, 5]
    _append(table, 6, 7, 8)
    assert sorted(_numbers(table)) == [5, 6, 7, 8]
