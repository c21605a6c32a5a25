"""Reasoning models on one CUDA card: HRM 27 M beside the published algorithm, and steps of the sudoku recipe.

A segment is timed at batch 1, 16 and 256 with the same weights: the reference in fp32 and in bf16 (every
weight cast at every use), ours with weights cast once, and with its blocks compiled. A training step is that
of `sage train sudoku_extreme_h100`, eager and compiled; its operations are counted from the matrices (two a
weight and token forward, four backward). Attention is timed with each available backend on HRM 27 M's shapes
(8 heads of 64, 82 tokens). Times are medians from CUDA events, the contenders alternating. Without a card
nothing is measured.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, get_args

import harness
import numpy as np
import torch
from _hrm_models import batch_of, our_model, puzzles, reference_of
from _hrm_training import SameRows

from sage.app.models.training.building import build_model
from sage.app.models.training.recipe import find_recipe
from sage.hrm_core.model.attention import AttentionName, attend
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.optim.ranks import SINGLE
from sage.hrm_core.tasks.contract import Examples, TaskSpec
from sage.hrm_core.training.compiling import compile_blocks
from sage.hrm_core.training.learner import Learner

RECIPE = "sudoku_extreme_h100"
SPEC = TaskSpec(name="rows", vocab_size=11, seq_len=81, grid=(9, 9))
REFERENCE_FP32, REFERENCE_BF16 = "reference fp32", "reference bf16"
OURS, OURS_COMPILED = "ours bf16", "ours bf16 compiled"


def time_segments(device: str, batches: tuple[int, ...], num_rounds: int) -> dict[int, dict[str, float]]:
    """Milliseconds of one segment by batch size and contender."""
    model = our_model()
    references = {REFERENCE_FP32: torch.float32, REFERENCE_BF16: torch.bfloat16}
    found: dict[int, dict[str, float]] = {}
    with torch.inference_mode():
        runs: dict[str, Any] = {
            name: reference_of(model, dtype).to(device) for name, dtype in references.items()
        }
        runs[OURS] = model.to_inference(torch.bfloat16).to(device)
        runs[OURS_COMPILED] = model.to_inference(torch.bfloat16).to(device)
        compile_blocks(runs[OURS_COMPILED])
        for batch_size in batches:
            inputs = puzzles(batch_size).to(device)
            contenders = {name: _segment(each, inputs) for name, each in runs.items()}
            found[batch_size] = medians(contenders, device, num_rounds)
    return found


def _segment(model: Any, inputs: torch.Tensor) -> Callable[[], object]:
    if isinstance(model, HRM):
        batch, carry = batch_of(inputs.cpu()), model.initial_carry(len(inputs))
        batch = type(batch)(inputs=inputs, labels=inputs, puzzle_ids=batch.puzzle_ids.to(inputs.device))
        return lambda: model.segment(carry, batch)
    z_H, z_L = model.start(len(inputs))
    return lambda: model.segment(z_H, z_L, inputs)


def time_steps(
    device: str, overrides: Mapping[str, tuple[str, ...]], num_rounds: int
) -> dict[str, dict[str, float]]:
    """Of each variant of the recipe: milliseconds of a step, and the arithmetic it did in that time."""
    found = {}
    for name, changes in overrides.items():
        step, tera = _step(device, changes)
        step_ms = medians({name: step}, device, num_rounds)[name]
        found[name] = {"step_ms": step_ms, "tera_operations": tera, "tera_per_sec": tera / step_ms * 1e3}
        if device == "cuda":
            found[name]["peak_bytes"] = float(torch.cuda.max_memory_allocated())
            torch.cuda.reset_peak_memory_stats()
    return found


def _step(device: str, changes: tuple[str, ...]) -> tuple[Callable[[], object], float]:
    """A training step of the recipe on rows that never change, and its 1e12 operations."""
    recipe = find_recipe(RECIPE, None, changes)
    model = build_model(recipe, SPEC).to(device)
    learner = Learner(model, SPEC, recipe.train, num_steps=recipe.train.num_steps(), ranks=SINGLE)
    if recipe.train.compile:
        compile_blocks(model)
    num_rows = recipe.train.batch_size
    inputs, labels = (puzzles(num_rows, seed=seed).numpy() for seed in (0, 1))
    stream = SameRows(Examples(inputs=inputs, labels=labels, puzzle_ids=np.zeros(num_rows, np.int32)))
    numbers = iter(range(1, 1_000_000))
    return lambda: learner.step(next(numbers), stream), step_operations(model, num_rows) / 1e12  # type: ignore[arg-type]


def time_attention(device: str, batches: tuple[int, ...], num_rounds: int) -> dict[int, dict[str, float]]:
    """Milliseconds of one attention by batch size and backend; a backend that is absent is left out."""
    found: dict[int, dict[str, float]] = {}
    with torch.inference_mode():
        for batch_size in batches:
            q, k, v = torch.randn(3, batch_size, 8, 82, 64, device=device, dtype=torch.bfloat16).unbind(0)
            contenders: dict[str, Callable[[], object]] = {}
            for name in get_args(AttentionName):
                with suppress(ImportError, RuntimeError, ValueError):
                    attend(q, k, v, backend=name)
                    contenders[name] = partial(attend, q, k, v, backend=name)
            found[batch_size] = medians(contenders, device, num_rounds)
    return found


def step_operations(model: HRM, num_rows: int) -> float:
    """Of the nets' matrices in one training step whose gradient goes through the last cycle."""
    config = model.config
    tokens = config.front.num_tokens
    per_row = 0
    for name, weight in model.inner.nets[0].named_parameters():
        columns = (
            config.hidden_size if "mlp_t" in name else tokens
        )  # a mixer over the sequence has a column for each channel
        per_row += 2 * weight.numel() * columns
    calls_a_cycle = config.L_cycles + 1
    return float(per_row * num_rows * calls_a_cycle * (config.H_cycles + 2))


