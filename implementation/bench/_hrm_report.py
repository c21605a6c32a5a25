"""What the benchmark of HRM tells: its bars and its tables."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

import harness
from _hrm_memory import OURS_BF16, REFERENCE_FP32
from _hrm_rounds import Timing, speedup
from _hrm_segments import OURS_COMPILED, SegmentRow
from _hrm_solve import OURS, REFERENCE, Solved
from _hrm_training import OURS_HALT_ONLY

MEBIBYTE = 1 << 20
Memory = Mapping[str, Mapping[str, int | None]]


def best_speedup(timings: Mapping[str, Timing]) -> float | None:
    """Of ours in bf16 over the reference in fp32: compiled where that was timed, else eager."""
    return speedup(timings, _best_of(timings), REFERENCE_FP32)


def _best_of(timings: Mapping[str, Timing]) -> str:
    return OURS_COMPILED if OURS_COMPILED in timings else OURS_BF16


def make_bars(
    segments: Sequence[SegmentRow],
    steps: Mapping[str, Timing],
    solved: Sequence[Solved],
    memory: Memory,
    *,
    is_measured_here: bool,
) -> list[harness.Bar]:
    """Speeds are owed on other machines than the bars were set for; accuracy and memory hold anywhere."""

    def here(value: float | None) -> float | None:
        return value if is_measured_here else None

    bars = [
        harness.Bar(
            name=f"{_row_name(row)}, {_best_of(row.timings)}: times the fp32 reference",
            value=here(best_speedup(row.timings)),
            bar=2.4,
            better="higher",
        )
        for row in segments
    ]
    bars += [
        harness.Bar(
            name=f"training step, same algorithm, {_best_of(steps)}: times the fp32 reference",
            value=here(best_speedup(steps)),
            bar=2.5,
            better="higher",
        ),
    ]
    for each in solved:
        times, gained = here(speedup(each.timings, OURS, REFERENCE)), each.exact[OURS] - each.exact[REFERENCE]
        bars += [
            harness.Bar(
                name=f"full solve of {each.model}: times the reference", value=times, bar=5.0, better="higher"
            ),
            harness.Bar(
                name=f"full solve of {each.model}: exact, less the reference's",
                value=gained,
                bar=0.0,
                better="higher",
            ),
        ]
    bars += [
        harness.Bar(
            name=f"peak memory, {work}: over the fp32 reference",
            value=_over(ways[OURS_BF16], ways[REFERENCE_FP32]),
            bar=1.0,
            better="lower",
        )
        for work, ways in memory.items()
    ]
    return bars


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
    told = solved.describe()
    rows = tuple(
        (
            name,
            f"{100 * way['exact']:.1f}",
            f"{way['mean_segments']:.2f}",
            f"{way['solves_a_cpu_second']:.0f}",
            f"{speedup(solved.timings, name, REFERENCE) or 0:.1f}",
            f"{speedup(solved.timings, name, REFERENCE, clock='wall_ms') or 0:.1f}",
        )
        for name, way in told["ways"].items()
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
    rows = tuple((work, *(_mebibytes(told[way]) for way in ways)) for work, told in memory.items())
    return harness.TextTable(title="Peak memory beyond what is imported, MiB", columns=("", *ways), rows=rows)


def _over(ours: int | None, theirs: int | None) -> float | None:
    return None if ours is None or theirs is None else ours / theirs


def _mebibytes(num_bytes: int | None) -> str:
    return "-" if num_bytes is None else f"{num_bytes / MEBIBYTE:.0f}"
