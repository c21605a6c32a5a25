"""What every task promises, asked of every task: the suite a new one has to pass."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sage.errors import InputError
from sage.hrm_core.tasks.catalogue import make_task, targets
from sage.hrm_core.tasks.contract import IGNORED, Examples

NUM = 24
BUILDS: dict[str, dict[str, Any]] = {
    "sudoku-4": {"size": 4},
    "sudoku-6": {"size": 6},
    "sudoku-9": {"size": 9, "nearly_solved": 0.3},
    "maze-easy": {"size": 8, "difficulty": "easy"},
    "maze-rare": {"size": 7, "min_moves": 16},
    "patterns": {},
    "hanoi-plan": {"disks": 4},
    "hanoi-next": {"disks": 5, "horizon": 1},
    "sat": {"variables": 5},
    "colouring": {"vertices": 6},
    "brackets-dyck": {},
    "brackets-anbn": {"grammar": "anbn", "depth": 40},
    "diagnosis": {},
    "table": {},
    "table-small": {"objects": (3, 4), "places": 4, "buffers": 2, "aside": 1},
    "text": {"length": 16},
    "arc": {"num_aug": 3},
    "arc_generated": {"side": 8, "variants": 4},
    "folder": {},
    "mixture": {
        "tasks": [{"name": "sudoku", "size": 4}, {"name": "patterns", "weight": 2}],
        "vocabulary": "offset",
    },
}
#: Answers here are unique, so that one wrong cell is a wrong answer.
UNIQUE = [name for name in BUILDS if not name.startswith(("sat", "colouring", "table"))]
SYMMETRIC = [name for name in BUILDS if name.startswith(("sudoku", "maze", "table")) or name == "arc"]
WRITTEN = [name for name in BUILDS if name not in ("folder", "mixture")]


@pytest.fixture(scope="module")
def build(arc_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """A new task by its name above."""
    from sage.hrm_core.datasets.build_arc import build_arc

    folder = tmp_path_factory.mktemp("tasks")
    (folder / "text.txt").write_text(
        "".join(f"line {number} of a text, {number * number}\n" for number in range(200))
    )
    build_arc(str(arc_folder), out=folder / "arc", num_aug=2)
    where = {
        "text": {"path": str(folder / "text.txt")},
        "arc": {"train": str(arc_folder), "evaluate": str(arc_folder)},
        "folder": {"path": str(folder / "arc")},
    }
    return lambda name: make_task(name.split("-")[0], **{**BUILDS[name], **where.get(name, {})})


@pytest.fixture(scope="module")
def tasks(build: Callable[[str], Any]) -> dict[str, Any]:
    return {name: build(name) for name in BUILDS}


def told(examples: Examples) -> np.ndarray:
    """What a perfect model says; where no label counts, padding."""
    return np.where(examples.labels == IGNORED, examples.inputs, examples.labels)


def test_every_built_in_task_is_in_the_suite() -> None:
    built_in = {name for name, target in targets().items() if target.startswith("sage.")}
    assert built_in == {name.split("-")[0] for name in BUILDS}


@pytest.mark.parametrize("name", BUILDS)
def test_examples_have_the_shapes_and_symbols_of_the_spec(name: str, tasks: dict[str, Any]) -> None:
    task = tasks[name]
    for examples in (task.sample(NUM, np.random.default_rng(0)), task.held_out(NUM)):
        assert examples.inputs.shape == examples.labels.shape == (len(examples), task.spec.seq_len)
        assert examples.inputs.dtype == examples.labels.dtype == examples.puzzle_ids.dtype == np.int32
        assert examples.inputs.min() >= 0
        assert examples.inputs.max() < task.spec.vocab_size
        counts = examples.labels[examples.labels != IGNORED]
        assert 0 <= counts.min() <= counts.max() < task.spec.vocab_size
        ids = examples.puzzle_ids
        assert (
            (ids == -1).all()
            if task.spec.num_puzzle_ids == 0
            else ((ids > 0) & (ids < task.spec.num_puzzle_ids)).all()
        )
    assert len(task.sample(NUM, np.random.default_rng(0))) == NUM


@pytest.mark.parametrize("name", BUILDS)
def test_labels_are_right_and_nothing_is_not(name: str, tasks: dict[str, Any]) -> None:
    task = tasks[name]
    for examples in (task.sample(NUM, np.random.default_rng(1)), task.held_out(NUM)):
        answers = (
            told(examples) if name != "folder" else np.where(examples.labels == IGNORED, 0, examples.labels)
        )
        assert task.verify(examples.inputs, answers).all()
        nothing = np.where(examples.labels == IGNORED, examples.inputs, 0)
        assert not task.verify(examples.inputs, nothing).any()


@pytest.mark.parametrize("name", UNIQUE)
def test_one_wrong_cell_is_a_wrong_answer(name: str, tasks: dict[str, Any]) -> None:
    task = tasks[name]
    examples, rng = task.sample(NUM, np.random.default_rng(2)), np.random.default_rng(3)
    answers = told(examples) if name != "folder" else np.where(examples.labels == IGNORED, 0, examples.labels)
    for row, labels in enumerate(examples.labels):
        # The last byte of a text has no successor in the inputs to judge it by.
        cells = np.flatnonzero(labels != IGNORED)[: -1 if name == "text" else None]
        cell = rng.choice(cells)
        # In ARC another colour inside the grid: a mark outside it is not part of the answer.
        if name in ("arc", "arc_generated", "folder"):
            cell = rng.choice(np.flatnonzero(labels > 1))
            answers[row, cell] = 2 + (answers[row, cell] - 1) % 10
        else:
            answers[row, cell] = (answers[row, cell] + 1) % task.spec.vocab_size
    assert not task.verify(examples.inputs, answers).any()


@pytest.mark.parametrize("name", BUILDS)
def test_evaluation_is_the_same_in_every_run(
    name: str, build: Callable[[str], Any], tasks: dict[str, Any]
) -> None:
    first, second = tasks[name].held_out(NUM), build(name).held_out(NUM // 2)
    assert 0 < len(second) <= NUM // 2
    np.testing.assert_array_equal(first.inputs[: len(second)], second.inputs)
    np.testing.assert_array_equal(first.labels[: len(second)], second.labels)


@pytest.mark.parametrize("name", BUILDS)
def test_training_shows_nothing_of_evaluation(name: str, tasks: dict[str, Any]) -> None:
    seen = {
        (row.tobytes(), label.tobytes())
        for row, label in _rows(tasks[name].sample(400, np.random.default_rng(4)))
    }
    kept = [(row.tobytes(), label.tobytes()) for row, label in _rows(tasks[name].held_out(200))]
    assert len(set(kept)) == len(kept)
    assert not seen & set(kept)


def _rows(examples: Examples) -> list[tuple[np.ndarray, np.ndarray]]:
    return list(zip(examples.inputs, examples.labels))


@pytest.mark.parametrize("name", BUILDS)
def test_one_seed_gives_one_batch(name: str, build: Callable[[str], Any], tasks: dict[str, Any]) -> None:
    first, again = (task.sample(NUM, np.random.default_rng(5)) for task in (tasks[name], build(name)))
    other = tasks[name].sample(NUM, np.random.default_rng(6))
    for array in ("inputs", "labels", "puzzle_ids"):
        np.testing.assert_array_equal(getattr(first, array), getattr(again, array))
    assert (first.inputs != other.inputs).any()


@pytest.mark.parametrize("name", SYMMETRIC)
def test_a_moved_puzzle_is_another_with_the_right_labels(name: str, tasks: dict[str, Any]) -> None:
    examples = tasks[name].sample(NUM, np.random.default_rng(7))
    moved = tasks[name].transform(examples, np.random.default_rng(8))
    assert (moved.inputs != examples.inputs).any(axis=1).mean() > 0.5
    assert tasks[name].verify(moved.inputs, told(moved)).all()


@pytest.mark.parametrize("name", WRITTEN)
def test_what_is_written_can_be_read(name: str, tasks: dict[str, Any]) -> None:
    task = tasks[name]
    examples = task.held_out(8)
    for cells in examples.inputs:
        np.testing.assert_array_equal(task.encode(task.decode(cells)), cells)
        assert task.render(cells)


@pytest.mark.parametrize("name", BUILDS)
def test_a_trivial_answer_has_a_name_and_is_judged(name: str, tasks: dict[str, Any]) -> None:
    if not hasattr(tasks[name], "baseline"):
        pytest.skip("no baseline")
    examples = tasks[name].held_out(NUM)
    baseline = tasks[name].baseline(examples.inputs)
    assert baseline.name
    assert baseline.answers.shape == examples.inputs.shape
    assert tasks[name].verify(examples.inputs, baseline.answers).shape == (len(examples),)


def test_a_term_of_a_sequence_with_too_many_digits_is_one_line() -> None:
    with pytest.raises(InputError, match="give a whole number of 0 to 999") as caught:
        make_task("patterns").encode(f"1 2 3 {'9' * 5000} ? ?")
    assert len(str(caught.value)) < 200
