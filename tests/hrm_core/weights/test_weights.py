"""The weights that come with the package are small, say where they come from, and solve what they promise
to.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from sage.hrm_core.solving.inference import HRMInference
from sage.hrm_core.solving.task_card import read_card, shipped_folders
from sage.hrm_core.tasks.catalogue import make_task
from sage.hrm_core.tasks.maze.config import CARVERS

MOST_BYTES = 1_000_000
SHIPPED = shipped_folders()


@pytest.mark.parametrize("folder", SHIPPED.values(), ids=SHIPPED)
def test_shipped_weights_are_small_and_tell_their_command_their_score_and_their_limits(folder: Path) -> None:
    card = read_card(folder)
    assert card is not None
    assert sum(path.stat().st_size for path in folder.iterdir()) < MOST_BYTES
    assert card.trained["command"].startswith("sage train ")
    assert card.trained["limits"]
    assert card.trained["eval"]["num"] >= 1000


@pytest.mark.parametrize(
    ("name", "num", "least"), [("sudoku4", 64, 1.0), ("sudoku6", 48, 0.97), ("sudoku9", 16, 0.97)]
)
def test_shipped_weights_solve_held_out_puzzles_in_one_pass(name: str, num: int, least: float) -> None:
    model = HRMInference(name)
    assert model.card is not None
    puzzles = (
        make_task("sudoku", size=model.card.options["size"]).held_out(num).inputs
    )  # 9x9: 36 givens and more
    found = model.solve_cells(puzzles, halt="verifier", max_segments=16)
    assert found.is_verified.mean() >= least


def test_shipped_weights_find_a_shortest_way_through_held_out_mazes() -> None:
    model = HRMInference("maze10")
    assert model.card is not None
    mazes = make_task("maze", **model.card.options).held_out(32).inputs
    found = model.solve_cells(mazes, halt="verifier", max_segments=16)
    assert found.is_verified.mean() >= 0.9


def test_one_file_of_weights_solves_mazes_of_each_generator_and_several_sizes() -> None:
    model = HRMInference("maze16")
    for side, least in ((6, 0.9), (10, 0.8)):
        num_solved, num = 0, 0
        for generator in CARVERS:
            task = make_task(
                "maze", size=side, difficulty="easy", generator=generator, walls_removed=(0.0, 0.1)
            )
            mazes = task.held_out(12).inputs
            found = model.at_side(side).solve_cells(mazes, halt="verifier", max_segments=16)
            num_solved, num = num_solved + int(found.is_verified.sum()), num + len(mazes)
        assert num_solved >= least * num


@pytest.mark.parametrize(("name", "size"), [("sudoku4", 4), ("sudoku6", 6), ("sudoku9", 9)])
def test_nearly_solved_puzzles_are_all_solved(name: str, size: int) -> None:
    task = make_task("sudoku", size=size, givens=[size**2 - 5, size**2 - 1])
    puzzles = task.held_out(48).inputs
    found = HRMInference(name).solve_cells(puzzles)  # as it is used: the Q head ends it
    assert task.verify(puzzles, found.answers).all()
