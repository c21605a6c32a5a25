"""Ablations of learned deduction on 6x6 sudoku: each part of its training is removed or varied in turn.

Invariant: every variant has the same puzzles to evaluate on, the same steps and the same states a step.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from _ablation_variants import seeded

NAME = "deduction"
COLUMNS = (
    "group",
    "variant",
    "one pass %",
    "search with rules %",
    "calls",
    "chains without rules %",
    "wrong %",
    "abstained %",
    "CPU s of training",
)


@dataclass(frozen=True)
class Scale:
    """size: of the sudoku.  calls: of the model for each puzzle at most."""

    size: int
    hidden_size: int
    steps: int
    batch_size: int
    num_eval: int
    seeds: int
    calls: int
    chains: int


FULL = Scale(size=6, hidden_size=32, steps=300, batch_size=32, num_eval=200, seeds=1, calls=64, chains=8)
QUICK = Scale(size=4, hidden_size=16, steps=4, batch_size=8, num_eval=4, seeds=1, calls=4, chains=2)


@dataclass(frozen=True)
class Variant:
    """settings: of DeductionConfig.  solving: changes to the settings of the search; a variant of solving
    alone has the model of `whole`."""

    group: str
    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    solving: Mapping[str, Any] = field(default_factory=dict)


WHOLE = Variant("whole", "loops 4, cross entropy 1, asymmetry 8x, own states")
VARIANTS: tuple[Variant, ...] = (
    WHOLE,
    Variant("cross entropy", "weight 0", {"cross_entropy_weight": 0.0}),
    Variant("cross entropy", "weight 0.2", {"cross_entropy_weight": 0.2}),
    Variant("asymmetry", "1x", {"keep_weight": 1.0, "kill_weight": 1.0}),
    Variant("conflict head", "not trained", {"conflict_weight": 0.0}),
    Variant("loops", "1", {"loops": 1}),
    Variant("loops", "2", {"loops": 2}),
    Variant("loops", "8", {"loops": 8}),
    Variant("gradient", "through the loops of a call", {"gradient_loops": 4}),
    Variant("states", "whole puzzles alone", {"max_age": 1, "pair_share": 0.0}),
    Variant("states", "no pairs of a true and a false guess", {"pair_share": 0.0}),
    Variant("guesses in training", "any undecided cell", {"pin": "uniform"}),
    Variant("branching", "margin", solving={"branching": "margin"}),
    Variant("branching", "fewest candidates", solving={"branching": "fewest"}),
    Variant("branching", "random numbers in place of the model's", solving={"scorer": "uniform"}),
)


@dataclass(frozen=True)
class Trained:
    """model: an HRM.  task: what it was trained on."""

    model: Any
    task: Any
    cpu_secs: float


def train(variant: Variant, scale: Scale, seed: int) -> Trained:
    from sage.app.models.training.recipe import CPU_TRAINING
    from sage.hrm_core.config.model import ModelConfig, TokenFront
    from sage.hrm_core.model.hrm import HRM
    from sage.hrm_core.tasks.catalogue import make_task
    from sage.hrm_core.training.deduction_config import DeductionConfig
    from sage.hrm_core.training.trainer import Trainer

    task = make_task("sudoku", size=scale.size)
    spec = task.spec
    front = TokenFront(
        vocab_size=spec.vocab_size, seq_len=spec.seq_len, positions="none", alike_from=spec.alike_from
    )
    config = ModelConfig.preset("deduce", front=front, box=spec.box, hidden_size=scale.hidden_size)
    model = HRM(config, generator=seeded(seed))
    training = dataclasses.replace(
        CPU_TRAINING,
        steps=scale.steps,
        batch_size=scale.batch_size,
        matmul="medium",
        eval_examples=1,
        eval_segments=(1,),
        seed=seed,
        deduction=DeductionConfig(**variant.settings),
    )
    result = Trainer(model, task, training).train()
    return Trained(model=model.eval(), task=task, cpu_secs=result.cpu_secs)


def judge(trained: Trained, variant: Variant, scale: Scale) -> dict[str, float]:
    """One pass; best-first search with the rules; chains without them."""
    from sage.hrm_core.evaluation.deducing import score_chains
    from sage.hrm_core.evaluation.evaluate import evaluate
    from sage.hrm_core.solving.settings import SolveSettings
    from sage.hrm_core.solving.solver import Solver

    model, task = trained.model, trained.task
    report = evaluate(model, task, num=scale.num_eval, segments=(16,))
    settings = SolveSettings(halt="verifier", abstains=True, search=scale.calls, **variant.solving)
    found = Solver(model, task).solve(task.held_out(scale.num_eval).inputs, settings)
    chains = score_chains(
        model, task, num=scale.num_eval, chains=scale.chains, calls=scale.calls, has_rules=False
    )
    return {
        "one_pass": report.exact,
        "search": float(found.is_verified.mean()),
        "calls": sum(1 if trace is None else trace.calls for trace in found.trace) / len(found),
        "chains": chains.solved,
        "wrong": chains.wrong,
        "abstained": chains.abstained,
        "cpu_secs": trained.cpu_secs,
    }


def run_all(scale: Scale) -> tuple[dict[str, Any], list[tuple[str, ...]], float]:
    """Results by group and variant, the rows of the table, and the CPU seconds of all training."""
    results: dict[str, Any] = {}
    rows: list[tuple[str, ...]] = []
    wholes = [train(WHOLE, scale, seed) for seed in range(scale.seeds)]
    cpu_secs = sum(each.cpu_secs for each in wholes)
    for variant in VARIANTS:
        trained = (
            wholes if not variant.settings else [train(variant, scale, seed) for seed in range(scale.seeds)]
        )
        cpu_secs += sum(each.cpu_secs for each in trained) if variant.settings else 0.0
        runs = [judge(each, variant, scale) for each in trained]
        mean = {name: sum(each[name] for each in runs) / len(runs) for name in runs[0]}
        results.setdefault(variant.group, {})[variant.name] = {"n": len(runs), "runs": runs, "mean": mean}
        rows.append(_row(variant, mean))
        print("  ".join(rows[-1]), flush=True)
    return results, rows, cpu_secs


def _row(variant: Variant, mean: Mapping[str, float]) -> tuple[str, ...]:
    def percent(name: str) -> str:
        return f"{100 * mean[name]:.1f}"

    shown = (percent("one_pass"), percent("search"), f"{mean['calls']:.1f}", percent("chains"))
    return (
        variant.group,
        variant.name,
        *shown,
        percent("wrong"),
        percent("abstained"),
        f"{mean['cpu_secs']:.0f}",
    )
