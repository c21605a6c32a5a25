"""Solve a file of puzzles, one a line, and write one JSON document a line for each, in the same order.

    python examples/batch_processing.py
    python examples/batch_processing.py PUZZLES ANSWERS [--checkpoint sudoku9] [--batch-size 256] [--tries 8]

Without arguments it solves the 9x9 sudokus of examples/puzzles.txt with the shipped model sudoku9 and writes
answers.jsonl into the current folder. A row that halts leaves the batch and the next puzzle takes its place.
A puzzle without a solution is tried again with noise. Invariant: an invalid line gets a document with its
error, and the other lines are solved.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from stopping import run_example

from sage import HRMInference, InputError

PUZZLES = Path(__file__).with_name("puzzles.txt")
_CHUNK = 4096


def read_chunks(path: Path) -> Iterator[list[str]]:
    """Non-empty lines, in chunks: the file may be larger than memory."""
    with path.open(encoding="utf-8-sig") as file:
        chunk: list[str] = []
        for line in file:
            if line.strip():
                chunk.append(line.strip())
            if len(chunk) == _CHUNK:
                yield chunk
                chunk = []
        if chunk:
            yield chunk


def read_line(inference: HRMInference, line: str) -> np.ndarray | str:
    """Cells (L,), or the error for an invalid line."""
    try:
        return inference.encode(line)
    except InputError as error:
        return str(error)


def solve_chunk(inference: HRMInference, lines: Sequence[str], tries: int) -> list[dict[str, object]]:
    """A plain dict a line, in order."""
    documents: list[dict[str, object]] = [{} for _ in lines]
    rows, cells = [], []
    for index, line in enumerate(lines):
        read = read_line(inference, line)
        if isinstance(read, str):
            documents[index] = {"puzzle": line, "error": read}
        else:
            rows.append(index)
            cells.append(read)
    if rows:
        solutions = inference.solve_cells(np.stack(cells), halt="verifier", tries=tries)
        for index, puzzle, solution in zip(rows, cells, solutions):
            documents[index] = inference.answer(puzzle, solution).to_plain()
    return documents


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("puzzles", type=Path, nargs="?", default=PUZZLES, help="default: %(default)s")
    parser.add_argument(
        "answers", type=Path, nargs="?", default=Path("answers.jsonl"), help="default: %(default)s"
    )
    parser.add_argument(
        "--checkpoint", default="sudoku9", help="a shipped model, a folder, a file or a hub repository"
    )
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--tries", type=int, default=8)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args(arguments)
    inference = HRMInference(options.checkpoint, device=options.device, batch_size=options.batch_size)
    started, num_lines, num_solved, num_segments = time.perf_counter(), 0, 0, 0
    with options.answers.open("w", encoding="utf-8") as file:
        for lines in read_chunks(options.puzzles):
            for document in solve_chunk(inference, lines, options.tries):
                file.write(json.dumps(document) + "\n")
                num_lines += 1
                num_solved += bool(document.get("is_verified"))
                num_segments += int(str(document.get("num_segments_spent", 0)))
    seconds = time.perf_counter() - started
    print(
        f"{num_solved} of {num_lines} puzzles solved and verified; {num_segments} segments in {seconds:.1f}"
        f" s; answers in {options.answers}"
    )
    return 0


if __name__ == "__main__":
    run_example(main)
