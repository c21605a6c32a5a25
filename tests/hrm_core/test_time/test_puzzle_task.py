import numpy as np
import pytest

from sage.errors import InputError
from sage.hrm_core.tasks.arc.grid import COLOUR
from sage.hrm_core.tasks.arc.source import ArcPuzzle, Pair
from sage.hrm_core.tasks.contract import IGNORED
from sage.hrm_core.test_time.puzzle_task import PuzzleTask, fixed_colours, keeps_size, side_of


def pair(left: list[list[int]], right: list[list[int]]) -> Pair:
    return Pair(input=np.array(left, np.int32), output=np.array(right, np.int32))


def recolour(test_output: int = 7) -> ArcPuzzle:
    """1 becomes 7; 2 stands in one demonstration, 3 in the other."""
    return ArcPuzzle(
        name="own",
        demonstrations=(pair([[1, 2, 0]], [[7, 2, 0]]), pair([[0, 1], [3, 1]], [[0, 7], [3, 7]])),
        tests=(pair([[1, 0, 0, 4]], [[test_output, 0, 0, 4]]),),
    )


def test_colours_that_the_rule_reads_or_writes_are_fixed() -> None:
    assert fixed_colours(recolour()) == (0, 1, 7)


def test_a_colour_made_in_one_demonstration_is_fixed() -> None:
    puzzle = ArcPuzzle(
        name="map", demonstrations=(pair([[3, 5]], [[4, 5]]), pair([[1, 5]], [[2, 5]])), tests=()
    )
    assert fixed_colours(puzzle) == (0, 1, 2, 3, 4, 5)


def test_a_sample_is_a_demonstration_in_some_form_and_place() -> None:
    task = PuzzleTask(recolour())
    assert task.side == side_of(recolour()) == 4
    examples = task.sample(200, np.random.default_rng(0))
    assert examples.inputs.shape == (200, 16)
    assert task.verify(examples.inputs, examples.answers()).all()
    wrong = examples.answers()
    for row, labels in enumerate(examples.labels):
        cell = int(np.flatnonzero(labels >= COLOUR)[0])
        wrong[row, cell] = COLOUR + int(wrong[row, cell] == COLOUR)
    assert not task.verify(examples.inputs, wrong).any()
    assert len({row.tobytes() for row in examples.inputs}) > 20


def test_without_turns_only_free_colours_and_places_change() -> None:
    task = PuzzleTask(recolour(), turns=False)
    rng = np.random.default_rng(0)
    forms = [task.augmentation(rng) for _ in range(50)]
    assert {form.turn for form in forms} == {0}
    assert all(form.colours[each] == each for form in forms for each in (0, 1, 7))
    assert len({form.colours for form in forms}) > 10


def test_the_outputs_of_tests_change_nothing() -> None:
    first, second = PuzzleTask(recolour(7)), PuzzleTask(recolour(9))
    for examples, others in (
        (first.sample(20, np.random.default_rng(1)), second.sample(20, np.random.default_rng(1))),
        (first.held_out(5), second.held_out(5)),
    ):
        np.testing.assert_array_equal(examples.inputs, others.inputs)
        np.testing.assert_array_equal(examples.labels, others.labels)
    assert (first.held_out(5).labels == IGNORED).all()


def test_a_puzzle_that_changes_sizes_is_refused() -> None:
    puzzle = ArcPuzzle(name="crop", demonstrations=(pair([[1, 2]], [[1]]),), tests=())
    assert not keeps_size(puzzle)
    with pytest.raises(InputError, match="puzzle crop: an output has another size"):
        PuzzleTask(puzzle)
