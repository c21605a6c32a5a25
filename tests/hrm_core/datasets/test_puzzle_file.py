"""Puzzle files: the published forms and text, and what is refused in one line."""

from pathlib import Path

import numpy as np
import pytest

from sage.errors import InputError
from sage.hrm_core.datasets.layout import write_ungrouped
from sage.hrm_core.datasets.puzzle_file import read_puzzle_file
from sage.hrm_core.tasks.catalogue import make_task

SOLVED = "1234341221434321"
FOUR = make_task("sudoku", size=4)


def written(tmp_path: Path, text: str, name: str = "puzzles.csv") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def table(*questions: str) -> str:
    return "\n".join(["source,question,answer,rating", *(f"own,{each},{SOLVED},0" for each in questions)])


def test_a_csv_file_gives_puzzles_with_solutions(tmp_path: Path) -> None:
    found = read_puzzle_file(written(tmp_path, table("12343412214343..")), "sudoku", FOUR)
    assert found.has_solutions
    assert FOUR.verify(found.puzzles.inputs, found.puzzles.labels).all()
    assert not len(found.held_out)


def test_text_gives_puzzles_which_are_solved(tmp_path: Path) -> None:
    path = written(tmp_path, "12343412214343..\n123434122143....\n", "puzzles.txt")
    found = read_puzzle_file(path, "sudoku", FOUR)
    np.testing.assert_array_equal(found.puzzles.labels, [[int(digit) + 1 for digit in SOLVED]] * 2)


def test_mazes_as_text_are_solved(tmp_path: Path) -> None:
    task = make_task("maze", size=5, difficulty="easy")
    path = written(tmp_path, "S    \n#### \n     \n ####\n    G\n", "maze.txt")
    found = read_puzzle_file(path, "maze", task)
    assert found.has_solutions
    assert task.verify(found.puzzles.inputs, found.puzzles.labels).all()


def test_an_npz_of_mazes_has_a_held_out_side(tmp_path: Path) -> None:
    task = make_task("maze", size=9, difficulty="easy")
    mazes = task.sample(5, np.random.default_rng(0))
    train, dev = mazes.take(slice(3)), mazes.take(slice(3, 5))
    path = tmp_path / "mazes.npz"
    np.savez(
        path, train_inputs=train.inputs, train_labels=train.labels, dev_inputs=dev.inputs,
        dev_labels=dev.labels,
    )  # fmt: skip
    found = read_puzzle_file(path, "maze", task)
    assert (len(found.puzzles), len(found.held_out)) == (3, 2)
    with pytest.raises(InputError, match="81 cells, the level has 25"):
        read_puzzle_file(path, "maze", make_task("maze", size=5, difficulty="easy"))


REFUSED = {
    "contradiction": ("1134341221434...\n", "puzzle 1: the givens contradict each other"),
    "several": ("12..34..21..43..\n", "puzzle 1: the puzzle has more than one solution"),
    "several in a table": (table("12343412214343..", "12..34..21..43.."), "line 3: the puzzle has more than"),
    "behind a blank line": (
        table("12343412214343..") + f"\n\nown,12..34..21..43..,{SOLVED},0",
        "line 4: the puzzle has more than",
    ),
    "wrong answer": (table("22343412214343.."), "line 2: the answer does not solve the question"),
    "no solution": ("123.3.4.........\n", "puzzle 1"),
    "length": ("1234\n", "puzzle 1: the puzzle has 4 cells"),
    "header": ("source,question\n", "puzzle 1"),
    "empty": ("", "puzzle 1"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_improper_puzzle_is_refused_in_one_line_with_its_place(tmp_path: Path, name: str) -> None:
    text, message = REFUSED[name]
    with pytest.raises(InputError, match=message) as raised:
        read_puzzle_file(written(tmp_path, text), "sudoku", FOUR)
    assert "\n" not in str(raised.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_puzzle_file(tmp_path / "none.csv", "sudoku", FOUR)


@pytest.mark.parametrize(
    ("question", "answer", "told"),
    [
        ("12343412214343..", "1234341221434312", "training side: puzzle 2: its solution does not solve it"),
        ("12..34..21..43..", SOLVED, "training side: puzzle 2: the puzzle has more than one solution"),
        ("12343412214343..", "1234341221434329", "labels are 0 to 10: give 0 to 5"),
    ],
)
def test_a_folder_with_improper_puzzles_is_refused(
    tmp_path: Path, question: str, answer: str, told: str
) -> None:
    def cells(*texts: str) -> np.ndarray:
        return np.array([[1 if each == "." else int(each) + 1 for each in text] for text in texts])

    inputs, labels = cells("12343412214343..", question), cells(SOLVED, answer)
    write_ungrouped(tmp_path / "train", inputs, labels, vocab_size=6, forms=1)
    write_ungrouped(tmp_path / "test", inputs[:1], labels[:1], vocab_size=6, forms=1)
    with pytest.raises(InputError, match=told):
        read_puzzle_file(tmp_path, "sudoku", FOUR)
    for side in ("train", "test"):
        write_ungrouped(tmp_path / side, inputs[:1], labels[:1], vocab_size=6, forms=1)
    assert len(read_puzzle_file(tmp_path, "sudoku", FOUR).held_out) == 1


@pytest.mark.parametrize(
    "text",
    [
        f'"source","question","answer"\r\n"own","12343412214343..","{SOLVED}"\r\n',
        f"Question, Answer\n12343412214343.., {SOLVED}\n",
        f"\ufeffanswer,question\r{SOLVED},12343412214343..\r",
    ],
    ids=["quotes and ends of lines of Windows", "capitals and spaces", "a mark and old ends of lines"],
)
def test_a_table_as_other_programs_write_it_is_read_with_its_answers(tmp_path: Path, text: str) -> None:
    path = tmp_path / "puzzles.csv"
    path.write_bytes(text.encode())
    found = read_puzzle_file(path, "sudoku", FOUR)
    assert FOUR.verify(found.puzzles.inputs, found.puzzles.labels).all()
    path.write_bytes(text.replace(SOLVED, SOLVED.translate(str.maketrans("12", "21"))).encode())
    with pytest.raises(InputError, match="line 2: the answer does not solve the question"):
        read_puzzle_file(path, "sudoku", FOUR)
