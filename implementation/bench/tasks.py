"""Small models of tasks other than sudoku and mazes: one seed, one CPU thread, at most five CPU minutes.

A run found in --runs is read; a missing one is trained by `sage train RECIPE`. A share is that of held-out
puzzles whose answer the task's rules accept, in one pass without a verifier, after as many segments as the
recipe trains. Shown beside it: its 95% interval (Wilson) and the best baseline without learning. "Above the
baseline" is the distance from the upper end of the baseline's interval to the lower end of the model's. Real
instances are read from SAGE_DATA if present: all of SATLIB's uf20-91, and graphs of the DIMACS collection,
cut into connected pieces of the model's size. The joint model is compared on each of its tasks with a model
that was trained on that task alone.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import harness
from _tasks_judging import Judged, judge, judge_parts
from _training_runs import has_ended, read_run, run_folder, train_once

from sage.hrm_core.solving.published import load_published

QUICK = ("--steps", "10", "--batch-size", "8", "--set", "train.eval_examples=16")
QUICK_RECIPES = ("patterns",)
CPU_SECS, NUM_HELD_OUT, NUM_PIECES, MOST_LOST = 300.0, 1000, 100, 0.05
JOINT = "multitask_small"


@dataclass(frozen=True)
class Promise:
    """share: the least share solved; None: above the baseline, by intervals that do not touch.  name,
    arguments: of a run that is not the recipe as it stands, what `sage train` takes beside it."""

    recipe: str
    share: float | None = None
    name: str = ""
    arguments: tuple[str, ...] = ()


#: The size of SATLIB's uf20-91: 475 cells a formula, of which a CPU sees few in its time.
_UF20 = (
    "--set",
    "task.variables=20",
    "--set",
    "task.clauses=91",
    "--steps",
    "300",
    "--batch-size",
    "8",
    "--cpu-seconds",
    "295",
)
PROMISES = (
    Promise("brackets", 0.99),
    Promise("patterns", 0.95),
    Promise("hanoi", 0.90),
    Promise("sat"),
    Promise("sat", name="sat-uf20", arguments=_UF20),
    Promise("colouring"),
)


@dataclass(frozen=True)
class Single:
    """What a part of the joint model is compared with. arguments: of `sage train`, beside the recipe."""

    task: str
    recipe: str
    arguments: tuple[str, ...] = ()

    @property
    def folder(self) -> str:
        return f"{self.recipe}-small" if self.arguments else self.recipe


SINGLES = (
    Single("sudoku", "sudoku4"),
    Single("hanoi", "hanoi", ("--set", "task.disks=5", "--steps", "800")),
    Single("colouring", "colouring", ("--set", "task.vertices=6", "--steps", "700", "--batch-size", "64")),
)


@dataclass(frozen=True)
class Learned:
    """A run, and what its model does: on its own puzzles, on real ones."""

    name: str
    num_parameters: int
    steps: int
    cpu_secs: float
    judged: list[Judged]


class Runs:
    """Found under a folder, or made there."""

    def __init__(self, root: Path, *, seed: int, is_quick: bool, makes_runs: bool) -> None:
        self._root, self._seed, self._is_quick, self._makes_runs = root, seed, is_quick, makes_runs
        self._num = 16 if is_quick else NUM_HELD_OUT

    def learned(
        self, recipe: str, *, name: str | None = None, arguments: tuple[str, ...] = ()
    ) -> Learned | None:
        """None where there is no such run and none is made."""
        folder = run_folder(self._root, name or recipe, self._seed)
        if not has_ended(folder):
            if not self._makes_runs:
                return None
            train_once(folder, recipe, self._seed, (*arguments, *(QUICK if self._is_quick else ())))
        run = read_run(folder, recipe, self._seed)
        segments = load_published(run.model).model.config.halt_max_segments
        if recipe == JOINT:
            judged = list(judge_parts(folder, segments=segments, num=self._num).values())
        else:
            judged = [judge(folder, name or recipe, segments=segments, num=self._num)]
            judged += [
                judge(folder, what, segments=segments, num=5000, options=own)
                for what, own in real(name or recipe)
            ]
        return Learned(name or recipe, run.num_parameters, run.steps, run.cpu_secs, judged)


def real(name: str) -> list[tuple[str, dict[str, Any]]]:
    """Instances that nobody here made, by what they are called in the table."""
    folder = Path(os.environ.get("SAGE_DATA") or harness.ROOT.parent / "shared" / "data").resolve()
    formulas, graphs = folder / "sat" / "uf20-91.jsonl", folder / "coloring" / "instances"
    if name == "sat-uf20" and formulas.is_file():
        return [("sat-uf20, SATLIB's uf20-91", {"instances": str(formulas)})]
    if name == "colouring" and graphs.is_dir():
        return [("colouring, pieces of DIMACS graphs", {"instances": str(graphs), "pieces": NUM_PIECES})]
    return []


def solo_table(found: Sequence[Learned]) -> harness.TextTable:
    rows = []
    for each in found:
        for index, judged in enumerate(each.judged):
            cost = (
                (f"{each.num_parameters:,}", f"{each.steps:,}", f"{each.cpu_secs:.0f}")
                if index == 0
                else ("", "", "")
            )
            baseline = f"{100 * judged.baseline_solved:.1f} ({judged.baseline})"
            graded = ", ".join(f"{name} {100 * share:.1f}" for name, share in judged.graded.items())
            rows.append((judged.what, *cost, str(judged.num), _share(judged), baseline, graded))
    columns = ("task", "parameters", "steps", "CPU s", "puzzles", "% solved (95%)", "baseline", "in part, %")
    return harness.TextTable(
        title="Share of held-out puzzles solved, one pass", columns=columns, rows=tuple(rows)
    )


def joint_table(joint: Learned | None, singles: dict[str, Learned]) -> harness.TextTable:
    rows = []
    for judged in joint.judged if joint else ():
        alone = singles.get(_task_of(judged))
        own = f"{100 * alone.judged[0].baseline_solved:.1f}" if alone else "-"
        cells = (_share(alone.judged[0]), f"{alone.cpu_secs:.0f}", own) if alone else ("-", "-", own)
        rows.append((judged.what, str(judged.num), _share(judged), *cells))
    seconds = f", {joint.cpu_secs:.0f} CPU s in all" if joint else ""
    columns = ("task", "puzzles", "% joint (95%)", "% alone (95%)", "CPU s alone", "% baseline")
    return harness.TextTable(
        title=f"One joint model beside single ones{seconds}", columns=columns, rows=tuple(rows)
    )


def bars_of(
    found: Sequence[Learned], joint: Learned | None, singles: dict[str, Learned]
) -> list[harness.Bar]:
    """Owed where there is no run."""
    by_name = {each.name: each for each in found}
    bars = []
    for promise in PROMISES:
        name = promise.name or promise.recipe
        each = by_name.get(name)
        for judged in each.judged if each else [None]:
            what = judged.what if judged else name
            if promise.share is not None:
                value = judged.solved if judged else None
                bars.append(
                    harness.Bar(name=f"{what}: share solved", value=value, bar=promise.share, better="higher")
                )
            else:
                value = judged.above_baseline if judged else None
                bars.append(
                    harness.Bar(name=f"{what}: above the baseline", value=value, bar=0.0, better="higher")
                )
        bars.append(_cpu_bar(name, each))
    bars += [_cpu_bar("joint", joint)]
    for single in SINGLES:
        together = (
            next((each for each in joint.judged if _task_of(each) == single.task), None) if joint else None
        )
        alone = singles.get(single.task)
        lost = alone.judged[0].solved - together.solved if alone and together else None
        bars.append(
            harness.Bar(name=f"joint, {single.task}: share lost", value=lost, bar=MOST_LOST, better="lower")
        )
    return bars


def _cpu_bar(name: str, learned: Learned | None) -> harness.Bar:
    value = learned.cpu_secs if learned else None
    return harness.Bar(name=f"{name}: CPU seconds", value=value, bar=CPU_SECS, better="lower")


def _task_of(judged: Judged) -> str:
    return judged.what.partition(",")[0]


def _share(judged: Judged) -> str:
    return f"{100 * judged.solved:.1f} ({100 * judged.low:.1f} to {100 * judged.high:.1f})"


def main() -> None:
    parser = harness.argument_parser(__doc__)
    parser.add_argument(
        "--runs", type=Path, help="folder of runs, each RECIPE-SEED (default: a temporary folder)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--found", action="store_true", help="read existing runs only; train none")
    parser.add_argument("--notes", default="", help="a remark saved with the result")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as spare:
        root = arguments.runs if arguments.runs and not arguments.quick else Path(spare)
        runs = Runs(root, seed=arguments.seed, is_quick=arguments.quick, makes_runs=not arguments.found)
        promised = [each for each in PROMISES if not arguments.quick or each.recipe in QUICK_RECIPES]
        learned = [
            runs.learned(each.recipe, name=each.name or None, arguments=each.arguments) for each in promised
        ]
        found = [each for each in learned if each]
        joint = None if arguments.quick else runs.learned(JOINT)
        alone = (
            {}
            if arguments.quick
            else {
                each.task: runs.learned(each.recipe, name=each.folder, arguments=each.arguments)
                for each in SINGLES
            }
        )
        singles = {task: learned for task, learned in alone.items() if learned}
    # A few steps say nothing of a bar: it is owed.
    bars = bars_of([], None, {}) if arguments.quick else bars_of(found, joint, singles)
    results: dict[str, Any] = {
        "alone": [asdict(each) for each in found],
        "joint": asdict(joint) if joint else None,
        "beside_joint": {task: asdict(each) for task, each in singles.items()},
        "seed": arguments.seed,
        "calibration": harness.calibrate(),
    }
    notes = "\n\n".join(filter(None, ((__doc__ or "").partition("\n\n")[2], arguments.notes)))
    tables = [solo_table(found), joint_table(joint, singles), harness.bars_table(bars)]
    whole = harness.document("tasks", results, bars, peers=("numba",))
    harness.finish(whole, tables, is_saved=arguments.save, notes=notes)


if __name__ == "__main__":
    main()
