"""Avalanche's continual learners on the digits, in Avalanche's own environment (scripts/avalanche_env).

Reads one JSON job from standard input: {"digits": file, "runs": [{method, scenario, seed, memory, epochs}]}.
Writes one JSON line a run: the run, and accuracies[i][j] of task j after task i, steps, cpu_secs, num_bytes.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _sleep_digits import BATCH_SIZE, LEARNING_RATE, NUM_CLASSES, WIDTH, DigitsTask, make_tasks

#: Stored with an experience: 64 pixels and a label, one byte each; logits as float32.
PLAIN_BYTES, LOGITS_BYTES = 65, 4 * NUM_CLASSES
DER_ALPHA, DER_BETA = 0.3, 0.8
EWC_LAMBDA, LWF_ALPHA, LWF_TEMPERATURE = 100.0, 1.0, 2.0


def allow_torchvision() -> None:
    """Avalanche imports torchvision, whose wheel may be built for another build of torch: then its operators,
    which nothing here calls, are declared so that the import works.
    """
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor boxes, Tensor scores, float iou_threshold) -> Tensor")
        _KEPT.append(library)


_KEPT: list[Any] = []  # a library is undone when it is collected


def make_strategy(run: dict[str, Any], model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> Any:
    from avalanche import training

    common = {
        "model": model,
        "optimizer": optimizer,
        "criterion": torch.nn.CrossEntropyLoss(),
        "train_mb_size": BATCH_SIZE,
        "train_epochs": run["epochs"],
        "evaluator": None,
    }
    method = run["method"]
    if method == "DER++":
        return training.DER(mem_size=run["memory"], alpha=DER_ALPHA, beta=DER_BETA, **common)
    if method == "replay":
        return training.Replay(mem_size=run["memory"], **common)
    if method == "EWC":
        return training.EWC(ewc_lambda=EWC_LAMBDA, **common)
    if method == "LwF":
        return training.LwF(alpha=LWF_ALPHA, temperature=LWF_TEMPERATURE, **common)
    raise ValueError(f"method is {method}: give DER++, replay, EWC or LwF")


def stored_bytes(run: dict[str, Any], num_weights: int, num_tasks: int) -> int:
    """Of memories, or of what the method keeps of earlier weights."""
    if run["method"] == "EWC":
        return 2 * 4 * num_weights * num_tasks  # weights and importances of each task
    if run["method"] == "LwF":
        return 4 * num_weights
    return int(run["memory"]) * (PLAIN_BYTES + (LOGITS_BYTES if run["method"] == "DER++" else 0))


def carry_out(run: dict[str, Any], tasks: list[DigitsTask]) -> dict[str, Any]:
    from avalanche.benchmarks import tensors_benchmark

    torch.manual_seed(run["seed"])
    model = torch.nn.Sequential(
        torch.nn.Linear(tasks[0].train_x.shape[1], WIDTH),
        torch.nn.ReLU(),
        torch.nn.Linear(WIDTH, WIDTH),
        torch.nn.ReLU(),
        torch.nn.Linear(WIDTH, NUM_CLASSES),
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    counted = [0]
    optimizer.register_step_post_hook(lambda *_: counted.__setitem__(0, counted[0] + 1))
    strategy = make_strategy(run, model, optimizer)
    benchmark = tensors_benchmark(
        train_tensors=[(torch.from_numpy(task.train_x), torch.from_numpy(task.train_y)) for task in tasks],
        test_tensors=[(torch.from_numpy(task.test_x), torch.from_numpy(task.test_y)) for task in tasks],
        task_labels=[0] * len(tasks),
    )
    accuracies, cpu_secs = [], 0.0
    for experience in benchmark.train_stream:
        started = time.process_time()
        strategy.train(experience)
        cpu_secs += time.process_time() - started
        accuracies.append([accuracy(model, task) for task in tasks])
    num_weights = sum(weight.numel() for weight in model.parameters())
    return {
        **run,
        "accuracies": accuracies,
        "steps": counted[0],
        "cpu_secs": cpu_secs,
        "num_bytes": stored_bytes(run, num_weights, len(tasks)),
    }


@torch.no_grad()
def accuracy(model: torch.nn.Module, task: DigitsTask) -> float:
    model.eval()
    return float(np.mean(model(torch.from_numpy(task.test_x)).argmax(-1).numpy() == task.test_y))


def main() -> None:
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    allow_torchvision()
    job = json.load(sys.stdin)
    for run in job["runs"]:
        tasks = make_tasks(Path(job["digits"]), run["scenario"], run["seed"])
        print(json.dumps(carry_out(run, tasks)), flush=True)


if __name__ == "__main__":
    main()
