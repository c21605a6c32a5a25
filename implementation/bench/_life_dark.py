"""Dark experience replay (DER++, Buzzega et al. 2020, arXiv 2004.07211) for a puzzle model: a peer.

Fresh rows of the task, stored rows with their answers, and stored rows with the logits that the model gave
when it stored them. Shapes: B rows, L cells, V symbols.
"""

from __future__ import annotations

import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sage.hrm_core.from_search.episodes import Episodes
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.model.sequence import TokenBatch
from sage.hrm_core.optim.optimizers import Optimizers
from sage.hrm_core.tasks.contract import Examples, Task
from sage.hrm_core.training.config import TrainConfig

#: Of the squared difference of logits, and of the cross entropy of stored answers (the paper's values for
#: small buffers).
ALPHA, BETA = 0.3, 0.5
NUM_SEGMENTS = 8
STORING_SEGMENTS = 16


def batch_of(inputs: np.ndarray) -> TokenBatch:
    cells = torch.from_numpy(inputs)
    return TokenBatch(inputs=cells, labels=cells, puzzle_ids=torch.full((len(cells),), -1, dtype=torch.int32))


@torch.no_grad()
def logits_of(model: HRM, inputs: np.ndarray) -> Tensor:
    """(B, L, V) after a plain pass."""
    model.eval()
    found = []
    for first in range(0, len(inputs), 64):
        batch = batch_of(inputs[first : first + 64])
        carry = model.initial_carry(len(batch.inputs))
        for _ in range(STORING_SEGMENTS):
            carry, output = model.segment(carry, batch)
        assert output.logits is not None
        found.append(output.logits.float())
    return torch.cat(found)


def train_dark(model: HRM, task: Task, rows: Episodes, config: TrainConfig, *, cpu_secs: float) -> int:
    """Train for that CPU time; one step is one segment of a batch, as in deep supervision. Returns the steps.

    Half of a batch is fresh rows of the task; a quarter each are stored answers, moved by symmetries, and
    stored logits.
    """
    started = time.process_time()
    rng = np.random.default_rng(config.seed)
    stored = Examples(inputs=rows.inputs, labels=rows.labels, puzzle_ids=rows.puzzle_ids)
    logits = logits_of(model, rows.inputs)
    num = max(config.batch_size // 4, 1)
    steps, planned = 0, 10**6
    optimizers: Optimizers | None = None
    warm = time.process_time()
    while time.process_time() - started < cpu_secs and steps < planned:
        fresh = task.sample(2 * num, rng)
        answered = task.transform(  # type: ignore[attr-defined]  # sudoku has symmetries
            stored.take(rng.integers(0, len(stored), num)), rng
        )
        dark = rng.integers(0, len(stored), num)
        inputs = np.concatenate([fresh.inputs, answered.inputs, stored.inputs[dark]])
        labels = torch.from_numpy(np.concatenate([fresh.labels, answered.labels])).long()
        batch, target = batch_of(inputs), logits[torch.from_numpy(dark)]
        if optimizers is None:
            optimizers = Optimizers(model, config.optimizer, num_steps=planned)
        model.train()
        carry = model.initial_carry(len(inputs))
        for _ in range(NUM_SEGMENTS):
            carry, output = model.segment(carry, batch)
            assert output.logits is not None
            loss = dark_loss(output.logits.float(), labels, target, num_fresh=2 * num)
            optimizers.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm or 1.0)
            steps += 1
            optimizers.step(steps)
        if planned == 10**6:
            cost = (time.process_time() - warm) / NUM_SEGMENTS
            planned = NUM_SEGMENTS + int((cpu_secs - (time.process_time() - started)) / cost)
            optimizers = Optimizers(model, config.optimizer, num_steps=planned)
    return steps


def dark_loss(logits: Tensor, labels: Tensor, target: Tensor, *, num_fresh: int) -> Tensor:
    """logits (B, L, V): fresh rows, answered rows, dark rows.  labels (B - D, L).  target (D, L, V)."""
    num_labelled = len(labels)
    answers = F.cross_entropy(logits[:num_labelled].transpose(1, 2), labels, reduction="none").mean(1)
    fresh, answered = answers[:num_fresh].mean(), answers[num_fresh:].mean()
    return fresh + BETA * answered + ALPHA * F.mse_loss(logits[num_labelled:], target)
