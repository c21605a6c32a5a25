"""A model learns 4x4 sudoku on the card, in two jobs with a handover between them, and another by learned
deduction; the long runs are training.py's.
"""

from __future__ import annotations

from pathlib import Path

import torch
from training import Job, missing_packages, run_job
from verdict import Absent, Verdict, step_arguments

SMALL = ("train.eval_examples=500", "train.eval_segments=[1, 4, 16]")
SMALL_DEDUCTION = ("train.steps=60", "train.eval_examples=200", "train.eval_segments=[4]")
FAKE_DEDUCTION = ("train.steps=4", "train.batch_size=8", "train.eval_examples=8", "train.eval_segments=[1]")
FAKE = (
    "preset=tiny",
    "train.steps=8",
    "train.batch_size=8",
    "train.eval_examples=8",
    "train.eval_segments=[1]",
)


def main() -> None:
    arguments, verdict = step_arguments(__doc__), Verdict()
    device = "cpu" if arguments.fake else "cuda"
    overrides = FAKE if arguments.fake else SMALL

    def job(steps: int, source: Path | None) -> Job:
        changes = (*overrides, f"train.steps={steps}")
        return Job("sudoku4", changes, device, 50.0, None, source, is_small=arguments.fake)

    def trains_in_two_jobs() -> None:
        if missing := missing_packages():
            raise Absent(f"training needs {', '.join(missing)}")
        if device == "cuda" and not torch.cuda.is_available():
            raise Absent("torch has no CUDA here")
        steps = 4 if arguments.fake else 300
        begun = run_job(job(steps, None), arguments.out / "first")
        ended = run_job(job(2 * steps, arguments.out / "first" / "shards"), arguments.out / "second")
        verdict.facts["first"], verdict.facts["second"] = begun, ended
        assert (begun["step"], ended["begun_at"], ended["step"]) == (steps, steps, 2 * steps), (
            begun["step"],
            ended["step"],
        )
        assert ended["step_wall_minutes_all_jobs"] > begun["step_wall_minutes_all_jobs"] > 0
        assert ended["bad_steps"] == 0
        assert ended["shards"]["largest_bytes"] < 16 << 20

    def has_learned() -> None:
        if arguments.fake:
            raise Absent("a few steps on a CPU teach nothing")
        found = verdict.facts["second"]["judged"]["evaluation"]
        exact, trivial = found["depths"][-1]["exact"], max(each["exact"] for each in found["baselines"])
        assert exact > 0.95, f"{exact:.3f} of the puzzles, {trivial:.3f} without learning"

    def deduces() -> None:
        if missing := missing_packages():
            raise Absent(f"training needs {', '.join(missing)}")
        if device == "cuda" and not torch.cuda.is_available():
            raise Absent("torch has no CUDA here")
        changes = ("train.bf16=true", *(FAKE_DEDUCTION if arguments.fake else SMALL_DEDUCTION))
        found = run_job(
            Job("deduce_sudoku4", changes, device, 20.0, None, is_small=True), arguments.out / "deduction"
        )
        verdict.facts["deduction"] = found
        assert found["bad_steps"] == 0
        with_rules, without = found["judged"]["chains"]
        assert (with_rules["has_rules"], without["has_rules"]) == (True, False)
        assert with_rules["wrong"] == 0.0

    verdict.run("learned deduction", deduces)
    if verdict.run("two jobs with a handover", trains_in_two_jobs) and "second" in verdict.facts:
        verdict.run("4x4 sudoku is learned", has_learned)
    verdict.finish()


if __name__ == "__main__":
    main()
