"""Bars and tables of the HRM benchmark."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

import harness
from _hrm_memory import OURS_BF16, REFERENCE_FP32
from _hrm_rounds import Timing, speedup
from _hrm_segments import OURS_CHOSEN, OURS_COMPILED, REFERENCE_BF16, SegmentRow
from _hrm_solve import OURS, REFERENCE, Solved
from _hrm_training import OURS_HALT_ONLY

MEBIBYTE = 1 << 20
#: Speed over the reference. A segment and a training step have no bar without bf16 instructions.
SEGMENT_BARS: dict[harness.InstructionSet, float] = {"AMX": 2.4, "AVX512-BF16": 2.0}
BF16_BARS: dict[harness.InstructionSet, float] = {"AMX": 1.3, "AVX512-BF16": 1.3}
STEP_BARS: dict[harness.InstructionSet, float] = {"AMX": 2.5, "AVX512-BF16": 2.0}
SOLVE_BARS: dict[harness.InstructionSet, float] = {"AMX": 10.0, "none": 6.0}
Memory = Mapping[str, Mapping[str, int | None]]


def best_speedup(timings: Mapping[str, Timing]) -> float | None:
    """A user's call over the fp32 reference where it was timed, else our bf16: compiled, or else eager."""
    return speedup(timings, _best_of(timings), REFERENCE_FP32)


def _best_of(timings: Mapping[str, Timing]) -> str:
    return next((name for name in (OURS_CHOSEN, OURS_COMPILED) if name in timings), OURS_BF16)


def make_bars(
    segments: Sequence[SegmentRow],
    steps: Mapping[str, Timing],
    solved: Sequence[Solved],
    memory: Memory,
    *,
    instruction_set: harness.InstructionSet,
    is_measured_here: bool,
) -> list[harness.Bar]:
    """Speeds depend on the instruction set and are owed where not measured; accuracy and memory do not."""

    def speed(name: str, value: float | None, bars: Mapping[harness.InstructionSet, float]) -> harness.Bar:
        return harness.Bar(
            name=name,
            value=value if is_measured_here else None,
            bar=harness.bar_by_set(bars, instruction_set),
            better="higher",
            by_set=bars,
        )

    bars = [
        speed(
            f"{_row_name(row)}, {_best_of(row.timings)}: times the fp32 reference",
            best_speedup(row.timings),
            SEGMENT_BARS,
        )
        for row in segments
    ]
    bars += [
        speed(
            f"{_row_name(row)}, {_best_of(row.timings)}: times the bf16 reference",
            speedup(row.timings, _best_of(row.timings), REFERENCE_BF16),
            BF16_BARS,
        )
        for row in segments
        if REFERENCE_BF16 in row.timings
    ]
    bars.append(
        speed(
            f"training step, same algorithm, {_best_of(steps)}: times the fp32 reference",
            best_speedup(steps),
            STEP_BARS,
        )
    )
    for each in solved:
        bars += [
            speed(
                f"full solve of {each.model}: times the reference",
                speedup(each.timings, OURS, REFERENCE),
                SOLVE_BARS,
            ),
            harness.Bar(
                name=f"full solve of {each.model}: exact, less the reference's",
                value=each.exact[OURS] - each.exact[REFERENCE],
                bar=0.0,
                better="higher",
            ),
        ]
    return bars + [
        harness.Bar(
            name=f"peak memory, {work}: over the fp32 reference",
            value=_over(ways[OURS_BF16], ways[REFERENCE_FP32]),
            bar=1.0,
            better="lower",
        )
        for work, ways in memory.items()
    ]


def tables(
    segments: Sequence[SegmentRow], steps: Mapping[str, Timing], solved: Sequence[Solved], memory: Memory
) -> tuple[harness.TextTable, ...]:
    return (
        *(_timing_table(_row_name(row), row.timings) for row in segments),
        _timing_table(f"Training step, batch 8 ({OURS_HALT_ONLY!r} is another algorithm)", steps),
        *map(_solve_table, solved),
        _memory_table(memory),
    )


def _row_name(row: SegmentRow) -> str:
    return f"{row.num_segments} segment{'s' if row.num_segments > 1 else ''}, batch {row.batch_size}"


def _timing_table(title: str, timings: Mapping[str, Timing]) -> harness.TextTable:
    share = next(iter(timings.values())).share
    rows = tuple(
        (
            name,
            f"{statistics.median(timing.cpu_ms):.1f}",
            f"{statistics.median(timing.wall_ms):.1f}",
            f"{speedup(timings, name, REFERENCE_FP32) or 0:.2f}",
            f"{speedup(timings, name, REFERENCE_FP32, clock='wall_ms') or 0:.2f}",
        )
        for name, timing in timings.items()
    )
    title = title if share == 1 else f"{title} ({share:g} of it run, and scaled)"
    return harness.TextTable(
        title=title, columns=("", "CPU ms", "wall ms", "x fp32, CPU", "x fp32, wall"), rows=rows
    )


def _solve_table(solved: Solved) -> harness.TextTable:
    described = solved.describe()
    rows = tuple(
        (
            name,
            f"{100 * way['exact']:.1f}",
            f"{way['mean_segments']:.2f}",
            f"{way['solves_a_cpu_second']:.0f}",
            f"{speedup(solved.timings, name, REFERENCE) or 0:.1f}",
            f"{speedup(solved.timings, name, REFERENCE, clock='wall_ms') or 0:.1f}",
        )
        for name, way in described["ways"].items()
    )
    title = (
        f"Full solve of {solved.num_puzzles} held-out puzzles: {solved.model}, {solved.num_parameters:,}"
        f" parameters, file {solved.file_bytes / 1e6:.2f} MB"
    )
    return harness.TextTable(
        title=title, columns=("", "exact %", "segments", "solves/CPU s", "x, CPU", "x, wall"), rows=rows
    )


def _memory_table(memory: Memory) -> harness.TextTable:
    ways = tuple(next(iter(memory.values())))
    rows = tuple((work, *(_mebibytes(described[way]) for way in ways)) for work, described in memory.items())
    return harness.TextTable(title="Peak memory beyond what is imported, MiB", columns=("", *ways), rows=rows)


def _over(ours: int | None, theirs: int | None) -> float | None:
    return None if ours is None or theirs is None else ours / theirs


def _mebibytes(num_bytes: int | None) -> str:
    return "-" if num_bytes is None else f"{num_bytes / MEBIBYTE:.0f}"
