"""Evaluate a model on held-out puzzles of a task, after each segment.

Invariant: the mode and the weights of the model are unchanged; depth is fixed: a figure at 16
segments uses 16. What is kept of a puzzle does not grow with the number of segments, but for two numbers.
Shapes: N puzzles, L cells, T segments, D of them scored.
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
class Halting:
    """q_halt (T, N), logits; wants_halt (T, N) bool: after each of T segments."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace(Halting):
    """answers (T, N, L) int32: after each of T segments."""

    answers: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept(Halting):
    """What is scored. answers (D, N, L): after each of the segments that were asked for.
    chosen (N, L): after the segment that halts. Both uint8 where the symbols fit.
    """

    answers: np.ndarray
    chosen: np.ndarray


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
    kept = _run_shared(model, examples, depths, batch_size, ranks)
    if seen is None:
        seen = _seen(task, examples)
    marks = [mark(task, examples, answers) for answers in kept.answers]
    return EvalReport(
        task=task.spec.name,
        num=len(examples),
        depths=tuple(_depth(depth, each) for depth, each in zip(depths, marks)),
        halting=_halting(mark(task, examples, kept.chosen), marks[-1], kept),
        calibration=calibrate(kept.confidence[-1], marks[-1].is_exact),
        baselines=baselines(task, examples, seen),
        graded=grade(task, examples, kept.answers[-1]),
        input_sensitivity=sensitivity(examples, kept.answers[-1]),
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
    model: SegmentModel, examples: Examples, depths: Sequence[int], batch_size: int, ranks: Ranks
) -> Kept:
    if ranks.count == 1:
        return _run_kept(model, examples, depths, batch_size)
    first, end = np.linspace(0, len(examples), ranks.count + 1).astype(int)[ranks.index :][:2]
    # with fewer puzzles than ranks one without a puzzle computes the first, and gives none of its answers
    mine = examples.take(slice(first, end) if first < end else slice(1))
    kept = _run_kept(model, mine, depths, batch_size)
    device = model.initial_carry(1).z_H.device

    def gathered(array: np.ndarray, axis: int = 1) -> np.ndarray:
        """The puzzles of this rank, along the axis, to those of all ranks."""
        rows = torch.from_numpy(np.ascontiguousarray(np.moveaxis(array, axis, 0)[: end - first])).to(device)
        return np.moveaxis(ranks.gather_rows(rows).cpu().numpy(), 0, axis)

    return Kept(
        answers=gathered(kept.answers),
        chosen=gathered(kept.chosen, axis=0),
        q_halt=gathered(kept.q_halt),
        wants_halt=gathered(kept.wants_halt.astype(np.uint8)).astype(bool),
    )


def _run_kept(model: SegmentModel, examples: Examples, depths: Sequence[int], batch_size: int) -> Kept:
    """depths: numbers of segments, in order."""
    assert isinstance(model.config.front, TokenFront)
    kind = np.uint8 if model.config.front.vocab_size <= 256 else np.int32
    shape, num_segments = examples.inputs.shape, depths[-1]
    kept = Kept(
        answers=np.empty((len(depths), *shape), kind),
        chosen=np.empty(shape, kind),
        q_halt=np.empty((num_segments, len(examples)), np.float32),
        wants_halt=np.empty((num_segments, len(examples)), bool),
    )
    for start in range(0, len(examples), batch_size):
        rows = slice(start, start + batch_size)
        trace = run_segments(model, examples.take(rows), num_segments, batch_size=batch_size)
        chosen, _ = trace.halted()
        kept.answers[:, rows] = trace.answers[np.array(depths) - 1]
        kept.chosen[rows] = trace.answers[chosen, np.arange(len(chosen))]
        kept.q_halt[:, rows], kept.wants_halt[:, rows] = trace.q_halt, trace.wants_halt
    return kept


@torch.inference_mode()
def run_segments(
    model: SegmentModel,
    examples: Examples,
    num_segments: int,
    *,
    batch_size: int = 256,
    is_last_only: bool = False,
) -> Trace:
    """The model's answers after each segment. Puzzles without an id, or with one that the model does not
    have, use the mean of the puzzle embeddings.
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
    ids = np.where(rows.puzzle_ids < config.front.num_puzzle_ids, rows.puzzle_ids, -1)
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


def _halting(marks: Marks, last: Marks, kept: Kept) -> HaltScore:
    """marks: of the answers of the segment that halts, last: of the last one."""
    index, num_segments = kept.halted()
    return HaltScore(
        exact=marks.exact,
        valid=marks.valid,
        mean_segments=float(num_segments.mean()),
        q_accuracy=q_accuracy(kept.q_halt[index, np.arange(len(index))], marks),
        last_q_accuracy=q_accuracy(kept.q_halt[-1], last),
    )
