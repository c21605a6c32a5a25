"""Several processes that torchrun starts train one model, through the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_two_processes_train_one_model_and_one_publishes_it(tmp_path: Path) -> None:
    arguments = [
        "-m",
        "sage",
        "train",
        "patterns",
        "--preset",
        "tiny",
        "--steps",
        "4",
        "--batch-size",
        "8",
        "--device",
        "cpu",
        "--quiet",
        "--set",
        "train.eval_examples=8",
        "--set",
        "train.eval_segments=[1]",
        "--out",
        str(tmp_path / "run"),
    ]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    done = subprocess.run(
        [*launcher, *arguments], capture_output=True, text=True, env=environment, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads((tmp_path / "run" / "run.json").read_text())["num_processes"] == 2
    assert json.loads((tmp_path / "run" / "model" / "task.json").read_text())["trained"]["steps"] == 4
    last = tmp_path / "run" / "checkpoints" / (tmp_path / "run" / "checkpoints" / "last").read_text().strip()
    assert {path.name for path in last.glob("rank*.json")} == {"rank0.json", "rank1.json"}


@pytest.mark.slow
def test_processes_without_one_folder_are_told_so(tmp_path: Path) -> None:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    arguments = [
        "-m",
        "sage",
        "train",
        "patterns",
        "--steps",
        "1",
        "--device",
        "cpu",
        "--state-dir",
        str(tmp_path),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    done = subprocess.run(
        [*launcher, *arguments], capture_output=True, text=True, env=environment, cwd=tmp_path, check=False
    )
    assert done.returncode != 0
    assert "several processes need one folder for the run: give --out DIR" in done.stderr
