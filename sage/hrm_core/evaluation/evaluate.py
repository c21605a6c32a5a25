"""Evaluate a model on held-out puzzles of a task, after each segment.

Invariant: the mode and the weights of the model are unchanged; depth is fixed: a figure at 16
segments uses 16.
Shapes: N puzzles, L cells, T segments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from sage.errors import InputError
from sage.hrm_core.config.model import ModelConfig, TokenFront
from sage.hrm_core.evaluation.report import DepthScore, EvalReport, HaltScore, wilson_interval
from sage.hrm_core.evaluation.scoring import Marks, baselines, calibrate, grade, mark, q_accuracy, sensitivity
from sage.hrm_core.model.hrm import TokenBatch
from sage.hrm_core.optim.ranks import SINGLE, Ranks
from sage.hrm_core.solving.engine import SegmentModel
from sage.hrm_core.solving.settings import MIN_CONFIDENCE
from sage.hrm_core.solving.solutions import confidence_of
from sage.hrm_core.tasks.contract import Examples, Task, check_examples

#: Training examples from which the baseline counts labels.
NUM_SEEN = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """answers (T, N, L) int32; q_halt (T, N), logits; wants_halt (T, N) bool: after each of T
    segments.
    """

    answers: np.ndarray
    q_halt: np.ndarray
    wants_halt: np.ndarray

    @property
    def confidence(self) -> np.ndarray:
        """(T, N): sigmoid(q_halt)."""
        return confidence_of(self.q_halt)

    def halted(self, min_confidence: float = MIN_CONFIDENCE) -> tuple[np.ndarray, np.ndarray]:
        """As in `Solver`: (N,) index of the first segment that halts with at least `min_confidence`, else of
        the segment with the highest q_halt; and (N,) the number of segments, T where none halts.
        """
        is_confident = self.wants_halt & (self.confidence >= min_confidence)
        first, ever = is_confident.argmax(0), is_confident.any(0)
        return np.where(ever, first, self.q_halt.argmax(0)), np.where(ever, first + 1, len(is_confident))


def evaluate(
    model: SegmentModel,
    task: Task,
    *,
    num: int = 1000,
    segments: Sequence[int] = (1, 2, 4, 8, 16),
    batch_size: int = 256,
    seen: Examples | None = None,
    ranks: Ranks = SINGLE,
) -> EvalReport:
    """Score the first `num` held-out puzzles after each of `segments`. seen: training examples for the
    baseline; by default the task's own, and the evaluated puzzles where it has none.

    Several ranks evaluate a part of the puzzles each; every rank returns the whole report. InputError where
    the task has no held-out puzzles.
    """
    examples = _held_out(task, num)
    depths = tuple(sorted(set(segments)))
    trace = _run_shared(model, examples, depths[-1], batch_size, ranks)
    if seen is None:
        seen = _seen(task, examples)
    marks = [mark(task, examples, trace.answers[depth - 1]) for depth in depths]
    return EvalReport(
        task=task.spec.name,
        num=len(examples),
        depths=tuple(_depth(depth, each) for depth, each in zip(depths, marks)),
        halting=_halting(task, examples, trace),
        calibration=calibrate(trace.confidence[-1], marks[-1].is_exact),
        baselines=baselines(task, examples, seen),
        graded=grade(task, examples, trace.answers[-1]),
        input_sensitivity=sensitivity(examples, trace.answers[-1]),
        failures=tuple(np.flatnonzero(~marks[-1].is_exact).tolist()),
    )


def check_held_out(task: Task) -> None:
    """InputError where `evaluate` would find no puzzles."""
    _held_out(task, 1)


def _held_out(task: Task, num: int) -> Examples:
    examples = task.held_out(num)
    if not len(examples):
        raise InputError(
            f"task {task.spec.name} has no held-out puzzles: give a data set, or a second file, that has some"
        )
    try:
        check_examples(examples, task.spec)
    except InputError as error:
        raise InputError(f"task {task.spec.name}: held-out {error}") from None
    return examples


def _seen(task: Task, examples: Examples) -> Examples:
    train = getattr(task, "train", None)
    if isinstance(train, Examples) and not len(train):
        return examples.take(slice(NUM_SEEN))
    return task.sample(NUM_SEEN, np.random.default_rng(0))


def _run_shared(
    model: SegmentModel, examples: Examples, num_segments: int, batch_size: int, ranks: Ranks
) -> Trace:
    if ranks.count == 1:
        return run_segments(model, examples, num_segments, batch_size=batch_size)
    first, end = np.linspace(0, len(examples), ranks.count + 1).astype(int)[ranks.index :][:2]
    # with fewer puzzles than ranks one without a puzzle computes the first, and gives none of its answers
    mine = examples.take(slice(first, end) if first < end else slice(1))
    trace = run_segments(model, mine, num_segments, batch_size=batch_size)
    device = model.initial_carry(1).z_H.device

    def gathered(array: np.ndarray) -> np.ndarray:
        """(T, n, ...) of this rank to (T, N, ...) of all ranks."""
        rows = torch.from_numpy(np.ascontiguousarray(np.moveaxis(array, 1, 0)[: end - first])).to(device)
        return np.moveaxis(ranks.gather_rows(rows).cpu().numpy(), 0, 1)

    return Trace(
        answers=gathered(trace.answers),
        q_halt=gathered(trace.q_halt),
        wants_halt=gathered(trace.wants_halt.astype(np.uint8)).astype(bool),
    )


@torch.inference_mode()
def run_segments(
    model: SegmentModel,
    examples: Examples,
    num_segments: int,
    *,
    batch_size: int = 256,
    is_last_only: bool = False,
) -> Trace:
    """The model's answers after each segment. Puzzles without an id use the mean of the puzzle embeddings.
    is_last_only: a trace of the last segment alone (T = 1), for puzzles whose answers do not fit in memory
    `num_segments` times.
    """
    is_training = isinstance(model, nn.Module) and model.training
    if isinstance(model, nn.Module):
        model.eval()
    try:
        parts = [
            _run_batch(model, examples.take(slice(start, start + batch_size)), num_segments, is_last_only)
            for start in range(0, len(examples), batch_size)
        ]
    finally:
        if isinstance(model, nn.Module):
            model.train(is_training)
    return Trace(
        answers=np.concatenate([part.answers for part in parts], axis=1),
        q_halt=np.concatenate([part.q_halt for part in parts], axis=1),
        wants_halt=np.concatenate([part.wants_halt for part in parts], axis=1),
    )


def _run_batch(model: SegmentModel, rows: Examples, num_segments: int, is_last_only: bool) -> Trace:
    carry = model.initial_carry(len(rows))
    batch = _to_batch(model.config, rows, carry.z_H.device)
    answers, q_halt, wants_halt = [], [], []
    for number in range(1, num_segments + 1):
        carry, output = model.segment(carry, batch)
        if is_last_only and number < num_segments:
            continue
        assert output.logits is not None
        assert output.q_halt is not None
        answers.append(output.logits.argmax(-1).to(torch.int32))
        q_halt.append(output.q_halt.float())
        wants_halt.append(model.wants_halt(output))
    return Trace(  # sync: once per batch
        answers=torch.stack(answers).cpu().numpy(),
        q_halt=torch.stack(q_halt).cpu().numpy(),
        wants_halt=torch.stack(wants_halt).cpu().numpy(),
    )


def _to_batch(config: ModelConfig, rows: Examples, device: torch.device) -> TokenBatch:
    assert isinstance(config.front, TokenFront)
    ids = np.minimum(rows.puzzle_ids, config.front.num_puzzle_ids - 1)
    inputs, labels, puzzle_ids = (
        torch.from_numpy(np.ascontiguousarray(each, dtype=np.int32)).to(device)
        for each in (rows.inputs, rows.labels, ids)
    )
    return TokenBatch(inputs=inputs, labels=labels, puzzle_ids=puzzle_ids)


def _depth(segments: int, marks: Marks) -> DepthScore:
    low, high = wilson_interval(marks.exact, int(marks.has_labels.sum()))
    return DepthScore(
        segments=segments,
        exact=marks.exact,
        cell=marks.cell,
        unknown_cell=marks.unknown_cell,
        valid=marks.valid,
        low=low,
        high=high,
    )


def _halting(task: Task, examples: Examples, trace: Trace) -> HaltScore:
    index, num_segments = trace.halted()
    rows = np.arange(len(examples))
    marks, last = (
        mark(task, examples, answers) for answers in (trace.answers[index, rows], trace.answers[-1])
    )
    return HaltScore(
        exact=marks.exact,
        valid=marks.valid,
        mean_segments=float(num_segments.mean()),
        q_accuracy=q_accuracy(trace.q_halt[index, rows], marks),
        last_q_accuracy=q_accuracy(trace.q_halt[-1], last),
    )
