"""Runs in processes of their own: one is killed in the middle, two train together."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from sage.hrm_core.models import load_model
from sage.hrm_core.training.checkpoints import read_checkpoint, resolve_checkpoint

#: A run of 12 steps that saves every second one.  argv: folder, the step at which it kills itself (0: never),
#: rank, ranks.
_RUN = """
import json, os, signal, sys
from pathlib import Path
import torch.distributed as dist
from sage.hrm_core.checkpoint.weights_file import save_model
from sage.hrm_core.config.model import ModelConfig, TokenFront
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.optim.config import OptimizerConfig
from sage.hrm_core.training.config import TrainConfig
from sage.hrm_core.training.mirror_task import MirrorTask
from sage.hrm_core.training.trainer import Trainer

folder, deadly_step, rank, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
if count > 1:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=count)
task = MirrorTask()
front = TokenFront(
    vocab_size=4, seq_len=6, positions="learned", num_puzzle_ids=1, puzzle_emb_ndim=16, puzzle_tokens=1
)
sizes = dict(hidden_size=16, mlp_multiple=16, halt_max_segments=3, halt_exploration=0.0)
model = HRM(ModelConfig.preset("tiny", front=front, **sizes))
config = TrainConfig(
    steps=12, batch_size=8, cross_entropy="softmax", clip_norm=1.0, ema_decay=0.9, save_every=2,
    eval_examples=31,
    optimizer=OptimizerConfig(kind="muon", lr=2e-2, rest_lr=2e-2, warmup_steps=3),
)


class Diary:
    losses = []

    def on_step(self, progress):
        self.losses.append(progress.facts.figures["loss"])
        if progress.facts.step == deadly_step:
            os.kill(os.getpid(), signal.SIGKILL)

    def on_evaluation(self, step, report):
        self.cell = report.depths[-1].cell

    def on_save(self, step, path, is_best):
        pass


diary = Diary()
Trainer(model, task, config, folder=folder / "checkpoints", callbacks=[diary]).train(resume=True)
if rank == 0:
    save_model(folder / "model.safetensors", model)
    (folder / "diary.json").write_text(json.dumps({"losses": diary.losses, "cell": diary.cell}))
if count > 1:
    dist.destroy_process_group()
"""


def _start(folder: Path, *, deadly_step: int = 0, rank: int = 0, count: int = 1) -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-c", _RUN, str(folder), str(deadly_step), str(rank), str(count)]
    environ = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    return subprocess.Popen(command, cwd="/", env=environ, text=True, stderr=subprocess.PIPE)


def _end(process: subprocess.Popen[str]) -> int:
    _, message = process.communicate(timeout=120)
    assert process.returncode in (0, -signal.SIGKILL), message
    return process.returncode


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_model(folder / "model.safetensors")[0].state_dict()


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was not interrupted."""
    folder = tmp_path_factory.mktemp("straight")
    assert _end(_start(folder)) == 0
    return folder


@pytest.mark.slow
def test_a_killed_and_resumed_run_is_bit_identical(straight: Path, tmp_path: Path) -> None:
    assert _end(_start(tmp_path, deadly_step=7)) == -signal.SIGKILL
    assert resolve_checkpoint(tmp_path).name == "step-00000006"
    assert _end(_start(tmp_path)) == 0
    mine, theirs = _weights(tmp_path), _weights(straight)
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)
    one, other = read_checkpoint(resolve_checkpoint(tmp_path)), read_checkpoint(resolve_checkpoint(straight))
    for name, tensor in {**other.shared, **other.rows}.items():
        if name.startswith("rng."):
            # the global generators, which each process starts somewhere else and training never asks
            continue
        assert torch.equal({**one.shared, **one.rows}[name], tensor), name


@pytest.mark.slow
def test_two_processes_learn_as_one_with_their_whole_batch(straight: Path, tmp_path: Path) -> None:
    processes = [_start(tmp_path, rank=rank, count=2) for rank in range(2)]
    assert [_end(process) for process in processes] == [0, 0]
    alone, together = (json.loads((folder / "diary.json").read_text()) for folder in (straight, tmp_path))
    np.testing.assert_allclose(together["losses"], alone["losses"], rtol=1e-4)
    assert together["cell"] == pytest.approx(alone["cell"], abs=0.01)
    mine, theirs = _weights(tmp_path), _weights(straight)
    for name in theirs:
        torch.testing.assert_close(mine[name], theirs[name], rtol=1e-3, atol=1e-4)
    # Rows under way are kept in one order, however many processes hold them.
    one, other = read_checkpoint(resolve_checkpoint(tmp_path)), read_checkpoint(resolve_checkpoint(straight))
    assert torch.equal(one.rows["inputs"], other.rows["inputs"])


@pytest.mark.slow
@pytest.mark.parametrize(("count", "later"), [(2, 1), (1, 2)])
def test_a_killed_run_continues_with_another_number_of_processes(
    straight: Path, tmp_path: Path, count: int, later: int
) -> None:
    first, *others = [_start(tmp_path, deadly_step=7, rank=rank, count=count) for rank in range(count)]
    assert _end(first) == -signal.SIGKILL
    for other in others:
        assert "peer" in other.communicate(timeout=120)[1]
    assert resolve_checkpoint(tmp_path).name == "step-00000006"
    (tmp_path / "meeting").unlink(missing_ok=True)
    processes = [_start(tmp_path, rank=rank, count=later) for rank in range(later)]
    assert [_end(process) for process in processes] == [0] * later
    mine, theirs = _weights(tmp_path), _weights(straight)
    for name in theirs:
        torch.testing.assert_close(mine[name], theirs[name], rtol=1e-3, atol=1e-4)
    one, other = read_checkpoint(resolve_checkpoint(tmp_path)), read_checkpoint(resolve_checkpoint(straight))
    assert torch.equal(one.rows["inputs"], other.rows["inputs"])