def medians(
    contenders: Mapping[str, Callable[[], object]], device: str, num_rounds: int, num_warm: int = 3
) -> dict[str, float]:
    """Milliseconds of each, taking turns."""
    for run in contenders.values():
        for _ in range(num_warm):
            run()
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(num_rounds):
        for name, run in contenders.items():
            taken[name].append(_timed_ms(run, device))
    return {name: statistics.median(each) for name, each in taken.items()}


def _timed_ms(run: Callable[[], object], device: str) -> float:
    if device != "cuda":
        started = time.perf_counter()
        run()
        return (time.perf_counter() - started) * 1e3
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    run()
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end))


def main() -> None:
    arguments = harness.argument_parser(__doc__).parse_args()
    if not torch.cuda.is_available():
        print("not measured: torch sees no CUDA device")
        harness.finish(
            harness.document("hrm_cuda", {"absent": "no CUDA device"}, []), [], is_saved=arguments.save
        )
        return
    segments = time_segments("cuda", (1, 16, 256), 5 if arguments.quick else 20)
    steps = time_steps(
        "cuda", {"compiled": (), "eager": ("train.compile=false",)}, 5 if arguments.quick else 20
    )
    attention = time_attention("cuda", (1, 16, 256), 5 if arguments.quick else 20)
    device = torch.cuda.get_device_name()
    results = {"device": device, "segments_ms": segments, "steps": steps, "attention_ms": attention}
    rows = tuple(
        (str(batch), name, f"{ms:.3f}", f"{found[REFERENCE_FP32] / ms:.2f}")
        for batch, found in segments.items()
        for name, ms in found.items()
    )
    forward = harness.TextTable(
        title=f"A segment of HRM 27 M on {device}",
        columns=("batch", "contender", "ms", "over reference fp32"),
        rows=rows,
    )
    training = harness.TextTable(
        title=f"A training step of {RECIPE}, batch 384",
        columns=("contender", "ms", "TFLOP/s"),
        rows=tuple(
            (name, f"{found['step_ms']:.1f}", f"{found['tera_per_sec']:.0f}") for name, found in steps.items()
        ),
    )
    backends = harness.TextTable(
        title="One attention of HRM 27 M",
        columns=("batch", "backend", "ms"),
        rows=tuple(
            (str(batch), name, f"{ms:.4f}")
            for batch, found in attention.items()
            for name, ms in found.items()
        ),
    )
    whole = harness.document("hrm_cuda", results, [])
    harness.finish(whole, [forward, training, backends], is_saved=arguments.save, notes=__doc__ or "")


if __name__ == "__main__":
    main()
