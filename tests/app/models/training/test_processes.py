"""Several processes that torchrun starts train one model, through the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from torch.distributed.rendezvous import rendezvous

from sage.app.models.training.processes import fresh_store

#: `sage`, in which the second process kills itself after its first checkpoint, once.
_DEADLY = """
import os, signal
from sage.app.cli.main import main
from sage.hrm_core.training.checkpoints import CheckpointFolder

save = CheckpointFolder.save

def deadly(self, checkpoint, **options):
    path = save(self, checkpoint, **options)
    if os.environ["RANK"] == "1" and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
        os.kill(os.getpid(), signal.SIGKILL)
    return path

CheckpointFolder.save = deadly
main()
"""


def test_nothing_that_an_earlier_start_left_in_the_store_is_read_again(tmp_path: Path) -> None:
    kept, _, _ = next(rendezvous(f"file://{tmp_path}/store?rank=0&world_size=3"))
    seen = []
    for start in ("first", "second"):  # torchrun keeps the store
        with ThreadPoolExecutor(3) as pool:
            stores = list(pool.map(lambda rank: fresh_store(kept, rank, 3), (2, 1, 0)))
        seen.append([store.check(["address"]) for store in stores])
        stores[0].set("address", start)
        assert [store.get("address") for store in stores] == [start.encode()] * 3
    assert seen == [[False] * 3] * 2


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


@pytest.mark.slow
def test_a_run_whose_process_was_killed_is_continued_by_torchrun(tmp_path: Path) -> None:
    (tmp_path / "deadly.py").write_text(_DEADLY)
    settings = ["train.eval_examples=8", "train.eval_segments=[1]", "train.save_every=2"]
    options = [part for setting in settings for part in ("--set", setting)]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--max-restarts", "1"]
    train = ["train", "patterns", "--preset", "tiny", "--steps", "4", "--batch-size", "8", "--device", "cpu"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    done = subprocess.run(
        [*launcher, "deadly.py", *train, *options, "--quiet", "--out", "run"],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stderr.count("continues from its last checkpoint") == 1
    assert json.loads((tmp_path / "run" / "model-last" / "task.json").read_text())["trained"]["steps"] == 4
    assert (tmp_path / "run" / "checkpoints" / "last").read_text() == "step-00000004\n"
