"""Train a sudoku recipe for one H100 in jobs of less than ten minutes, and judge what it has reached.

    SAGE_DATA=DATA OUT=out python implementation/gpu_proof/training.py --secs 480
    SAGE_DATA=DATA OUT=out2 python implementation/gpu_proof/training.py --secs 480 --from out/shards
    OUT=out python implementation/gpu_proof/training.py --recipe deduce_gpu --secs 500

SAGE_DATA holds sudoku/mix_train_1k.csv and sudoku/mix_dev_2k.csv (columns source,question,answer,rating);
without it puzzles are made fresh. Leaves in $OUT: shards/ (files below 16 MiB, for --from), model/ and
training.json, which is its last line too. Wall seconds of training steps on the device are summed over all
jobs, in the run's own meter.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import math
import os
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
if importlib.util.find_spec("sage") is None:
    sys.path.append(str(HERE.parents[1]))

NEEDED = ("torch", "numpy", "yaml", "pydantic", "structlog", "safetensors")
RECIPES = ("sudoku_extreme_h100", "deduce_gpu")
#: The same road in small, for a machine without a GPU.
FAKE_MODELS = {
    "sudoku_extreme_h100": ("preset=tiny", "model={H_cycles: 1, L_cycles: 2}", "front={}"),
    "deduce_gpu": ("model.hidden_size=16", "task.size=4", "task.givens=[5, 7]", "task.beyond_singles=0.0"),
}
FAKE = (
    "train.steps=8",
    "train.batch_size=8",
    "train.compile=false",
    "train.bf16=false",
    "train.eval_every=4",
    "train.save_every=2",
    "train.eval_examples=16",
    "train.eval_segments=[1, 2]",
    "train.ema_begin_step=4",
)


@dataclasses.dataclass(frozen=True)
class Job:
    """secs: of training in this job, then it stops with a checkpoint.  data: with sudoku/ in it, or None.

    source: shards/ of the job before.  is_small: judged on a few puzzles.  is_judged: in the end.
    """

    recipe: str
    overrides: tuple[str, ...]
    device: str
    secs: float
    data: Path | None
    source: Path | None = None
    is_small: bool = False
    is_judged: bool = True


def missing_packages() -> list[str]:
    return [name for name in NEEDED if importlib.util.find_spec(name) is None]


def run_job(job: Job, out: Path) -> dict[str, Any]:
    """Unpack, train, pack, judge; what was reached, in plain values."""
    import handover
    import torch

    from sage.app.models.training.building import build_model, build_task
    from sage.app.models.training.recipe import find_recipe
    from sage.hrm_core.solving.published import save_published
    from sage.hrm_core.solving.task_card import TaskCard
    from sage.hrm_core.training.trainer import Trainer

    recipe = find_recipe(job.recipe, None, job.overrides)
    train, dev = (
        (None, None)
        if job.data is None
        else (job.data / "sudoku" / f"mix_{side}.csv" for side in ("train_1k", "dev_2k"))
    )
    if train is None:
        recipe = dataclasses.replace(recipe, needs_data="")
    task = build_task(recipe, train, dev)
    model = build_model(recipe, task.spec).to(job.device)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder)
        begun_at = (
            0 if job.source is None else handover.unpack(job.source, run, model, task.spec, recipe.train)
        )
        curve = Curve()
        alarm = threading.Timer(
            job.secs, os.kill, (os.getpid(), signal.SIGINT)
        )  # as Ctrl-C: a checkpoint, and the end
        alarm.start()
        try:
            trainer = Trainer(model, task, recipe.train, folder=run / "checkpoints", callbacks=[curve])
            result = trainer.train(resume=job.source is not None)
        finally:
            alarm.cancel()
        packed = handover.pack(run, out / "shards")
    facts = {
        "recipe": recipe.name,
        "device": torch.cuda.get_device_name() if job.device.startswith("cuda") else job.device,
        "begun_at": begun_at,
        "step": result.step,
        "num_steps": recipe.train.num_steps(),
        "reason": result.reason,
        "is_whole": not result.is_interrupted,
        "step_wall_minutes_all_jobs": result.wall_secs / 60,
        "job_wall_secs": time.perf_counter() - started,
        "bad_steps": result.num_bad_steps,
        "curve": curve.points,
        "shards": packed,
    }
    if job.device.startswith("cuda"):
        facts["peak_memory_bytes"] = torch.cuda.max_memory_allocated()
    if job.is_judged:
        part = recipe.tasks[0]
        save_published(out / "model", model, TaskCard(task=part.name, options=part.options, trained=facts))
        facts["judged"] = judge(model, task, is_small=job.is_small)
        if model.config.heads == "deduction":
            facts["judged"]["chains"] = judge_chains(model, task, is_small=job.is_small)
    return facts


class Curve:
    """A trainer's callback: the loss every 100 steps, and each evaluation."""

    def __init__(self) -> None:
        self.points: list[dict[str, float]] = []

    def on_step(self, progress: Any) -> None:
        facts = progress.facts
        if facts.step % 100 == 0 or facts.step == progress.num_steps:
            figures = {name: facts.figures[name] for name in ("lm_loss", "exact_accuracy", "steps")}
            self.points.append(
                {
                    "step": facts.step,
                    **{name: value for name, value in figures.items() if math.isfinite(value)},
                }
            )
            told = "  ".join(f"{name} {value:.4f}" for name, value in figures.items())
            print(f"step {facts.step}/{progress.num_steps}  {told}", flush=True)

    def on_evaluation(self, step: int, report: Any) -> None:
        self.points.append({"step": step, "exact": report.exact, "cell": report.depths[-1].cell})
        print(f"step {step}: exact {report.exact:.4f}", flush=True)

    def on_save(self, step: int, path: Path, is_best: bool) -> None:
        pass


