"""One training step at batch 8: ours beside the plain reference, whose step is the published one.

Invariant: "the same algorithm" is a segment forward and back, one segment more for the Q-continue target, the
stablemax loss and AdamATan2; halt-only, which leaves the second forward out, is another algorithm, listed
apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from _hrm_models import our_model, puzzles, reference_of
from _hrm_reference import ReferenceHRM
from _hrm_rounds import Timing, take_turns
from torch import Tensor

from sage.hrm_core.config.model import ModelConfig
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.optim.ranks import SINGLE
from sage.hrm_core.tasks.contract import Examples, TaskSpec
from sage.hrm_core.training.compiling import compile_blocks
from sage.hrm_core.training.config import TrainConfig
from sage.hrm_core.training.learner import Learner

BATCH_SIZE = 8
LR, BETAS, WEIGHT_DECAY = 1e-4, (0.9, 0.95), 1.0
REFERENCE_FP32, REFERENCE_BF16 = "reference fp32", "reference bf16"
OURS_FP32, OURS_BF16, OURS_COMPILED, OURS_HALT_ONLY = (
    "ours fp32",
    "ours bf16",
    "ours bf16 compiled",
    "ours bf16 compiled, halt-only",
)
REFERENCES = {REFERENCE_FP32: torch.float32, REFERENCE_BF16: torch.bfloat16}


class ReferenceTrainer:
    """The published step: no row halts here, so that every step does the same work."""

    def __init__(self, model: ReferenceHRM, num_rows: int) -> None:
        self.model, self.num_steps = model, 0
        self.z_H, self.z_L = model.start(num_rows)
        self.moments = [(torch.zeros_like(weight), torch.zeros_like(weight)) for weight in model.parameters()]

    def step(self, inputs: Tensor, labels: Tensor) -> float:
        self.model.zero_grad()
        self.z_H, self.z_L, logits, q = self.model.segment(self.z_H, self.z_L, inputs)
        with torch.no_grad():
            next_q = self.model.segment(self.z_H, self.z_L, inputs)[3]
            target = torch.sigmoid(next_q.amax(-1))
            is_exact = (logits.argmax(-1) == labels).all(-1).to(q.dtype)
        halt = F.binary_cross_entropy_with_logits(q[:, 0], is_exact)
        go_on = F.binary_cross_entropy_with_logits(q[:, 1], target)
        loss = stablemax_loss(logits, labels) + 0.5 * (halt + go_on)
        loss.backward()
        self._move()
        return float(loss.detach())

    @torch.no_grad()
    def _move(self) -> None:
        """AdamATan2, a weight at a time."""
        self.num_steps += 1
        beta1, beta2 = BETAS
        for weight, (mean, square) in zip(self.model.parameters(), self.moments):
            assert weight.grad is not None
            weight.mul_(1 - LR * WEIGHT_DECAY)
            mean.lerp_(weight.grad, 1 - beta1)
            square.mul_(beta2).addcmul_(weight.grad, weight.grad, value=1 - beta2)
            root = (square / (1 - beta2**self.num_steps)).sqrt_()
            weight.add_(torch.atan2(mean / (1 - beta1**self.num_steps), root), alpha=-LR)


def stablemax_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """In fp64, as published."""
    wide = logits.double()
    s = torch.where(wide < 0, 1 / (1 - wide + 1e-30), wide + 1)
    log_p = torch.log(s / s.sum(-1, keepdim=True))
    return -log_p.gather(-1, labels.long()[..., None]).mean().float()


@dataclass(slots=True)
class SameRows:
    """A stream that hands out the same rows for ever."""

    rows: Examples

    def take(self, num: int) -> Examples:
        return self.rows.take(slice(0, num))


def time_steps(num_rounds: int, *, num_warm: int, is_whole: bool) -> dict[str, Timing]:
    """is_whole: ours in fp32, compiled and halt-only, too, and the reference in bf16."""
    inputs, labels = puzzles(BATCH_SIZE), puzzles(BATCH_SIZE, seed=1)
    model = our_model()
    contenders: dict[str, Callable[[], object]] = {}
    for name, dtype in REFERENCES.items() if is_whole else ((REFERENCE_FP32, torch.float32),):
        trainer = ReferenceTrainer(reference_of(model, dtype), BATCH_SIZE)
        contenders[name] = lambda trainer=trainer: trainer.step(inputs, labels)
    contenders[OURS_BF16] = our_step(inputs, labels)
    if is_whole:
        contenders[OURS_FP32] = our_step(inputs, labels, is_bf16=False)
        contenders[OURS_COMPILED] = our_step(inputs, labels, is_compiled=True)
        contenders[OURS_HALT_ONLY] = our_step(inputs, labels, has_q_continue=False, is_compiled=True)
    return take_turns(contenders, num_rounds=num_rounds, num_warm=num_warm)


def our_step(
    inputs: Tensor,
    labels: Tensor,
    *,
    is_bf16: bool = True,
    has_q_continue: bool = True,
    is_compiled: bool = False,
) -> Callable[[], object]:
    """A step of the trainer's own Learner on rows that never change."""
    model = HRM(ModelConfig.preset("hrm-27m", has_q_continue=has_q_continue, halt_exploration=0.0))
    settings = TrainConfig(steps=1_000_000, batch_size=len(inputs), bf16=is_bf16)
    settings = replace(settings, optimizer=replace(settings.optimizer, lr=LR, weight_decay=WEIGHT_DECAY))
    spec = TaskSpec(name="rows", vocab_size=11, seq_len=81, grid=(9, 9))
    learner = Learner(model, spec, settings, num_steps=1_000_000, ranks=SINGLE)
    if is_compiled:
        compile_blocks(model)
    rows = Examples(inputs=inputs.numpy(), labels=labels.numpy(), puzzle_ids=np.zeros(len(inputs), np.int32))
    stream, number = SameRows(rows), iter(range(1, 1_000_000))
    return lambda: learner.step(next(number), stream)  # type: ignore[arg-type]
