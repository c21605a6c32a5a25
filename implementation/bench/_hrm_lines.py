"""The shipped sudoku9 (mixer `lines`) by compiled loops and by torch's operations, on one thread as `sage`
runs: a segment, and a segment forward and backward.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import harness
import torch
from _hrm_models import batch_of, puzzles
from _hrm_rounds import Timing, speedup, take_turns

from sage.compiled import has_compiler
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.model.layers import LinesBlock
from sage.hrm_core.solving.published import load_published
from sage.hrm_core.solving.task_card import shipped_folders

MODEL = "sudoku9"
#: Batch size -> segments in a run.
BATCHES = {1: 16, 16: 2, 64: 1}
STEP_BATCH = 16
STEP = f"{MODEL}, a segment forward and backward at batch {STEP_BATCH}"
BY_TORCH, BY_KERNELS, IN_BF16 = "torch's operations", "compiled loops", "compiled loops, bf16"
#: CPU time by torch's operations over that by compiled loops: at batch 1, where all fits the cache, and else.
BAR_OF_ONE, BAR = 1.2, 1.5


def time_lines(num_rounds: int, *, num_warm: int = 1) -> dict[str, dict[str, Timing]]:
    """By what was computed, then by way. The step comes first: it loads the compiled loops at once."""
    ways = {BY_TORCH: trained(may_use_kernels=False), BY_KERNELS: trained(may_use_kernels=True)}
    timings = {}
    with one_thread():
        timings[STEP] = take_turns(
            {name: step_of(model) for name, model in ways.items()}, num_rounds=num_rounds, num_warm=num_warm
        )
        ways[IN_BF16] = ways[BY_KERNELS].to_inference(torch.bfloat16)
        for size, num in BATCHES.items():
            timings[f"{MODEL}, a segment at batch {size}"] = take_turns(
                {name: segments_of(model, size, num) for name, model in ways.items()},
                num_rounds=num_rounds,
                num_warm=num_warm,
                share=num,
            )
    return timings


def trained(*, may_use_kernels: bool) -> HRM:
    model = load_published(shipped_folders()[MODEL]).model
    assert isinstance(model, HRM)
    for module in model.modules():
        if isinstance(module, LinesBlock):
            module.may_use_kernels = may_use_kernels
    return model


def segments_of(model: HRM, batch_size: int, num: int) -> Callable[[], object]:
    """So many segments, each from the same carry."""
    batch = batch_of(puzzles(batch_size))
    with torch.inference_mode():
        carry = model.initial_carry(batch_size)

    @torch.inference_mode()
    def run() -> object:
        return [model.segment(carry, batch) for _ in range(num)]

    return run


def step_of(model: HRM) -> Callable[[], object]:
    batch, carry = batch_of(puzzles(STEP_BATCH)), model.initial_carry(STEP_BATCH)

    def run() -> object:
        model.requires_grad_(True)
        model.zero_grad()
        output = model.segment(carry, batch)[1]
        assert output.logits is not None
        assert output.q_halt is not None
        (output.logits.square().mean() + output.q_halt.square().mean()).backward()  # type: ignore[no-untyped-call]
        return output

    return run


@contextmanager
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def lines_bars(timings: Mapping[str, Mapping[str, Timing]]) -> list[harness.Bar]:
    """Owed where numba is not installed."""
    return [
        harness.Bar(
            name=f"{what}, {BY_KERNELS}: times {BY_TORCH}",
            value=speedup(ways, BY_KERNELS, BY_TORCH) if has_compiler() else None,
            bar=BAR_OF_ONE if what.endswith(" 1") else BAR,
            better="higher",
        )
        for what, ways in timings.items()
    ]


def lines_tables(timings: Mapping[str, Mapping[str, Timing]]) -> list[harness.TextTable]:
    return [
        harness.TextTable(
            title=f"{what}, one thread",
            columns=("", "CPU ms", "x, CPU"),
            rows=tuple(
                (
                    name,
                    f"{statistics.median(timing.cpu_ms):.1f}",
                    f"{speedup(ways, name, BY_TORCH) or 0:.2f}",
                )
                for name, timing in ways.items()
            ),
        )
        for what, ways in timings.items()
    ]
