"""Training and evaluation in words and tables.

Invariant: an accuracy is never printed without its interval, a baseline and the input sensitivity.
"""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

from sage.app.config.names import shipped_recipes
from sage.app.models.training.recipe import Recipe
from sage.app.terminal.figures import count, duration, number, percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sage.app.models.training.dry_run import DryRun
    from sage.app.models.training.evaluating import Evaluated
    from sage.app.models.training.from_search import Searched
    from sage.app.models.training.run import Trained
    from sage.hrm_core.evaluation.arc import ArcScore
    from sage.hrm_core.evaluation.breadth import BreadthScore
    from sage.hrm_core.evaluation.deducing import DeductionScore
    from sage.hrm_core.evaluation.report import EvalReport
    from sage.hrm_core.evaluation.searching import SearchScore


def list_recipes() -> str:
    """What can be trained."""
    from sage.app.config.yaml_file import read_yaml
    from sage.hrm_core.tasks.catalogue import kind_or_problem, targets

    about = {name: str(read_yaml(path).data.get("about", "")) for name, path in shipped_recipes().items()}
    found = {name: kind_or_problem(name) for name in targets()}
    kinds = {name: kind if isinstance(kind, str) else kind.about for name, kind in found.items()}
    width = max(map(len, (*about, *kinds, "")))
    lines = ["Usage: sage train TASK [options]; see sage train --help", "", "Recipes:"]
    lines += [f"  {name:<{width}}  {line}" for name, line in about.items()]
    lines += ["", "Tasks:", *(f"  {name:<{width}}  {line}" for name, line in kinds.items())]
    return "\n".join(lines)


def show_dry_run(recipe: Recipe, found: DryRun, *, is_json: bool) -> str:
    if is_json:
        plain = {**dataclasses.asdict(found), "total_cpu_secs": found.total_cpu_secs}
        return json.dumps({"recipe": recipe.name, **plain})
    held_out = (
        "differ from the training rows" if found.held_out_differ else "none, or equal to the training rows"
    )
    lines = [
        f"{recipe.name}: {recipe.about}" if recipe.about else recipe.name,
        f"task        {found.task}: {found.cells} cells, {found.symbols} symbols",
        (
            f"labels      {percent(found.valid_labels, 1)} of the training rows checked are valid by the"
            " task's rules"
        ),
        f"held out    {held_out}",
        f"model       {recipe.preset}, {count(found.parameters)} parameters",
        f"length      {count(found.steps)} steps of {recipe.train.batch_size} rows",
        (
            f"one step    about {duration(found.step_cpu_secs)} of CPU time, estimated from steps of up to"
            f" {found.rows} rows"
        ),
        f"all steps   about {duration(found.total_cpu_secs)} of CPU time",
    ]
    return "\n".join(lines)


def show_trained(trained: Trained, *, is_json: bool) -> str:
    result = trained.result
    if is_json:
        plain = {
            "run": str(trained.folder),
            "steps": result.step,
            "reason": result.reason,
            "train_cpu_seconds": result.cpu_secs,
            "train_wall_seconds": result.wall_secs,
            "best_step": result.best_step,
            "bad_steps": result.num_bad_steps,
            "searched": None if trained.searched is None else dataclasses.asdict(trained.searched),
            "eval": None if result.report is None else result.report.to_plain(),
        }
        return json.dumps(plain)
    lines = [] if result.report is None else [show_report(result.report), ""]
    if trained.searched is not None:
        lines.append(_searched_line(trained.searched))
    bad = f", {result.num_bad_steps} steps not finite" if result.num_bad_steps else ""
    lines.append(f"{result.reason}: {count(result.step)} steps, {duration(result.cpu_secs)} of CPU time{bad}")
    if result.is_interrupted:
        lines.append(f"resume: sage train ... --out {trained.folder} --resume")
    else:
        lines.append(f"model:  {trained.folder / 'model'}  best score, at step {count(result.best_step)}")
        lines.append(f"last:   {trained.folder / 'model-last'}")
    return "\n".join(lines)


def _searched_line(found: Searched) -> str:
    return (
        f"searched: {count(found.num_solved)} of {count(found.num_puzzles)} puzzles solved,"
        f" {count(found.num_plain)} of them by one pass; {count(found.num_calls)} model calls,"
        f" {duration(found.cpu_secs)} of CPU time; {count(found.num_rows)} training rows,"
        f" {count(found.num_dead)} of them without a solution"
    )


def show_report(report: EvalReport) -> str:
    lines = [
        f"{report.task}: {count(report.num)} held-out puzzles",
        "segments   exact   (95% interval)      valid   cells   unknown cells",
    ]
    for depth in report.depths:
        interval = f"({percent(depth.low, 1)} to {percent(depth.high, 1)})"
        figures = (percent(each, 1).rjust(7) for each in (depth.valid, depth.cell, depth.unknown_cell))
        lines.append(
            f"{depth.segments:>8} {percent(depth.exact, 1):>7}   {interval:<17} " + " ".join(figures)
        )
    halting = report.halting
    lines.append(
        f" halting {percent(halting.exact, 1):>7}   after {number(halting.mean_segments, 2)} segments on"
        f" average; the Q head is right {percent(halting.q_accuracy, 1)}, ECE"
        f" {number(report.calibration.ece, 3)}"
    )
    lines += [
        f"baseline: {baseline.name}: exact {percent(baseline.exact, 1)}, cells {percent(baseline.cell, 1)}, "
        f"unknown cells {percent(baseline.unknown_cell, 1)}"
        for baseline in report.baselines
    ]
    lines.append(
        f"input sensitivity {number(report.input_sensitivity)} (0: a constant answer, 1: as much as the"
        " labels)"
    )
    return "\n".join(lines)


