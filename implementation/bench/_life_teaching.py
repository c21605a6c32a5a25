"""Nights of search: real 9x9 sudokus whose answers are hidden, over a life of a few days (LIFE.md, "What is
learned from", `never`).

A day poses its puzzles once, each with a few model calls; a night may spend a fixed CPU time. Arms differ in
the night alone. Invariants: of the training file only puzzles are read, except by the arm "labelled"; every
night of an arm gets the same CPU seconds; a life continues after its last complete night.
Shapes: N puzzles, L cells.
"""

from __future__ import annotations

import copy
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from _life_dark import train_dark
from _sudoku_ways import Way, run_way

from sage.app.models.training.building import build_task
from sage.app.models.training.recipe import find_recipe
from sage.hrm_core.from_search.collecting import Puzzles, collect
from sage.hrm_core.from_search.episode_task import EpisodeTask, Shares
from sage.hrm_core.from_search.episodes import PUZZLE, EpisodeFolder, Episodes
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.solving.inference import HRMInference
from sage.hrm_core.solving.settings import SolveSettings
from sage.hrm_core.tasks.contract import Examples, Task
from sage.hrm_core.training.config import TrainConfig
from sage.hrm_core.training.trainer import Trainer

ARMS = ("search", "solved only", "DER++", "labelled")
RECIPE = "demo_sudoku9"
#: Of the recipe's learning rate, by start. The weights are trained already: the longer, the smaller the rate
#: that keeps what they can do. First: after one night of 180 CPU s, of 200 other puzzles at 16 calls, with 6
#: segments a call, at 1, 0.2 and 0.05 of it 30.5, 37.0 and 32.0% (before it 36); with 12 segments a call, at
#: 1 and 0.4 of it 39.5 and 52.5% (before it 52). Shipped: at 0.4 of it three nights of search lost 8 and 12
#: points (seeds 0 and 2, on the evaluation's puzzles); 0.05 is the one other rate that was tried.
RATES = {"first": 0.4, "shipped": 0.05}
#: Segments of a model call of a search, by day, by night and in the evaluation: at 16 calls more are solved
#: than with the 6 that long searches use (53 against 36% of 200 puzzles by the first weights).
CALL_SEGMENTS = 12


@dataclass(frozen=True)
class Scale:
    """night_secs: CPU seconds of a night.  search_share: of them, for searches (arm "search").
    day_puzzles: posed a day.  day_calls, night_calls: model calls of a puzzle at most.
    long_calls: of the start, to show what a longer search finds.  num_eval: puzzles of an evaluation.
    num_easy: of the easy ones.  num_timed: steps whose time sets a night's number of steps.
    """

    nights: int = 3
    night_secs: float = 300.0
    search_share: float = 0.4
    day_puzzles: int = 333
    day_calls: int = 16
    night_calls: int = 96
    long_calls: int = 256
    num_eval: int = 500
    num_easy: int = 200
    num_timed: int = 20


QUICK = Scale(
    nights=1,
    night_secs=4.0,
    day_puzzles=4,
    day_calls=8,
    night_calls=20,
    long_calls=20,
    num_eval=4,
    num_easy=4,
    num_timed=2,
)


@dataclass(frozen=True)
class Night:
    """num_found: training rows that the arm had.  num_solved: puzzles solved so far, their answers found by
    the life itself.  search_secs, train_secs: CPU time.  steps: optimizer steps.
    """

    num_found: int
    num_solved: int
    search_secs: float
    train_secs: float
    steps: int


@dataclass(frozen=True)
class Judged:
    """way: the held-out real puzzles at 16 calls.  easy: share of easy puzzles solved."""

    way: Way
    easy: float

    def to_plain(self) -> dict[str, Any]:
        return {"way": self.way.to_plain(), "easy": self.easy}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Judged:
        return cls(way=Way.from_plain(plain["way"]), easy=plain["easy"])