def judge(model: Any, task: Any, *, is_small: bool) -> dict[str, Any]:
    """The weights as they are now: at up to 16 segments, then deeper and with tries and the verifier on fewer
    puzzles.
    """
    from sage.hrm_core.evaluation.evaluate import evaluate
    from sage.hrm_core.evaluation.searching import search
    from sage.hrm_core.training.compiling import uncompiled

    num, few, depths, deep, tries = (
        (16, 16, (1, 2), 4, 2) if is_small else (2000, 500, (1, 2, 4, 8, 16), 64, 8)
    )
    with uncompiled():
        report = evaluate(model.eval(), task, num=num, segments=depths, batch_size=1024)
        deeper = evaluate(model, task, num=few, segments=(depths[-1], deep), batch_size=1024)
        searched = search(model, task, num=few, tries=tries, max_segments=deep // 2, batch_size=2048)
    plain = {
        "evaluation": report.to_plain(),
        "deeper": deeper.to_plain(),
        "search": dataclasses.asdict(searched),
    }
    for each in ("evaluation", "deeper"):
        plain[each]["failures"] = len(plain[each]["failures"])
    return plain


def judge_chains(model: Any, task: Any, *, is_small: bool) -> list[dict[str, Any]]:
    """Learned deduction on fewer puzzles: with the rules, then without."""
    from sage.hrm_core.evaluation.deducing import score_chains
    from sage.hrm_core.training.compiling import uncompiled

    num, chains, calls = (8, 2, 8) if is_small else (200, 64, 640)
    with uncompiled():
        scores = [
            score_chains(
                model.eval(), task, num=num, chains=chains, calls=calls, has_rules=each, batch_size=2048
            )
            for each in (True, False)
        ]
    return [{**dataclasses.asdict(score), "abstained": score.abstained} for score in scores]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recipe", choices=RECIPES, default=RECIPES[0])
    parser.add_argument("--secs", type=float, default=480.0, help="of training in this job")
    parser.add_argument("--from", dest="source", type=Path, help="shards/ of the job before")
    parser.add_argument("--no-judge", action="store_true", help="leave the judging to a later job")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a change to the recipe"
    )
    parser.add_argument(
        "--fake", action="store_true", help="the same road on a CPU, in small: proves nothing about a GPU"
    )
    arguments = parser.parse_args()
    if missing := missing_packages():
        parser.exit(3, f"training: needs {', '.join(missing)}: install them first\n")
    out, data = Path(os.environ.get("OUT") or "gpu_proof_out"), os.environ.get("SAGE_DATA")
    job = Job(
        recipe=arguments.recipe,
        overrides=(*((*FAKE_MODELS[arguments.recipe], *FAKE) if arguments.fake else ()), *arguments.set),
        device="cpu" if arguments.fake else "cuda",
        secs=arguments.secs,
        data=None if data is None else Path(data),
        source=arguments.source,
        is_small=arguments.fake,
        is_judged=not arguments.no_judge,
    )
    facts = run_job(job, out)
    (out / "training.json").write_text(json.dumps(facts, indent=1) + "\n")
    print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    main()
