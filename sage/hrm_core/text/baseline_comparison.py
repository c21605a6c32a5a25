"""HRM and its plain twin on one text task: made alike, trained alike, kept in one folder.

Invariant: both have the same parts and parameters (less the Q head), see the same rows in the same order, are
moved by the same optimizers; what is made equal beyond that, the steps or the CPU time, the caller says.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from sage.errors import InputError
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
    """hrm, and gpt where it was trained too."""

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
                "use_hrm is False and the plain twin was not trained: train it with train_plain, or use HRM"
            )
        return self.gpt


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainResult:
    """steps: done.  cpu_secs: of them, all threads.  loss: of the last step."""

    steps: int
    cpu_secs: float
    loss: float


def train_plain(gpt: PlainGPT, task: Task, config: TrainConfig) -> PlainResult:
    """Next-symbol training with the rows, loss, optimizers, clipping and average that Trainer gives HRM. It
    ends after the config's steps or its max_cpu_secs, whichever is first; gpt then holds the average."""
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
            loss = float(total.detach())  # sync: told at the end, and on a GPU a step's only one
            cpu_secs += time.process_time() - started
    if average is not None:
        average.keep()
    gpt.eval()
    return PlainResult(steps=step, cpu_secs=cpu_secs, loss=loss)


def save_plain(gpt: PlainGPT, folder: Path) -> None:
    """Beside HRM's own files, whose config.json is also the twin's."""
    save_file(gpt.state_dict(), folder / PLAIN_NAME)


def load_plain(folder: Path, config: ModelConfig) -> PlainGPT | None:
    """The twin kept in the folder of a model of that config; None where there is none."""
    path = folder / PLAIN_NAME
    if not path.is_file():
        return None
    gpt = PlainGPT(config)
    try:
        gpt.load_state_dict(load_file(path))
    except RuntimeError as error:
        raise InputError(
            f"{path}: not the twin of the model beside it: {str(error).splitlines()[0]}: train it again"
        ) from error
    return gpt.eval()