class Life:
    """One arm, one seed. `live` runs the nights that are missing in `folder`; returns them all.

    start: the model's folder or name.  rate: of RATES.

    Layout: folder/day-2 (episodes), folder/night-1/{model, searched, night.json}, ... The first day, by the
    weights of the start, is that of all arms of a seed: beside folder.
    """

    def __init__(
        self, arm: str, start: str, seed: int, folder: Path, puzzles: Examples, scale: Scale, *, rate: float
    ) -> None:
        self._arm = arm
        self._start = start
        self._seed = seed
        self._folder = folder
        self._scale = scale
        order = np.random.default_rng(seed).permutation(len(puzzles))
        self._puzzles = puzzles.take(order[: scale.nights * scale.day_puzzles])
        self._task: Task = build_task(find_recipe(RECIPE, None))
        self._config = night_config(seed, rate)

    def model_after(self, night: int) -> str:
        """The model's folder after that night; 0: the start."""
        return self._start if night == 0 else str(self._folder / f"night-{night}" / "model")

    def live(self, note: Callable[[str], None]) -> list[Night]:
        nights = []
        for number in range(1, self._scale.nights + 1):
            path = self._folder / f"night-{number}" / "night.json"
            if not path.is_file():
                model = self._load(self.model_after(number - 1))
                if self._arm != "labelled":
                    self._day(number, model)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps(asdict(self._night(number, model, path.parent))))
            nights.append(Night(**json.loads(path.read_text())))
            note(f"{self._arm}, seed {self._seed}, night {number}: {nights[-1]}")
        return nights

    def _load(self, model: str) -> HRM:
        found = HRMInference(model, task=self._task).model
        assert isinstance(found, HRM)
        return found

    def _day(self, number: int, model: HRM) -> None:
        size = self._scale.day_puzzles
        inputs = self._puzzles.inputs[(number - 1) * size : number * size]
        origin = "start" if number == 1 else self._arm
        self._collect(model, inputs, self._day_folder(number), self._scale.day_calls, None, origin=origin)

    def _day_folder(self, number: int) -> Path:
        return self._folder.parent / f"day-1-{self._seed}" if number == 1 else self._folder / f"day-{number}"

    def _collect(
        self,
        model: HRM,
        inputs: np.ndarray,
        folder: Path,
        calls: int,
        cpu_secs: float | None,
        *,
        origin: str,
    ) -> Episodes:
        return search_puzzles(
            model,
            self._task,
            inputs,
            folder,
            calls=calls,
            seed=self._seed,
            origin=f"{origin}, seed {self._seed}",
            cpu_secs=cpu_secs,
        )

    def _night(self, number: int, model: HRM, folder: Path) -> Night:
        scale = self._scale
        found = [self._labelled(number)] if self._arm == "labelled" else self._found_before(number)
        started = time.process_time()
        if self._arm == "search":
            unsolved = self._unsolved(number, found)
            limit = scale.search_share * scale.night_secs
            searched = folder / "searched"
            found.append(self._collect(model, unsolved, searched, scale.night_calls, limit, origin=self._arm))
        search_secs = time.process_time() - started
        episodes = Episodes.joined(found)
        steps = self._train(model, episodes, scale.night_secs - search_secs)
        train_secs = time.process_time() - started - search_secs
        shutil.rmtree(folder / "model", ignore_errors=True)
        model.eval().save_pretrained(folder / "model")
        is_puzzle = episodes.kind == PUZZLE
        return Night(
            num_found=len(episodes),
            num_solved=len(np.unique(episodes.inputs[is_puzzle], axis=0)),
            search_secs=search_secs,
            train_secs=train_secs,
            steps=steps,
        )

    def _found_before(self, number: int) -> list[Episodes]:
        """What the days up to this night solved, and what the nights before it found."""
        found = [EpisodeFolder(self._day_folder(day)).read_all()[0] for day in range(1, number + 1)]
        if self._arm != "search":
            return found
        before = [self._folder / f"night-{night}" / "searched" for night in range(1, number)]
        return found + [EpisodeFolder(folder).read_all()[0] for folder in before]

    def _unsolved(self, number: int, found: Sequence[Episodes]) -> np.ndarray:
        """(N, L) puzzles of the days so far without a verified answer, in an order drawn from the seed."""
        posed = self._puzzles.inputs[: number * self._scale.day_puzzles]
        solved = {row.tobytes() for each in found for row in each.inputs[each.kind == PUZZLE]}
        left = posed[[row.tobytes() not in solved for row in posed]]
        shuffled: np.ndarray = np.random.default_rng((self._seed, number)).permutation(left)
        return shuffled

    def _labelled(self, number: int) -> Episodes:
        """The puzzles of the days so far with the answers of the file: the ceiling."""
        rows = self._puzzles.take(slice(number * self._scale.day_puzzles))
        num = len(rows)
        return Episodes(
            inputs=rows.inputs,
            labels=rows.labels,
            puzzle_ids=np.full(num, -1, np.int32),
            kind=np.full(num, PUZZLE, np.int8),
            puzzle=np.arange(num),
            calls=np.full(num, 2, np.int32),  # more than a plain pass: all rows are used
        )

    def _train(self, model: HRM, episodes: Episodes, cpu_secs: float) -> int:
        """Train for about that CPU time; returns the optimizer steps."""
        if self._arm == "DER++":
            rows = episodes.take(np.flatnonzero(episodes.kind == PUZZLE))
            return train_dark(model, self._task, rows, self._config, cpu_secs=cpu_secs)
        task = EpisodeTask(self._task, episodes)
        if self._arm == "solved only":
            rows = episodes.take(np.flatnonzero(episodes.kind == PUZZLE))
            task = EpisodeTask(self._task, rows, Shares(true=0.0, dead=0.0))
        return train_for(model, task, self._config, cpu_secs, num_timed=self._scale.num_timed)


