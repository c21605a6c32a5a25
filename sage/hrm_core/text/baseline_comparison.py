"""HRM and a GPT baseline of the same size on one text task, stored in one folder.

Invariant: both have the same layers and number of parameters (except the Q head), train on the same rows in
the same order and use the same optimizers. The caller sets the budget: equal steps or equal CPU time.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save

from sage.durable import write_file
from sage.errors import InputError
from sage.hrm_core.checkpoint.weights_file import read_tensors
from sage.hrm_core.config.model import ModelConfig
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.model.losses import token_cross_entropy
from sage.hrm_core.optim.ema import EMA
from sage.hrm_core.optim.optimizers import Optimizers
from sage.hrm_core.tasks.contract import Task
from sage.hrm_core.text.gpt import PlainGPT
from sage.hrm_core.training.config import TrainConfig
from sage.hrm_core.training.stream import RowStream

PLAIN_NAME = "plain.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineComparison:
    """hrm, and its GPT baseline; gpt is None if it was not trained."""

    hrm: HRM
    gpt: PlainGPT | None = None

    @classmethod
    def make(cls, config: ModelConfig, *, seed: int = 0) -> BaselineComparison:
        hrm = HRM(config, generator=torch.Generator().manual_seed(seed))
        return cls(hrm=hrm, gpt=PlainGPT(config, generator=torch.Generator().manual_seed(seed)))

    def chosen(self, *, use_hrm: bool) -> HRM | PlainGPT:
        if use_hrm:
            return self.hrm
        if self.gpt is None:
            raise InputError(
                "use_hrm is False and the GPT baseline was not trained: train it with train_plain, or use HRM"
            )
        return self.gpt


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainResult:
    """steps: number of steps taken.  cpu_secs: their CPU time, all threads.  loss: of the last step."""

    steps: int
    cpu_secs: float
    loss: float


def train_plain(gpt: PlainGPT, task: Task, config: TrainConfig) -> PlainResult:
    """Next-symbol training with the rows, loss, optimizers, clipping and weight average that Trainer uses for
    HRM. Ends after the config's steps or its max_cpu_secs, whichever comes first; gpt then holds the averaged
    weights."""
    num_steps = config.num_steps(getattr(task, "examples_per_epoch", None))
    optimizers = Optimizers(gpt, config.optimizer, num_steps=num_steps)
    average = (
        None if config.ema_decay is None else EMA(gpt, config.ema_decay, begin_step=config.ema_begin_step)
    )
    device, weights = gpt.lm_head.weight.device, list(gpt.parameters())
    step, cpu_secs, loss = 0, 0.0, float("nan")
    gpt.train()
    with RowStream(
        task, block_size=config.batch_size, seed=config.seed, timeout_secs=config.loader_timeout_secs
    ) as stream:
        while step < num_steps and (config.max_cpu_secs is None or cpu_secs < config.max_cpu_secs):
            step, started = step + 1, time.process_time()
            rows = stream.take(config.batch_size)
            tokens, labels = (torch.from_numpy(each).to(device) for each in (rows.inputs, rows.labels))
            optimizers.zero_grad()
            total = token_cross_entropy(gpt(tokens), labels, config.cross_entropy).mean()
            total.backward()
            if config.clip_norm is not None:
                torch.nn.utils.clip_grad_norm_(weights, config.clip_norm)
            optimizers.step(step)
            if average is not None:
                average.update()
            loss = float(total.detach())  # sync: the only one of a step on a GPU
            cpu_secs += time.process_time() - started
    if average is not None:
        average.copy_to_weights()
    gpt.eval()
    return PlainResult(steps=step, cpu_secs=cpu_secs, loss=loss)


def save_plain(gpt: PlainGPT, folder: Path) -> None:
    """Write the GPT's weights into HRM's folder; both models share its config.json."""
    write_file(folder / PLAIN_NAME, save(gpt.state_dict()))


def load_plain(folder: Path, config: ModelConfig) -> PlainGPT | None:
    """The GPT baseline stored in the folder of an HRM of this config; None if the folder has none."""
    path = folder / PLAIN_NAME
    if not path.is_file():
        return None
    gpt = PlainGPT(config)
    try:
        gpt.load_state_dict(read_tensors(path))
    except RuntimeError as error:
        raise InputError(
            f"{path}: its shapes do not match config.json: {str(error).splitlines()[0]}: train it again"
        ) from error
    return gpt.eval()
