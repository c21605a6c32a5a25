"""HRM and a GPT baseline of the same size, each trained for the same CPU time on the same rows, and how fast
both generate text.

brackets: share of held-out words whose closing half is exact, in one pass and as generated symbol by symbol.
text: bits per byte on the last tenth of a file (English by default: the topics of Python's own help).
Trials set the number of steps of a run, so that the learning-rate schedule ends with the CPU time. HRM runs
several segments per symbol and so computes more per answer; the GPT takes more steps in the same CPU time.
The bar: brackets, HRM, at least 99% exact after at most five CPU minutes.
"""

from __future__ import annotations

import importlib
import statistics
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import harness
import numpy as np
import torch
import torch.nn.functional as F

from sage.hrm_core.config.model import ModelConfig, TokenFront
from sage.hrm_core.model.losses import IGNORED
from sage.hrm_core.optim.config import OptimizerConfig
from sage.hrm_core.tasks.catalogue import make_task
from sage.hrm_core.tasks.contract import Examples, Task
from sage.hrm_core.text.baseline_comparison import BaselineComparison, train_plain
from sage.hrm_core.text.decoding import text_logits
from sage.hrm_core.text.generation import generate
from sage.hrm_core.training.config import TrainConfig
from sage.hrm_core.training.trainer import Trainer

EXACT_BAR, SEGMENTS = 0.99, 2
#: CPU seconds of training by task.
BUDGETS = {"brackets": 280.0, "text": 100.0}
QUICK_BUDGET = 5.0
TRAINING = TrainConfig(
    steps=100,
    batch_size=64,
    cross_entropy="softmax",
    clip_norm=1.0,
    ema_decay=0.99,
    optimizer=OptimizerConfig(kind="muon", lr=1e-2, weight_decay=0.1, warmup_steps=50, min_lr_ratio=0.05),
)
#: The first steps take longer than the others: a step is timed by the difference of the two.
TRIAL_STEPS, LONGER_TRIAL_STEPS = 6, 18


@dataclass(frozen=True)
class Trained:
    """One model after its budget."""

    steps: int
    cpu_secs: float
    figures: dict[str, float]


def main() -> None:
    parser = harness.argument_parser(__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--cpu-secs",
        type=float,
        help="CPU seconds of training for each model, seed and task (default: brackets 280, text 100)",
    )
    parser.add_argument("--file", type=Path, help="train on this text file instead of Python's help")
    arguments = parser.parse_args()
    seeds = 1 if arguments.quick else arguments.seeds
    given = QUICK_BUDGET if arguments.quick else arguments.cpu_secs
    budgets = BUDGETS if given is None else dict.fromkeys(BUDGETS, given)
    file = arguments.file or Path(importlib.import_module("pydoc_data.topics").__file__ or "")
    length = 32 if arguments.quick else 128
    tasks = {"brackets": make_task("brackets"), "text": make_task("text", path=str(file), length=length)}
    num_judged = 64 if arguments.quick else 1000
    runs: dict[str, list[Trained]] = {}
    for seed in range(seeds):  # interleaved, so that a busy moment of the machine strikes all
        for name, task in tasks.items():
            for use_hrm in (True, False):
                key = f"{name}, {'HRM' if use_hrm else 'plain GPT'}"
                runs.setdefault(key, []).append(
                    run(task, use_hrm=use_hrm, seed=seed, budget=budgets[name], num_judged=num_judged)
                )
    results = {
        "budget_cpu_secs": budgets,
        "seeds": seeds,
        "parameters": num_parameters(tasks["brackets"]),
        "runs": {key: [plain_run(each) for each in all_] for key, all_ in runs.items()},
        "writing": writing(tasks["text"]),
        "text_file": file.name,
        "calibration": harness.calibrate(),
    }
    exact = statistics.median(each.figures["exact"] for each in runs["brackets, HRM"])
    bars = [
        harness.Bar(
            name="brackets exact, HRM, median of the seeds", value=exact, bar=EXACT_BAR, better="higher"
        )
    ]
    whole = harness.document("text", results, bars)
    harness.finish(
        whole, [*tables(runs, results["writing"]), harness.bars_table(bars)], is_saved=arguments.save
    )


def plain_run(run: Trained) -> dict[str, float]:
    return {"steps": run.steps, "cpu_secs": run.cpu_secs, **run.figures}


def config_of(task: Task) -> ModelConfig:
    front = TokenFront(vocab_size=task.spec.vocab_size, seq_len=task.spec.seq_len)
    return ModelConfig.preset(
        "small", front=front, mixer="attention", is_causal=True, halt_max_segments=SEGMENTS
    )


def num_parameters(task: Task) -> dict[str, int]:
    comparison = BaselineComparison.make(config_of(task))
    pair = {"HRM": comparison.hrm, "plain GPT": comparison.chosen(use_hrm=False)}
    return {name: sum(each.numel() for each in model.parameters()) for name, model in pair.items()}


