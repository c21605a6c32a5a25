"""Small models trained from scratch on one CPU thread, by `sage train RECIPE --seed N`, against the bars.

A run found in --runs is read; a missing one is trained (about an hour of CPU time for all), or omitted with
--found. Accuracy is on 1,000 held-out puzzles, one pass of 16 segments, no verifier; for a maze every
shortest path is correct. The runs of maze_any and the shipped weights solve 200 mazes of each generator,
without and with 10% of the walls removed. The bars are on the median of three or more seeds, and owed with
fewer. CPU seconds are those of the training steps, all threads, as `sage train` reports them: generating
puzzles runs in parallel and is included; evaluation is not, nor is numba's compilation of the generators,
which is cached on disk after the first run.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import harness
from _training_mazes import MazeShare, mazes_table, measure_mazes, worst
from _training_runs import Run, has_ended, read_run, run_folder, train_once
from _training_solving import Solving, measure

QUICK = ("--steps", "30", "--batch-size", "16", "--set", "train.eval_examples=32")
QUICK_RECIPES = ("sudoku4",)
NUM_SOLVED = 200
FEWEST_SEEDS = 3


@dataclass(frozen=True)
class Promise:
    """valid: the least share at 16 segments.  cpu_secs: the most CPU seconds of training."""

    recipe: str
    valid: float
    cpu_secs: float


PROMISES = (
    Promise("sudoku4", 1.00, 60.0),
    Promise("sudoku6", 0.93, 300.0),
    Promise("sudoku9_easy", 0.85, 300.0),
    Promise("maze10", 0.85, 480.0),
    Promise("maze_any", 0.85, 720.0),
)
#: The recipe and the shipped weights of mazes of every generator; the least share of the worst kind, 10x10.
MAZE_RECIPE, SHIPPED_MAZES, WORST_KIND = "maze_any", "maze16", 0.90


@dataclass(frozen=True)
class Trained:
    """A run, and what its model does beyond one pass."""

    run: Run
    solving: Solving
    mazes: tuple[MazeShare, ...] = ()


def gather(
    root: Path, recipes: Sequence[str], seeds: Sequence[int], *, is_quick: bool, makes_runs: bool = True
) -> dict[str, list[Trained]]:
    found: dict[str, list[Trained]] = {}
    for recipe in recipes:
        for seed in seeds:
            folder = run_folder(root, recipe, seed)
            if not has_ended(folder) and not makes_runs:
                continue
            if not has_ended(folder):
                train_once(folder, recipe, seed, QUICK if is_quick else ())
            run = read_run(folder, recipe, seed)
            num = 16 if is_quick else NUM_SOLVED
            mazes = measure_mazes(run.model, num) if recipe == MAZE_RECIPE else ()
            found.setdefault(recipe, []).append(Trained(run, measure(run.model, num), mazes))
    return found


def _median(trained: Sequence[Trained], figure: Callable[[Trained], float]) -> float | None:
    return statistics.median(map(figure, trained)) if len(trained) >= FEWEST_SEEDS else None


def _at_the_end(each: Trained) -> float:
    return list(each.run.valid.values())[-1]


def maze_bars(
    found: dict[str, list[Trained]], shipped: Sequence[MazeShare], *, is_quick: bool
) -> list[harness.Bar]:
    """The kind of 10x10 maze of which the fewest are solved: by the shipped weights, and by trained runs."""
    trained = [] if is_quick else found.get(MAZE_RECIPE, [])
    kinds = "worst of 10 kinds of 10x10 mazes, share solved"
    return [
        harness.Bar(
            name=f"{SHIPPED_MAZES}, shipped: {kinds}",
            value=None if is_quick else worst(shipped),
            bar=WORST_KIND,
            better="higher",
        ),
        harness.Bar(
            name=f"{MAZE_RECIPE}: {kinds}",
            value=_median(trained, lambda each: worst(each.mazes)),
            bar=WORST_KIND,
            better="higher",
        ),
    ]


def bars_of(found: dict[str, list[Trained]], *, is_quick: bool) -> list[harness.Bar]:
    """Owed where a recipe was not run whole, or too few times."""
    bars = []
    for promise in PROMISES:
        trained = [] if is_quick else found.get(promise.recipe, [])
        name = promise.recipe
        exact, cpu = _median(trained, _at_the_end), _median(trained, lambda each: each.run.cpu_secs)
        bars += [
            harness.Bar(
                name=f"{name}: share solved, 16 segments", value=exact, bar=promise.valid, better="higher"
            ),
            harness.Bar(name=f"{name}: CPU seconds", value=cpu, bar=promise.cpu_secs, better="lower"),
        ]
    whole = [] if is_quick else [each for each in found.values() if len(each) >= FEWEST_SEEDS]
    every = [each for trained in whole for each in trained]
    gains = [_at_the_end(each) - each.run.valid[1] for each in every]
    nearly = [each.solving.nearly_solved for each in every if each.solving.nearly_solved is not None]
    bars += [
        harness.Bar(
            name="worst run: gain from 1 to 16 segments",
            value=min(gains, default=None),
            bar=0.0,
            better="higher",
        ),
        harness.Bar(
            name="worst run: nearly solved, share solved",
            value=min(nearly, default=None),
            bar=1.0,
            better="higher",
        ),
    ]
    return bars


def runs_table(found: dict[str, list[Trained]]) -> harness.TextTable:
    rows = []
    for trained in found.values():
        for each in trained:
            run, solving = each.run, each.solving
            depths = " / ".join(f"{100 * share:.1f}" for share in run.valid.values())
            shares = (solving.nearly_solved, solving.nearly_solved_one_pass)
            nearly = " / ".join(f"{100 * share:.1f}" for share in shares if share is not None)
            beyond = (
                f"{100 * solving.verified:.1f}",
                f"{100 * solving.with_tries:.1f}",
                f"{solving.mean_segments:.1f}",
            )
            cost = (f"{run.num_parameters:,}", f"{run.steps:,}", f"{run.cpu_secs:.0f}")
            rows.append((f"{run.recipe}, seed {run.seed}", *cost, depths, *beyond, nearly))
    columns = (
        "run",
        "parameters",
        "steps",
        "CPU s",
        "% at 1 / 2 / 4 / 8 / 16",
        "verifier",
        "8 tries",
        "segments",
        "nearly solved / one pass",
    )
    return harness.TextTable(title="Share of held-out puzzles solved", columns=columns, rows=tuple(rows))


def curves_table(found: dict[str, list[Trained]]) -> harness.TextTable:
    """The middle seed's, for people; the document holds them all."""
    rows = []
    for trained in found.values():
        middle = sorted(trained, key=_at_the_end)[len(trained) // 2].run
        for point in middle.curve[:: max(1, len(middle.curve) // 8)]:
            exact = "" if point.exact is None else f"{100 * point.exact:.1f}"
            rows.append(
                (middle.recipe, str(point.step), f"{point.cpu_secs:.0f}", f"{point.lm_loss:.4f}", exact)
            )
    columns = ("recipe", "step", "CPU s", "loss", "% exact of finished training rows")
    return harness.TextTable(title="Curves of the middle seed", columns=columns, rows=tuple(rows))


def main() -> None:
    parser = harness.argument_parser(__doc__)
    parser.add_argument(
        "--runs", type=Path, help="folder of runs, each RECIPE-SEED (default: a temporary folder)"
    )
    parser.add_argument(
        "--seeds", type=harness.seeds_of, default="0,1,2", help="random seeds, separated by commas"
    )
    parser.add_argument(
        "--recipes",
        default=",".join(each.recipe for each in PROMISES),
        help="recipe names, separated by commas",
    )
    parser.add_argument("--found", action="store_true", help="read existing runs only; train none")
    arguments = parser.parse_args()
    recipes = QUICK_RECIPES if arguments.quick else arguments.recipes.split(",")
    seeds = (0,) if arguments.quick else arguments.seeds
    with tempfile.TemporaryDirectory() as spare:
        root = arguments.runs if arguments.runs and not arguments.quick else Path(spare)
        found = gather(root, recipes, seeds, is_quick=arguments.quick, makes_runs=not arguments.found)
    results: dict[str, Any] = {name: [_plain(each) for each in trained] for name, trained in found.items()}
    mazes = {
        f"{SHIPPED_MAZES}, shipped, {side}x{side}": measure_mazes(
            SHIPPED_MAZES, 4 if arguments.quick else NUM_SOLVED, side
        )
        for side in (10, 16)
    }
    results["mazes"] = {name: [asdict(each) for each in shares] for name, shares in mazes.items()}
    bars = bars_of(found, is_quick=arguments.quick)
    bars += maze_bars(found, mazes[f"{SHIPPED_MAZES}, shipped, 10x10"], is_quick=arguments.quick)
    whole = harness.document(
        "training", results | {"calibration": harness.calibrate()}, bars, peers=("numba",)
    )
    of_runs = {f"{MAZE_RECIPE}, seed {each.run.seed}": each.mazes for each in found.get(MAZE_RECIPE, [])}
    tables = [
        runs_table(found),
        curves_table(found),
        mazes_table({**mazes, **of_runs}),
        harness.bars_table(bars),
    ]
    harness.finish(whole, tables, is_saved=arguments.save, notes=(__doc__ or "").partition("\n\n")[2])


def _plain(each: Trained) -> dict[str, Any]:
    plain = asdict(each)
    del plain["run"]["model"]
    return plain


if __name__ == "__main__":
    main()
