"""HRM 27 M: one segment, sixteen segments, a training step and a full solve, beside the published algorithm.

The reference computes the published formulas in fp32 or bf16 and casts its weights at every use, as the
published code does; ours has the same weights. Both alternate in one process on two threads. A ratio is the
median over rounds of the ratio within a round, in CPU time of all threads; wall time is shown beside it. The
forwards use random weights, which do not change their cost.
The full solve uses a shipped small model on held-out puzzles: the reference runs 16 segments for every row,
ours halts a row when its answer is valid and refills the batch; halting by the Q head is shown beside it.
The shipped sudoku9 by compiled loops stands beside the same weights by torch's operations, on one thread.
Peak memory is that of a separate process, beyond its imports.
Speed bars are stated for each instruction set. No language model is measured.
"""

from __future__ import annotations

import os

# Before torch is imported. `sage` sets one thread; spinning threads would count as CPU time.
os.environ.update(OMP_NUM_THREADS="2", OMP_WAIT_POLICY="passive")

import time
from typing import Any

import harness
import torch
from _hrm_lines import lines_bars, lines_tables, time_lines
from _hrm_memory import NUM_THREADS, no_peaks, peaks
from _hrm_report import make_bars, tables
from _hrm_segments import SegmentPlan, time_segments
from _hrm_solve import time_solves
from _hrm_training import time_steps

FULL = SegmentPlan()
QUICK = SegmentPlan(num_rounds=1, most_segments=(1, 1), is_whole=False)
#: Shipped models and the number of puzzles for each: full run, quick run.
SOLVED = {"sudoku6": (256, 64), "sudoku9": (128, 32)}


def main() -> None:
    arguments = harness.argument_parser(__doc__).parse_args()
    torch.set_num_threads(NUM_THREADS)
    started_secs, is_quick = time.perf_counter(), arguments.quick
    solved = [
        time_solves(
            name, num_puzzles=nums[is_quick], num_rounds=1 if is_quick else 3, num_warm=0 if is_quick else 1
        )
        for name, nums in SOLVED.items()
    ]
    segments = time_segments(QUICK if is_quick else FULL)
    steps = time_steps(1 if is_quick else 5, num_warm=1, is_whole=not is_quick)
    lines = time_lines(1 if is_quick else 7)
    memory = no_peaks() if is_quick else peaks()
    bars = make_bars(
        segments,
        steps,
        solved,
        memory,
        instruction_set=harness.instruction_set(),
        is_measured_here=is_bar_machine(),
    )
    bars += lines_bars(lines)
    results: dict[str, Any] = {
        "calibration": harness.calibrate() | {"wall_secs": time.perf_counter() - started_secs},
        "threads": torch.get_num_threads(),
        "absent": ["ours compiled and in fp32, halt-only, peak memory (not in --quick)"] if is_quick else [],
        "segments": [
            {"batch_size": row.batch_size, "num_segments": row.num_segments}
            | {name: timing.describe() for name, timing in row.timings.items()}
            for row in segments
        ],
        "training_step": {name: timing.describe() for name, timing in steps.items()},
        "lines": {
            what: {name: timing.describe() for name, timing in ways.items()} for what, ways in lines.items()
        },
        "solve": [each.describe() for each in solved],
        "peak_bytes": memory,
        "chain_of_thought": "not measured",
    }
    shown = [*tables(segments, steps, solved, memory), *lines_tables(lines), harness.bars_table(bars)]
    harness.finish(
        harness.document("hrm", results, bars), shown, is_saved=arguments.save, notes=__doc__ or ""
    )


def is_bar_machine() -> bool:
    """The speed bars are set for two cores."""
    return os.cpu_count() == 2


if __name__ == "__main__":
    main()
