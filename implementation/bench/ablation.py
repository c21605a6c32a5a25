"""Ablations on 4x4 sudoku: each part of the model is removed in turn, over seeds, at equal steps; and of
learned deduction on 6x6 sudoku, likewise.

Exact solutions on held-out puzzles after 1 and after 8 segments, mean and spread over seeds, with the CPU
seconds of training. No bar: a part without effect on puzzles this small is a result.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import _ablation_deduction as deduction
import harness
from _ablation_variants import VARIANTS, WHOLE, Variant, seeded

DEPTHS = (1, 8)


@dataclasses.dataclass(frozen=True)
class Scale:
    """How much of everything. preset: the size of variants that do not name one, and with is_one_size of
    all.
    """

    preset: str
    steps: int
    batch_size: int
    num_eval: int
    seeds: int
    is_one_size: bool = False


FULL = Scale(preset="small", steps=300, batch_size=64, num_eval=500, seeds=3)
QUICK = Scale(preset="tiny", steps=4, batch_size=8, num_eval=16, seeds=1, is_one_size=True)


def run(variant: Variant, scale: Scale, seed: int) -> dict[str, float]:
    """Train once, evaluate at both depths."""
    from sage.app.models.training.recipe import CPU_TRAINING
    from sage.hrm_core.config.model import ModelConfig, TokenFront
    from sage.hrm_core.evaluation.evaluate import evaluate
    from sage.hrm_core.model.hrm import HRM
    from sage.hrm_core.tasks.catalogue import make_task
    from sage.hrm_core.training.trainer import Trainer

    task = make_task("sudoku", size=4)
    front = TokenFront(vocab_size=task.spec.vocab_size, seq_len=task.spec.seq_len, positions="learned")
    preset = variant.preset if variant.preset and not scale.is_one_size else scale.preset
    model = HRM(ModelConfig.preset(preset, front=front, **{**WHOLE, **variant.model}), generator=seeded(seed))
    variant.surgery(model)
    config = dataclasses.replace(
        CPU_TRAINING,
        steps=scale.steps,
        batch_size=scale.batch_size,
        eval_examples=1,
        eval_segments=(1,),
        seed=seed,
        **variant.train,
    )
    cpu_secs = 0.0
    if variant.prior is not None:
        cpu_secs += Trainer(model, make_task("sudoku", **variant.prior), config).train().cpu_secs
    steps = max(1, round(scale.steps * variant.share_of_steps))
    cpu_secs += Trainer(model, variant.task(task), dataclasses.replace(config, steps=steps)).train().cpu_secs
    report = evaluate(model, task, num=scale.num_eval, segments=DEPTHS)
    return {
        "exact_1": report.depths[0].exact,
        "exact_8": report.depths[1].exact,
        "mean_segments": report.halting.mean_segments,
        "baseline_exact": report.best_baseline.exact,
        "cpu_secs": cpu_secs,
        "parameters": float(sum(weight.numel() for weight in model.parameters())),
    }


def summary(runs: list[dict[str, float]]) -> dict[str, Any]:
    from sage.hrm_core.evaluation.report import spread

    whole: dict[str, Any] = {"n": len(runs), "runs": runs}
    for name in runs[0]:
        over = spread([each[name] for each in runs])
        whole[name] = {"mean": over.mean, "std": over.std, "low": over.low, "high": over.high}
    return whole


def main() -> None:
    parser = harness.argument_parser(__doc__)
    parser.add_argument("--seeds", type=int, help="number of seeds for each variant")
    parser.add_argument("--steps", type=int, help="number of training steps")
    parser.add_argument("--only", metavar="GROUP", help="run one group of variants only")
    arguments = parser.parse_args()
    scale = QUICK if arguments.quick else FULL
    scale = dataclasses.replace(
        scale, **{key: value for key in ("seeds", "steps") if (value := getattr(arguments, key))}
    )
    results: dict[str, Any] = {"scale": dataclasses.asdict(scale)}
    tables, notes = [], []
    if arguments.only != deduction.NAME:
        table, note = parts(scale, arguments.only, results)
        tables.append(table)
        notes.append(note)
    if arguments.only in (None, deduction.NAME):
        own = deduction.QUICK if arguments.quick else deduction.FULL
        changes = {key: value for key in ("seeds", "steps") if (value := getattr(arguments, key))}
        table, note = deductions(dataclasses.replace(own, **changes), results)
        tables.append(table)
        notes.append(note)
    whole = harness.document("ablation", results, [])
    harness.finish(whole, tables, is_saved=arguments.save, notes=" ".join(notes))


def parts(scale: Scale, only: str | None, results: dict[str, Any]) -> tuple[harness.TextTable, str]:
    """The variants of the model; fills `results`."""
    rows = []
    for variant in VARIANTS:
        if only not in (None, variant.group):
            continue
        described = summary([run(variant, scale, seed) for seed in range(scale.seeds)])
        results.setdefault(variant.group, {})[variant.name] = described
        rows.append(_row(variant, described))
        print("  ".join(rows[-1]), flush=True)
    columns = ("group", "variant", "weights", "exact % at 1", "exact % at 8", "segments at halting", "CPU s")
    table = harness.TextTable(title="4x4 sudoku, held out", columns=columns, rows=tuple(rows))
    note = (
        f"{scale.steps} steps of {scale.batch_size} rows, {scale.seeds} seeds (mean, lowest to highest),"
        f" preset {scale.preset}."
    )
    return table, note


def deductions(scale: deduction.Scale, results: dict[str, Any]) -> tuple[harness.TextTable, str]:
    """The variants of learned deduction; fills `results`."""
    found, rows, cpu_secs = deduction.run_all(scale)
    results[deduction.NAME] = {"scale": dataclasses.asdict(scale), "cpu_secs": cpu_secs, **found}
    side = f"{scale.size}x{scale.size}"
    title = f"learned deduction and guesses, {side} sudoku, held out"
    table = harness.TextTable(title=title, columns=deduction.COLUMNS, rows=tuple(rows))
    note = (
        f"Learned deduction: {scale.steps} steps of {scale.batch_size} states, {scale.seeds} seeds, {side},"
        f" {scale.num_eval} puzzles, at most {scale.calls} model calls, {scale.chains} chains;"
        f" {cpu_secs / 60:.1f} CPU minutes of training in all."
    )
    return table, note


def _row(variant: Variant, described: dict[str, Any]) -> tuple[str, ...]:
    def shown(name: str) -> str:
        each = described[name]
        return f"{100 * each['mean']:.1f} ({100 * each['low']:.1f} to {100 * each['high']:.1f})"

    mean = {name: described[name]["mean"] for name in ("parameters", "mean_segments", "cpu_secs")}
    figures = (f"{mean['parameters']:,.0f}", shown("exact_1"), shown("exact_8"))
    return (variant.group, variant.name, *figures, f"{mean['mean_segments']:.1f}", f"{mean['cpu_secs']:.0f}")


if __name__ == "__main__":
    main()
