"""One segment and sixteen, at batch 1 and 16: ours beside the plain reference in fp32 and bf16, with the same
weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from _hrm_models import batch_of, our_model, puzzles, reference_of
from _hrm_reference import ReferenceHRM
from _hrm_rounds import Timing, take_turns
from torch import Tensor

from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.solving.forms import BFLOAT16, COMPILED, FLOAT32, choose_form, measure_forms

BATCHES, DEPTHS = (1, 16), (1, 16)
REFERENCE_FP32, REFERENCE_BF16 = "reference fp32", "reference bf16"
OURS_FP32, OURS_BF16, OURS_COMPILED = "ours fp32", "ours bf16", "ours bf16 compiled"
#: What `sage serve` runs after `sage doctor --measure`: the form that costs least by times of this run.
OURS_CHOSEN = "ours, a user's call"


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentPlan:
    """num_rounds: of each row.  most_segments: run of a row of 16, at batch 1 and 16, and scaled.

    is_whole: ours in fp32 and compiled, too.
    """

    num_rounds: int = 5
    most_segments: tuple[int, int] = (8, 2)
    is_whole: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentRow:
    batch_size: int
    num_segments: int
    timings: dict[str, Timing]


@torch.inference_mode()
def time_segments(plan: SegmentPlan) -> list[SegmentRow]:
    model = our_model()
    references = {
        REFERENCE_FP32: reference_of(model, torch.float32),
        REFERENCE_BF16: reference_of(model, torch.bfloat16),
    }
    ours = {OURS_BF16: model.to_inference(torch.bfloat16)}
    if plan.is_whole:
        ours |= {OURS_FP32: model, OURS_COMPILED: model.to_inference(torch.bfloat16, is_compiled=True)}
        form = choose_form(measure_forms(model, is_compiled=True), math.inf).form
        ours[OURS_CHOSEN] = ours[{FLOAT32: OURS_FP32, BFLOAT16: OURS_BF16, COMPILED: OURS_COMPILED}[form]]
    rows = []
    for batch_size, most_segments in zip(BATCHES, plan.most_segments):
        inputs = puzzles(batch_size)
        for num_segments in DEPTHS:
            num_run = min(num_segments, most_segments)
            if num_segments > num_run == 1:  # the row before did it
                rows.append(
                    SegmentRow(
                        batch_size=batch_size,
                        num_segments=num_segments,
                        timings=scaled(rows[-1].timings, num_segments),
                    )
                )
                continue
            contenders: dict[str, Callable[[], object]] = {
                name: _reference_run(each, inputs, num_run) for name, each in references.items()
            }
            contenders |= {name: _our_run(each, inputs, num_run) for name, each in ours.items()}
            timings = take_turns(
                contenders,
                num_rounds=plan.num_rounds,
                num_warm=0 if num_segments > 1 else 1,
                share=num_run / num_segments,
            )
            rows.append(SegmentRow(batch_size=batch_size, num_segments=num_segments, timings=timings))
    return rows


def scaled(timings: Mapping[str, Timing], num: int) -> dict[str, Timing]:
    """Of one segment, as of so many."""
    return {
        name: Timing(
            cpu_ms=[num * ms for ms in one.cpu_ms], wall_ms=[num * ms for ms in one.wall_ms], share=1 / num
        )
        for name, one in timings.items()
    }


def _reference_run(model: ReferenceHRM, inputs: Tensor, num_segments: int) -> Callable[[], object]:
    return lambda: model.solve(inputs, num_segments)


def _our_run(model: HRM, inputs: Tensor, num_segments: int) -> Callable[[], object]:
    batch = batch_of(inputs)

    def run() -> Tensor:
        carry = model.initial_carry(len(inputs))
        for _ in range(num_segments):
            carry, output = model.segment(carry, batch)
        assert output.logits is not None
        return output.logits.argmax(-1)

    return run
