"""The text of a puzzle: typed, from a file or from standard input; and the shipped model that fits it."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest

from sage.app.models.solving import read_puzzle, shipped_model, show_answer, solve_puzzle
from sage.app.terminal.errors import UserError
from sage.errors import InputError
from sage.hrm_core.tasks.puzzle_text import split_puzzles


@pytest.mark.parametrize(
    "typed", [".4..1.42.23.....", "[[1, 2], [3, 4]]", "53..7....\n6..195...", "x" * 5000, "..."]
)
def test_a_typed_puzzle_is_the_text_itself(typed: str) -> None:
    assert read_puzzle(typed) == typed


@pytest.mark.parametrize(
    "name", ["puzzle.sdk", "a.csv", "./puzzle", "folder/puzzle", "~/puzzle", "/puzzle.txt"]
)
def test_the_name_of_a_missing_file_is_not_a_puzzle(name: str) -> None:
    with pytest.raises(UserError, match=f"{name}: no such file"):
        read_puzzle(name)


def test_a_file_may_have_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("puzzle").write_bytes(b"\xef\xbb\xbf1234")
    assert read_puzzle("puzzle") == "1234"
    with pytest.raises(UserError, match=r"\./: a folder"):
        read_puzzle("./")


def test_standard_input_may_start_with_a_byte_order_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xef\xbb\xbf12\n"), encoding="ascii"))
    assert read_puzzle("-") == "12\n"


def test_a_task_without_forms_takes_the_text_as_it_is() -> None:
    assert split_puzzles("sat", "p cnf 1 1\n1 0\n") == ["p cnf 1 1\n1 0\n"]


@pytest.mark.parametrize(
    ("task", "puzzle", "model"),
    [
        ("sudoku", "." * 16, "sudoku4"),
        ("sudoku", "." * 81, "sudoku9"),
        ("maze", "\n".join([" " * 10] * 10), "maze16"),
        ("maze", "\n".join([" " * 13] * 13), "maze16"),
        ("maze", "\n".join(["#" * 18, *(["#" + " " * 16 + "#"] * 16), "#" * 18]), "maze16"),
    ],
)
def test_the_shipped_model_of_the_puzzles_size_is_found(task: str, puzzle: str, model: str) -> None:
    assert shipped_model(task, puzzle).name == model


@pytest.mark.parametrize(
    ("task", "puzzle", "error"),
    [
        ("sudoku", "." * 256, "no shipped model has 16x16 cells: shipped sizes are 4x4, 6x6, 9x9"),
        ("sudoku", "." * 80, r"the puzzle has 80 cells: give 16 \(4x4\) or 36 \(6x6\) or 81 \(9x9\)"),
        ("maze", "\n".join([" " * 30] * 30), "no shipped model has 30x30 cells: shipped sizes are 6x6, 7x7"),
        (
            "maze",
            "\n".join([" " * 12] * 10),
            "the puzzle has 10 lines of up to 12 cells: give a square of 6x6, 7x7",
        ),
        ("hanoi", "", "no model of this task is shipped"),
    ],
)
def test_another_size_is_an_error_with_the_shipped_sizes(task: str, puzzle: str, error: str) -> None:
    with pytest.raises(InputError, match=error):
        shipped_model(task, puzzle)


@pytest.mark.parametrize(
    "command",
    ["model list", "tasks", "solve sudoko 1", "solve sudoku 1", "solve sudoku x.sdk", "model show smal"],
)
def test_lists_and_name_errors_load_no_torch(command: str) -> None:
    code = (
        "import sys; from sage.app.cli.main import invoke;"
        f"invoke({command.split()!r}); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


@pytest.mark.torch
def test_one_sudoku_is_solved_without_numba_and_without_the_compiler_of_torch() -> None:
    puzzle = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79"
    code = (
        "import sys; from sage.app.cli.main import invoke;"
        f"code = invoke(['solve', 'sudoku', '{puzzle}']);"
        "print(code, 'torch' in sys.modules, {'numba', 'torch._dynamo'} & set(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "0 True set()"


@pytest.mark.parametrize("checkpoint", [[], ["--checkpoint", "sudoku4"]])
def test_a_puzzle_with_several_solutions_is_refused_without_torch(checkpoint: list[str]) -> None:
    code = (
        "import sys; from sage.app.cli.main import invoke;"
        f"code = invoke(['solve', 'sudoku', '12......34......', *{checkpoint!r}]);"
        "print(code, 'torch' in sys.modules, 'numba' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["2", "False", "False"], done.stderr
    assert "more than one solution (at least 2; 4 givens): add givens" in done.stderr


def test_the_guesses_of_a_search_are_shown_and_are_cells_of_the_answer() -> None:
    options = {"max_segments": 1, "search": 256, "search_segments": 1}
    solved = solve_puzzle(
        "sudoku", "...31......45.4..23......25.........", checkpoint="sudoku6", device="cpu", options=options
    )
    assert solved.is_verified
    assert solved.answer.answer is not None
    assert solved.answer.guesses
    for guess in solved.answer.guesses:
        assert guess.row is not None
        assert guess.column is not None
        assert solved.answer.answer[6 * (guess.row - 1) + guess.column - 1] == guess.text
    last = show_answer(solved).splitlines()[-1]
    first = solved.answer.guesses[0]
    assert last.startswith(f"guesses: row {first.row} column {first.column} is {first.text}")
