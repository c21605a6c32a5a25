"""A sudoku application on one page: HRMAdapter converts its board type to the model's input and the answer to
its verdict type.

    python examples/sudoku_app.py
    python examples/sudoku_app.py [--checkpoint sudoku9] [--tries 4] PUZZLE ...

Invariant: the application handles no cells and no tensors; it shows a solution only if it is verified.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

from stopping import run_example

from sage import Answer, HRMAdapter, HRMInference, InputError

PUZZLE = ".39.618..1.4..9..686..5.3.1.4....5.262.743...9...264.3...9.21...9..1.65...8.7...."


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """The application's own type: rows of text, an underscore for a blank."""

    title: str
    rows: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """solved: rows, or None where the model found no valid solution."""

    title: str
    solved: tuple[str, ...] | None
    num_segments: int


def prepare(board: Board) -> str:
    return "".join(board.rows).replace("_", ".")


def process(board: Board, answer: Answer) -> Verdict:
    rows, size = None, len(board.rows)
    if answer.answer is not None:
        rows = tuple(answer.answer[at : at + size] for at in range(0, size * size, size))
    return Verdict(title=board.title, solved=rows, num_segments=answer.solution.num_segments_spent)


def board_of(number: int, puzzle: str) -> Board:
    """A board from one line of symbols; the length gives the size."""
    size = max(1, round(len(puzzle) ** 0.5))
    rows = tuple(puzzle[at : at + size].replace(".", "_") for at in range(0, len(puzzle), size))
    return Board(title=f"board {number}", rows=rows)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "puzzles",
        nargs="*",
        metavar="PUZZLE",
        help="one line of symbols, '.' for a blank; default: a 9x9 sudoku",
    )
    parser.add_argument(
        "--checkpoint", default="sudoku9", help="a shipped model, a folder, a file or a hub repository"
    )
    parser.add_argument("--tries", type=int, default=4, help="attempts a puzzle, with noise after the first")
    options = parser.parse_args(arguments)
    adapter = HRMAdapter(HRMInference(options.checkpoint), prepare=prepare, process=process)
    boards = [board_of(number, puzzle) for number, puzzle in enumerate(options.puzzles or [PUZZLE], start=1)]
    # The verifier ends a try; an answer that it rejects is not returned.
    verdicts = adapter.batch_predict(boards, halt="verifier", abstains=True, tries=options.tries)
    num_solved = 0
    for board, verdict in zip(boards, verdicts):
        if isinstance(verdict, InputError):
            print(f"{board.title}: {verdict}")
            continue
        num_solved += bool(verdict.solved)
        print(
            f"{verdict.title}: {'solved' if verdict.solved else 'no answer'} after {verdict.num_segments}"
            " segments"
        )
        print("\n".join(verdict.solved or ()))
    return 0 if num_solved == len(boards) else 1


if __name__ == "__main__":
    run_example(main)
