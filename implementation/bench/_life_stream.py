"""The waking solve rate of a stream of real 9x9 sudokus, day by day, with nights between the days
(COGNITION.md, Sleep: "on a stream of real sudoku the waking solve rate rises night by night").

A day poses its puzzles once, without their answers. What is learned from are the answers that its searches
found and the rules accepted. Arms differ in when that is learned, and in whether symmetries move it; every
arm that learns has the same CPU seconds of training. Invariants: all arms of a seed have the same puzzles on
the same day; no answer of the file is read; a life continues after its last complete day.
Shapes: N puzzles of a day, L cells.
"""

from __future__ import annotations

import json
import math
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import harness
import numpy as np
from _crossed import crossed_interval
from _life_teaching import RATES, RECIPE, night_config, search_puzzles, train_for

from sage.app.models.training.building import build_task
from sage.app.models.training.recipe import find_recipe
from sage.hrm_core.from_search.episode_task import EpisodeTask, Shares
from sage.hrm_core.from_search.episodes import PUZZLE, EpisodeFolder, Episodes
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.solving.inference import HRMInference
from sage.hrm_core.tasks.contract import Examples, Task

NIGHTS, PLAIN, AWAKE, NO_LEARNING = "nights", "nights without symmetries", "practice awake", "no learning"
ARMS = (NIGHTS, PLAIN, AWAKE, NO_LEARNING)
FEWEST_SEEDS = 3


@dataclass(frozen=True)
class Scale:
    """days: with a night between each two.  puzzles: of a day.  calls: model calls of a puzzle at most.
    night_secs: CPU seconds of training of a night, or of the day before it.  portions: of a day, after each
    of which the arm AWAKE trains.  num_timed: steps whose time sets a training's number of steps.
    """

    days: int = 4
    puzzles: int = 250
    calls: int = 16
    night_secs: float = 180.0
    portions: int = 4
    num_timed: int = 20


QUICK = Scale(days=2, puzzles=4, calls=8, night_secs=4.0, portions=2, num_timed=2)


@dataclass(frozen=True)
class Day:
    """solved: of each puzzle in the order of the day.  steps: of the optimizer, with the night after it."""

    solved: tuple[bool, ...]
    steps: int


class StreamLife:
    """One arm, one seed. Layout of `folder`: day-1/{portion-1 ..., model, day.json}, day-2, ..."""

    def __init__(
        self, arm: str, start: str, seed: int, folder: Path, puzzles: Examples, scale: Scale
    ) -> None:
        self._arm, self._start, self._seed, self._folder, self._scale = arm, start, seed, folder, scale
        order = np.random.default_rng(seed).permutation(len(puzzles))
        #: (days, N): rows of the file.
        self.order = order[: scale.days * scale.puzzles].reshape(scale.days, scale.puzzles)
        self._inputs = puzzles.inputs
        self._task: Task = build_task(find_recipe(RECIPE, None))
        self._config = night_config(seed, RATES["first"])

    def live(self) -> list[Day]:
        """All days; those that are complete in the folder are read."""
        found = []
        for number in range(self._scale.days):
            path = self._home(number) / "day.json"
            if not path.is_file():
                shutil.rmtree(path.parent, ignore_errors=True)
                path.parent.mkdir(parents=True)
                path.write_text(json.dumps(asdict(self._day(number))))
            plain = json.loads(path.read_text())
            found.append(Day(solved=tuple(plain["solved"]), steps=plain["steps"]))
            share = np.mean(found[-1].solved)
            print(
                f"{self._arm}, seed {self._seed}, day {number + 1}: {share:.3f}", file=sys.stderr, flush=True
            )
        return found

    def _home(self, number: int) -> Path:
        return self._folder / f"day-{number + 1}"

    def _day(self, number: int) -> Day:
        """The night after it, too, where another day follows."""
        model, steps = self._model(number), 0
        is_last = number == self._scale.days - 1
        inputs = self._inputs[self.order[number]]
        num_portions = self._scale.portions if self._arm == AWAKE else 1
        for portion, rows in enumerate(np.array_split(inputs, num_portions)):
            search_puzzles(
                model,
                self._task,
                rows,
                self._home(number) / f"portion-{portion + 1}",
                calls=self._scale.calls,
                seed=self._seed,
                origin=f"{self._arm}, seed {self._seed}",
            )
            if self._arm != NO_LEARNING and not is_last:
                steps += self._train(model, number, self._scale.night_secs / num_portions)
        if not is_last:
            model.eval().save_pretrained(self._home(number) / "model")
        known = {row.tobytes() for row in self._found(number, number).inputs}
        return Day(solved=tuple(row.tobytes() in known for row in inputs), steps=steps)

    def _model(self, number: int) -> HRM:
        name = self._start if number == 0 else str(self._home(number - 1) / "model")
        found = HRMInference(name, task=self._task).model
        assert isinstance(found, HRM)
        return found

    def _found(self, first: int, last: int) -> Episodes:
        """Puzzles with the verified answers of these days so far."""
        folders = [path for number in range(first, last + 1) for path in self._home(number).glob("portion-*")]
        found = Episodes.joined([EpisodeFolder(path).read_all()[0] for path in sorted(folders)])
        return found.take(np.flatnonzero(found.kind == PUZZLE))

    def _train(self, model: HRM, number: int, cpu_secs: float) -> int:
        shares = Shares(true=0.0, dead=0.0)
        task = EpisodeTask(self._task, self._found(0, number), shares, is_moved=self._arm != PLAIN)
        return train_for(model, task, self._config, cpu_secs, num_timed=self._scale.num_timed)


