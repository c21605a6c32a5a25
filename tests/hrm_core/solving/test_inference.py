"""Text in, answers out; and an application's own objects in their place."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sage.errors import InputError
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.solving.adapter import HRMAdapter
from sage.hrm_core.solving.inference import Answer, HRMInference
from sage.hrm_core.solving.published import Published, load_published, save_published
from sage.hrm_core.solving.solver import Solver
from sage.hrm_core.solving.task_card import TaskCard
from sage.hrm_core.tasks.catalogue import make_task

PUZZLE, OTHER = ".4..1.42.23.....", ".1.2...342......"


@pytest.fixture
def inference(build_solver_model: Callable[..., HRM], tmp_path: Path) -> HRMInference:
    save_published(tmp_path / "sudoku4", build_solver_model(), TaskCard(task="sudoku", options={"size": 4}))
    return HRMInference(tmp_path / "sudoku4")


def test_a_typed_puzzle_is_answered(inference: HRMInference) -> None:
    found = inference.solve_one(PUZZLE)
    assert found.puzzle == PUZZLE
    assert found.answer is not None
    assert len(found.answer) == 16
    assert 1 <= found.solution.num_segments <= 16
    assert (
        json.loads(json.dumps(found.to_plain(), allow_nan=False))["num_segments"]
        == found.solution.num_segments
    )


def test_an_abstention_has_no_answer(inference: HRMInference) -> None:
    found = inference.solve_one(PUZZLE, abstains=True, halt="verifier", max_segments=2)
    assert found.answer is None  # the model is untrained
    assert found.to_plain()["is_abstained"]


def test_several_come_back_in_their_order(inference: HRMInference) -> None:
    found = inference.solve([PUZZLE, OTHER, PUZZLE])
    assert [each.puzzle for each in found] == [PUZZLE, OTHER, PUZZLE]
    assert found[0].answer == found[2].answer == inference.solve_one(PUZZLE).answer


def test_the_wrong_one_of_several_is_named(inference: HRMInference) -> None:
    with pytest.raises(ValueError, match="puzzle 2 of 2: the puzzle has 2 cells"):
        inference.solve([PUZZLE, ".."])
    with pytest.raises(ValueError, match=r"^the puzzle has 2 cells"):
        inference.solve_one("..")


def test_without_a_task_there_is_no_text(build_solver_model: Callable[..., HRM], tmp_path: Path) -> None:
    build_solver_model().save_pretrained(tmp_path / "mute")
    mute = HRMInference(load_published(tmp_path / "mute"))
    with pytest.raises(ValueError, match="mute: its checkpoint names no task"):
        mute.solve_one(PUZZLE)
    assert len(mute.solve_cells(np.ones((2, 16), np.int32))) == 2


def test_an_adapter_takes_text_cells_and_grids_as_they_are(inference: HRMInference) -> None:
    adapter, cells = HRMAdapter(inference), inference.encode(PUZZLE)
    as_text, as_cells, as_grid = adapter.batch_predict([PUZZLE, cells.tolist(), cells.reshape(4, 4)])
    for other in (as_cells, as_grid, adapter.predict(PUZZLE)):
        # Rows of a batch differ from each other, and from a batch of one, by the rounding of a product.
        assert other.pop("confidence") == pytest.approx(as_text["confidence"], abs=1e-4)
        assert other == {name: value for name, value in as_text.items() if name != "confidence"}
    assert as_text["puzzle"] == PUZZLE
    assert adapter.batch_predict([]) == []


def test_an_adapter_speaks_the_applications_words(inference: HRMInference) -> None:
    adapter = HRMAdapter(
        inference,
        prepare=lambda order: order["board"].replace("_", "."),
        process=lambda order, answer: (order["id"], answer.answer, answer.solution.num_segments),
    )
    number, answer, num_segments = adapter.predict(
        {"id": 7, "board": PUZZLE.replace(".", "_")}, max_segments=3
    )
    assert (number, answer) == (7, inference.solve_one(PUZZLE, max_segments=3).answer)
    assert num_segments <= 3


@pytest.mark.parametrize("item", [[1, 2], [1.5] * 16, None, np.ones((4, 4))], ids=str)
def test_what_is_no_puzzle_reaches_no_model(item: object, inference: HRMInference) -> None:
    with pytest.raises(ValueError, match="give text, or 16 whole numbers"):
        HRMAdapter(inference).predict(item)


def test_a_wrong_puzzle_of_a_batch_has_its_error_in_its_place(inference: HRMInference) -> None:
    found = inference.batch_predict([PUZZLE, "..", OTHER])
    assert isinstance(found[1], InputError)
    assert "2 cells" in str(found[1])
    assert [each.puzzle for each in (found[0], found[2]) if isinstance(each, Answer)] == [PUZZLE, OTHER]
    assert all(isinstance(each, InputError) for each in inference.batch_predict(["..", ""]))


def test_a_wrong_item_of_an_adapter_has_its_error_in_its_place(inference: HRMInference) -> None:
    found = HRMAdapter(inference).batch_predict([[1, 2], PUZZLE])
    assert isinstance(found[0], InputError)
    assert found[1]["puzzle"] == PUZZLE


#: No solution: 1 has no place in the first row. Several: too few givens.
NONE, SEVERAL = "23....1.....3...", "12......34......"


def test_puzzles_with_no_solution_or_several_are_refused(inference: HRMInference) -> None:
    for puzzle, error in ((NONE, "no solution: check the givens"), (SEVERAL, "more than one solution")):
        with pytest.raises(InputError, match=error):
            inference.solve([puzzle])
        cells = np.array([1 if cell == "." else int(cell) + 1 for cell in puzzle])
        with pytest.raises(InputError, match=error):
            HRMAdapter(inference).predict(cells)
    found = inference.batch_predict([NONE, PUZZLE, SEVERAL])
    assert [isinstance(each, Answer) for each in found] == [False, True, False]
    with pytest.raises(InputError, match="puzzle 2 of 2: the puzzle has more than one solution"):
        inference.solve([PUZZLE, SEVERAL])


def test_a_task_of_another_size_is_refused(inference: HRMInference) -> None:
    task = make_task("sudoku", size=6)
    with pytest.raises(InputError, match="36 cells of 8 symbols, the model 16 of 6"):
        HRMInference(Published(name="m", model=inference.model, task=None, card=None), task=task)
    with pytest.raises(InputError, match="36 cells of 8 symbols, the model 16 of 6"):
        Solver(inference.model, task)
