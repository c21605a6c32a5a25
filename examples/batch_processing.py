"""A file of puzzles, one a line, in; a file of answers, one JSON document a line, out, in the same order.

    python examples/batch_processing.py puzzles.txt answers.jsonl [--checkpoint sudoku9] [--batch-size 256]
    [--tries 8]

Rows that halt leave the batch at once and others take their places; what the first try does not solve is
tried again with noise. Invariant: a line that is no puzzle gets a line that says so, and stops nobody else.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from sage.hrm_core.solving.inference import HRMInference

_CHUNK = 4096


def read_chunks(path: Path) -> Iterator[list[str]]:
    """Non-empty lines, a few thousand at a time: a file may be larger than memory."""
    with path.open(encoding="utf-8") as file:
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
    """Cells (L,), or what is wrong with the line."""
    try:
        return inference.encode(line)
    except ValueError as error:
        return str(error)


def solve_chunk(inference: HRMInference, lines: Sequence[str], tries: int) -> list[dict[str, object]]:
    """A plain dict for each line, in order."""
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
        found = inference.solve_cells(np.stack(cells), halt="verifier", tries=tries)
        for index, puzzle, solution in zip(rows, cells, found):
            documents[index] = inference.answer(puzzle, solution).to_plain()
    return documents


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("puzzles", type=Path)
    parser.add_argument("answers", type=Path)
    parser.add_argument(
        "--checkpoint", default="sudoku9", help="a shipped name, a folder, a file or a hub repository"
    )
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--tries", type=int, default=8)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args(arguments)
    try:
        inference = HRMInference(given.checkpoint, device=given.device, batch_size=given.batch_size)
        started, num_lines, num_solved, num_segments = time.perf_counter(), 0, 0, 0
        with given.answers.open("w", encoding="utf-8") as file:
            for lines in read_chunks(given.puzzles):
                for document in solve_chunk(inference, lines, given.tries):
                    file.write(json.dumps(document) + "\n")
                    num_lines += 1
                    num_solved += bool(document.get("is_verified"))
                    num_segments += int(str(document.get("num_segments_spent", 0)))
    except (ValueError, OSError) as error:
        print(f"batch_processing: {error}", file=sys.stderr)
        return 2
    seconds = time.perf_counter() - started
    print(
        f"{num_solved} of {num_lines} solved, checked by the rules; {num_segments} segments in"
        f" {seconds:.1f} s"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