def show_search(found: SearchScore) -> str:
    lines = (
        (
            f"with the verifier, up to {found.tries} tries of {found.max_segments} segments: solved"
            f" {percent(found.solved, 1)}"
        ),
        f" ({percent(found.low, 1)} to {percent(found.high, 1)}), abstained {percent(1 - found.solved, 1)}; ",
        f"by the first try {percent(found.first_try, 1)}; {number(found.mean_segments, 1)} segments ",
        f"and {number(1000 * found.cpu_secs / found.num, 1)} CPU ms a puzzle",
    )
    return "".join(lines) + _searched(found)


def show_breadth(found: BreadthScore) -> str:
    return (
        f"without a verifier, {found.starts} starts of {found.segments} segments, the smallest residual"
        f" picked: valid {percent(found.valid, 1)} ({percent(found.low, 1)} to {percent(found.high, 1)}),"
        f" wrong {percent(1 - found.valid, 1)}; the first start alone {percent(found.plain, 1)};"
        f" {number(1000 * found.cpu_secs / found.num, 1)} CPU ms a puzzle"
    )


def _searched(found: SearchScore) -> str:
    if not found.calls:
        return ""
    return (
        f"; by a search of up to {found.calls} model calls {percent(found.by_search, 1)},"
        f" {number(found.mean_calls, 1)} calls on average; no solution {percent(found.no_solution, 1)}"
    )


def show_deduced(found: DeductionScore) -> str:
    way = "answers accepted by the rules" if found.has_rules else "without rules, by the conflict head alone"
    return (
        f"learned deduction and guesses, {way}: {found.chains} chains, up to {found.calls} model calls:"
        f" solved {percent(found.solved, 1)} ({percent(found.low, 1)} to {percent(found.high, 1)}), wrong"
        f" {percent(found.wrong, 2)} (at most {percent(found.wrong_high, 2)}), abstained"
        f" {percent(found.abstained, 1)}; {number(found.mean_calls, 1)} calls and"
        f" {number(1000 * found.cpu_secs / found.num, 1)} CPU ms a puzzle"
    )


def show_arc(found: ArcScore) -> str:
    rules = "".join(f", {name} {percent(share, 1)}" for name, share in found.baselines.items())
    return (
        f"ARC, {count(found.num_puzzles)} puzzles, {count(found.num_answers)} answers voted: two attempts"
        f" {percent(found.two_attempts, 1)}, one {percent(found.one_attempt, 1)}, without a vote"
        f" {percent(found.unvoted, 1)}; baselines: copy the input {percent(found.copied, 1)}{rules}"
    )


def show_evaluated(found: Sequence[Evaluated], *, num_failures: int, is_json: bool) -> str:
    """Each model, then the spread where several were judged on one task."""
    from sage.hrm_core.evaluation.report import spread

    over = spread([each.report.exact for each in found])
    is_one_task = len({each.report.task for each in found}) == 1
    if is_json:
        plain: dict[str, Any] = {
            "models": [_plain(each, num_failures) for each in found],
            "exact_mean": None,
            "exact_std": None,
        }
        if is_one_task:
            plain |= {"exact_mean": over.mean, "exact_std": None if over.num < 2 else over.std}
        return json.dumps(plain)
    lines = []
    for each in found:
        lines += [f"== {each.name}", show_report(each.report)]
        lines += [show_search(each.search)] if each.search else []
        lines += [show_breadth(each.breadth)] if each.breadth else []
        lines += [show_deduced(score) for score in each.deduced]
        lines += [show_arc(each.arc)] if each.arc else []
        lines += [*each.failures(num_failures), ""]
    if over.num > 1 and is_one_task:
        extremes = f"({percent(over.low, 1)} to {percent(over.high, 1)})"
        lines.append(f"{over.num} models: exact {percent(over.mean, 1)} ± {percent(over.std, 1)} {extremes}")
    return "\n".join(lines).rstrip()


def _plain(found: Evaluated, num_failures: int) -> dict[str, Any]:
    plain = {"model": found.name, **found.report.to_plain(), "failures_shown": found.failures(num_failures)}
    if found.deduced:
        plain["deduced"] = [dataclasses.asdict(score) for score in found.deduced]
    if found.search is not None:
        plain["search"] = dataclasses.asdict(found.search)
    if found.breadth is not None:
        plain["breadth"] = dataclasses.asdict(found.breadth)
    if found.arc is not None:
        names = (
            "num_puzzles",
            "num_answers",
            "two_attempts",
            "one_attempt",
            "unvoted",
            "copied",
            "baselines",
        )
        plain["arc"] = {name: getattr(found.arc, name) for name in names}
    return plain
