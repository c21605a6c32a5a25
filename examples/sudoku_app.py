"""A sudoku application in a page: its own board type in, its own verdict out, a trained model in between.

    python examples/sudoku_app.py [--checkpoint sudoku9] [--tries 4] "53..7....6..195...." ...

Invariant: the application never sees a cell or a tensor; a board it cannot trust it does not show.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from sage.errors import InputError
from sage.hrm_core.solving.adapter import HRMAdapter
from sage.hrm_core.solving.inference import Answer, HRMInference


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """What this application works with: rows of text, an underscore for a blank."""

    title: str
    rows: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """solved: rows, or None where the model has no answer that the rules accept."""

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
    """A board from one line of symbols; its size from its length."""
    size = max(1, round(len(puzzle) ** 0.5))
    rows = tuple(puzzle[at : at + size].replace(".", "_") for at in range(0, len(puzzle), size))
    return Board(title=f"board {number}", rows=rows)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("puzzles", nargs="+", metavar="PUZZLE", help="one line of symbols, '.' for a blank")
    parser.add_argument(
        "--checkpoint", default="sudoku9", help="a shipped name, a folder, a file or a hub repository"
    )
    parser.add_argument(
        "--tries", type=int, default=4, help="tries with noise, for what the first does not solve"
    )
    given = parser.parse_args(arguments)
    try:
        adapter = HRMAdapter(HRMInference(given.checkpoint), prepare=prepare, process=process)
        boards = [board_of(number, puzzle) for number, puzzle in enumerate(given.puzzles, start=1)]
        # The verifier ends a try, and nothing it refuses comes back.
        verdicts = adapter.batch_predict(boards, halt="verifier", abstains=True, tries=given.tries)
    except ValueError as error:
        print(f"sudoku_app: {error}", file=sys.stderr)
        return 2
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
    sys.exit(main())