def night_config(seed: int, rate: float) -> TrainConfig:
    """Of the training of a night, without its number of steps. rate: of the recipe's learning rate."""
    train = find_recipe(RECIPE, None).train
    rest = train.optimizer.lr if train.optimizer.rest_lr is None else train.optimizer.rest_lr
    return replace(
        train,
        seed=seed,
        epochs=None,
        eval_every=0,
        eval_examples=1,
        eval_segments=(1,),
        optimizer=replace(train.optimizer, lr=rate * train.optimizer.lr, rest_lr=rate * rest),
    )


def search_puzzles(
    model: HRM,
    task: Task,
    inputs: np.ndarray,
    folder: Path,
    *,
    calls: int,
    seed: int,
    origin: str,
    cpu_secs: float | None = None,
) -> Episodes:
    """Search the puzzles, (N, L), or what the CPU time allows; a folder that has them all is read."""
    episodes = EpisodeFolder(folder)
    collect(
        model.eval(),
        task,
        Puzzles(inputs=inputs, puzzle_ids=np.full(len(inputs), -1, np.int32), name="training file"),
        episodes,
        SolveSettings(search=calls, search_segments=CALL_SEGMENTS, seed=seed),
        origin=origin,
        max_cpu_secs=cpu_secs,
        clock=time.process_time,
    )
    return episodes.read_all()[0]


def train_for(model: HRM, task: Task, config: TrainConfig, cpu_secs: float, *, num_timed: int) -> int:
    """Train for about that CPU time; returns the optimizer steps."""
    started = time.process_time()
    steps = planned_steps(model, task, config, cpu_secs, num_timed=num_timed)
    left = cpu_secs - (time.process_time() - started)
    return Trainer(model, task, replace(config, steps=steps, max_cpu_secs=max(left, 0.1))).train().step


def planned_steps(model: HRM, task: Task, config: TrainConfig, cpu_secs: float, *, num_timed: int) -> int:
    """Steps that fit into that CPU time, so that the learning rate has decayed at its end: from `num_timed`
    steps of a copy.
    """
    timed = Trainer(copy.deepcopy(model), task, replace(config, steps=num_timed)).train()
    return max(num_timed, round((cpu_secs - timed.cpu_secs) / (timed.cpu_secs / num_timed)))


def folder_name(arm: str, seed: int) -> str:
    """Of a life, below the folder of its start."""
    return f"{arm.replace(' ', '_').replace('+', 'p')}-{seed}"


def keep_known(results: Mapping[str, Any], start: str, root: Path, scale: Scale) -> None:
    """Write what an earlier result says of a start's lives into their folders, where `Life` and `judge_once`
    read it. results: those of the kept document.  Raises ValueError if they are of another scale.
    """
    if results["scale"] != asdict(scale):
        raise ValueError(f"the known result has the scale {results['scale']}: this run has {asdict(scale)}")
    known = results.get(start, {})
    for name, calls, num_easy in (
        ("before", scale.day_calls, scale.num_easy),
        ("before_long", scale.long_calls, 1),
    ):
        if name in known:
            _keep(root / f"{name}.json", known[name], scale.num_eval, num_easy, calls)
    for life, nights in known.get("nights", {}).items():
        arm, _, seed = life.rpartition(", seed ")
        home = root / folder_name(arm, int(seed))
        for number, night in enumerate(nights, 1):
            judged = known["after"].get(f"{life}, night {number}")
            folder = home / f"night-{number}"
            folder.mkdir(parents=True, exist_ok=True)
            if judged is not None:
                _keep(folder / "judged.json", judged, scale.num_eval, scale.num_easy, scale.day_calls)
            (folder / "night.json").write_text(json.dumps(night))


def _keep(path: Path, judged: Mapping[str, Any], num_real: int, num_easy: int, calls: int) -> None:
    asked = {"puzzles": num_real, "easy": num_easy, "calls": calls, "segments": CALL_SEGMENTS}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"asked": asked, "judged": judged}))


def judge_once(
    path: Path, model: str, task: Task, real: Examples, easy: Examples, *, calls: int = 16
) -> Judged:
    """As `judge`; what an earlier call with the same numbers wrote to `path` is read instead."""
    asked = {"puzzles": len(real), "easy": len(easy), "calls": calls, "segments": CALL_SEGMENTS}
    if path.is_file():
        plain = json.loads(path.read_text())
        if plain["asked"] == asked:
            return Judged.from_plain(plain["judged"])
    judged = judge(model, task, real, easy, calls=calls)
    _keep(path, judged.to_plain(), len(real), len(easy), calls)
    return judged


def judge(model: str, task: Task, real: Examples, easy: Examples, *, calls: int = 16) -> Judged:
    """Solve the held-out puzzles with that many model calls each, accepted by the rules."""
    inference = HRMInference(model, task=task)
    settings: dict[str, Any] = {
        "search": calls,
        "search_segments": CALL_SEGMENTS,
        "halt": "verifier",
    }
    return Judged(
        way=run_way(f"search, {calls} calls", inference, real, **settings),
        easy=run_way("easy", inference, easy, **settings).solved,
    )