def run(task: Task, *, use_hrm: bool, seed: int, budget: float, num_judged: int) -> Trained:
    """Train one of the two models for the budget; trials measure how many steps fit into it."""
    first, second = (
        train(
            BaselineComparison.make(config_of(task), seed=seed),
            task,
            replace(TRAINING, steps=num_steps, seed=seed, max_cpu_secs=None),
            use_hrm=use_hrm,
        )[1]
        for num_steps in (TRIAL_STEPS, LONGER_TRIAL_STEPS)
    )
    per_step = max(second - first, 1e-9) / (LONGER_TRIAL_STEPS - TRIAL_STEPS)
    num_steps = max(TRIAL_STEPS, int(budget / per_step))
    config = replace(TRAINING, steps=num_steps, seed=seed, max_cpu_secs=budget)
    comparison = BaselineComparison.make(config_of(task), seed=seed)
    steps, cpu_secs = train(comparison, task, config, use_hrm=use_hrm)
    return Trained(
        steps=steps, cpu_secs=cpu_secs, figures=judge(comparison, task, num_judged, use_hrm=use_hrm)
    )


def train(
    comparison: BaselineComparison, task: Task, config: TrainConfig, *, use_hrm: bool
) -> tuple[int, float]:
    if use_hrm:
        result = Trainer(comparison.hrm, task, replace(config, eval_examples=1, eval_segments=(1,))).train()
        return result.step, result.cpu_secs
    plain = train_plain(comparison.chosen(use_hrm=False), task, config)  # type: ignore[arg-type]
    return plain.steps, plain.cpu_secs


def judge(comparison: BaselineComparison, task: Task, num: int, *, use_hrm: bool) -> dict[str, float]:
    """exact and bits on held-out rows; of brackets also what is written symbol by symbol."""
    rows = task.held_out(num)
    answers, bits = answered(comparison, rows, use_hrm=use_hrm)
    figures = {"bits": bits, "exact": float(task.verify(rows.inputs, answers).mean())}
    if task.spec.name == "brackets":
        words = [bytes(row[row > 0].astype(np.uint8)).decode() for row in rows.inputs[:200]]
        words = [word for word in words if len(word) < task.spec.seq_len]  # the line's end must still fit
        figures["exact_written"] = float(
            np.mean([is_written(comparison, word, use_hrm=use_hrm) for word in words])
        )
    else:
        figures["bytes_right"] = float((answers == rows.labels).mean())
    return figures


@torch.inference_mode()
def answered(comparison: BaselineComparison, rows: Examples, *, use_hrm: bool) -> tuple[np.ndarray, float]:
    """(N, L) the likeliest symbols, and the mean bits of those that count."""
    model, answers, nats, counted = comparison.chosen(use_hrm=use_hrm).eval(), [], 0.0, 0
    for start in range(0, len(rows), 128):
        part = rows.take(slice(start, start + 128))
        tokens, labels = torch.from_numpy(part.inputs), torch.from_numpy(part.labels).long()
        logits = text_logits(model, tokens, num_segments=SEGMENTS)
        nats += float(
            F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="sum")
        )
        counted += int((labels != IGNORED).sum())
        answers.append(logits.argmax(-1).to(torch.int32).numpy())
    return np.concatenate(answers), nats / counted / np.log(2)


def is_written(comparison: BaselineComparison, word: str, *, use_hrm: bool) -> bool:
    """Whether the model generates the correct closing half after the bar."""
    prompt = word[: word.index("|") + 1]
    written = generate(comparison, prompt, max_length=len(word) + 1, use_hrm=use_hrm, stop="\n")
    return prompt + written.text == word + "\n"


def writing(task: Task) -> dict[str, Any]:
    """Symbols per CPU second of either model, with the cache and without, over a text of maximum length."""
    comparison, rates_of = BaselineComparison.make(config_of(task), seed=0), {}
    for use_hrm in (True, False):
        rates = []
        for use_cache in (True, False):
            rounds = []
            for _ in range(3):
                started = time.process_time()
                written = generate(comparison, "The ", use_hrm=use_hrm, use_cache=use_cache)
                rounds.append(written.num_new / (time.process_time() - started))
            rates.append(statistics.median(rounds))
        rates_of["HRM" if use_hrm else "plain GPT"] = {
            "cached": rates[0],
            "uncached": rates[1],
            "ratio": rates[0] / rates[1],
        }
    return rates_of


def tables(runs: dict[str, list[Trained]], writes: dict[str, Any]) -> list[harness.TextTable]:
    rows = []
    for key, all_ in runs.items():
        figures = all_[0].figures
        shown = [f"{name} {spread([each.figures[name] for each in all_])}" for name in figures]
        rows.append((key, f"{statistics.median(each.steps for each in all_):.0f}", ", ".join(shown)))
    speeds = tuple(
        (name, f"{each['cached']:.0f}", f"{each['uncached']:.0f}", f"{each['ratio']:.1f}")
        for name, each in writes.items()
    )
    columns = ("model", "steps", "median (least to most)")
    return [
        harness.TextTable(title="Trained for the same CPU time", columns=columns, rows=tuple(rows)),
        harness.TextTable(
            title="Symbols a CPU second", columns=("model", "cached", "uncached", "ratio"), rows=speeds
        ),
    ]


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.3f} ({min(values):.3f} to {max(values):.3f})"


if __name__ == "__main__":
    main()