Found = Mapping[tuple[str, int], tuple[np.ndarray, Sequence[Day]]]


def run(
    start: str, puzzles: Examples, root: Path, arms: Sequence[str], seeds: Sequence[int], scale: Scale
) -> dict[tuple[str, int], tuple[np.ndarray, list[Day]]]:
    """By arm and seed: the rows of each day (days, N), and the days."""
    found = {}
    for seed in seeds:
        for arm in arms:
            life = StreamLife(arm, start, seed, root / f"{arm.replace(' ', '_')}-{seed}", puzzles, scale)
            found[arm, seed] = (life.order, life.live())
    return found


def advantage(found: Found, arm: str, other: str, days: slice) -> tuple[float, float, float]:
    """Mean difference of shares solved on these days, arm minus other, and its 95% interval over puzzles and
    seeds. A unit is a puzzle of the file, which seeds may pose on other days.
    """
    seeds = [seed for name, seed in found if name == arm and (other, seed) in found]
    if not seeds:
        return math.nan, math.nan, math.nan
    num = 1 + max(int(found[arm, seed][0].max()) for seed in seeds)
    gaps = np.full((len(seeds), num), np.nan)
    for line, seed in zip(gaps, seeds):
        order, own = found[arm, seed]
        for rows, mine, yours in zip(order[days], own[days], found[other, seed][1][days]):
            line[rows] = np.subtract(mine.solved, yours.solved, dtype=float)
    return crossed_interval(gaps[:, np.isfinite(gaps).any(axis=0)])


def day_table(found: Found, arms: Sequence[str], num_days: int) -> harness.TextTable:
    rows = []
    for arm in arms:
        lives = [days for (name, _), (_, days) in found.items() if name == arm]
        shares = [100 * np.mean([days[number].solved for days in lives]) for number in range(num_days)]
        steps = np.mean([sum(day.steps for day in days) for days in lives])
        rows.append((arm, str(len(lives)), *(f"{share:.1f}" for share in shares), f"{steps:,.0f}"))
    columns = ("arm", "n", *(f"day {number + 1} %" for number in range(num_days)), "steps")
    return harness.TextTable(title="Real puzzles solved awake, by day", columns=columns, rows=tuple(rows))


def gap_table(found: Found, arms: Sequence[str], num_days: int) -> harness.TextTable:
    """The arm NIGHTS less each other, by day and over all days after a night."""
    rows = []
    for other in (arm for arm in arms if arm != NIGHTS):
        wanted = [slice(number, number + 1) for number in range(num_days)] + [slice(1, None)]
        gaps = [advantage(found, NIGHTS, other, days) for days in wanted]
        rows.append((other, *map(_points, gaps)))
    days = [f"day {number + 1}" for number in range(num_days)]
    title = "Nights less each other arm: points, paired, 95% interval over puzzles and seeds"
    return harness.TextTable(title=title, columns=("arm", *days, "after nights"), rows=tuple(rows))


def _points(gap: tuple[float, float, float]) -> str:
    mean, low, high = (100 * each for each in gap)
    return f"{mean:+.1f} ({low:+.1f} to {high:+.1f})"


def bars(found: Found, num_days: int) -> list[harness.Bar]:
    """Owed with fewer than FEWEST_SEEDS seeds, or without the arm."""

    def is_known(*names: str) -> bool:
        return all(sum(name == arm for name, _ in found) >= FEWEST_SEEDS for arm in names)

    bars = []
    for other in (NO_LEARNING, AWAKE, PLAIN):
        low = advantage(found, NIGHTS, other, slice(1, None))[1] if is_known(NIGHTS, other) else None
        name = f"solved after nights, less {other}, lower bound"
        bars.append(harness.Bar(name=name, value=low, bar=0.0, better="higher"))
    rises: float | None = None
    if is_known(NIGHTS, NO_LEARNING):
        gaps = [
            advantage(found, NIGHTS, NO_LEARNING, slice(number, number + 1))[0] for number in range(num_days)
        ]
        rises = float(sum(after > before for before, after in zip([0.0, *gaps[1:]], gaps[1:])))
    name = "nights after which the difference to no learning is larger than before"
    bars.append(harness.Bar(name=name, value=rises, bar=float(num_days - 1), better="higher"))
    return bars


def to_plain(found: Found) -> dict[str, Any]:
    return {
        f"{arm}, seed {seed}": {"rows": order.tolist(), "days": [asdict(day) for day in days]}
        for (arm, seed), (order, days) in found.items()
    }
