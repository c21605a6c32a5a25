"""The lives of the suite self-teaching: what is lived, measured and kept, by arm and seed."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from _life_teaching import RATES, RECIPE, Judged, Life, Night, Scale, folder_name, judge_once

from sage.app.models.training.building import build_task
from sage.app.models.training.recipe import find_recipe
from sage.hrm_core.tasks.catalogue import make_task
from sage.hrm_core.tasks.contract import Examples
from sage.hrm_core.tasks.sudoku.files import load_csv
from sage.hrm_core.tasks.sudoku.grid import box_of_size


class Lives:
    """All lives of one start: nights by (arm, seed), and figures by (arm, seed, night): of the last night,
    and of others with is_every_night or from an earlier run. With is_kept_only no life goes on: those that
    are not complete are left out.
    """

    def __init__(
        self,
        start: str,
        model: str,
        root: Path,
        scale: Scale,
        *,
        is_every_night: bool = False,
        is_kept_only: bool = False,
    ) -> None:
        folder = data_folder()
        box = box_of_size(9)
        self.name = start
        self._model = model
        self._root = root / start
        self._scale = scale
        self._is_every_night = is_every_night
        self._is_kept_only = is_kept_only
        self._puzzles = load_csv(folder / "mix_train_1k.csv", box)
        self._real = load_csv(folder / "mix_dev_2k.csv", box, max_rows=scale.num_eval)
        self._task = build_task(find_recipe(RECIPE, None))
        easy = make_task("sudoku", size=9, givens=(36, 50))
        self._easy = easy.held_out(scale.num_easy)
        self.before = self._judge("before.json", self._model, self._easy)
        self.before_long = self._judge(
            "before_long.json", self._model, self._easy.take(slice(1)), calls=scale.long_calls
        )
        self.nights: dict[tuple[str, int], list[Night]] = {}
        self.after: dict[tuple[str, int, int], Judged] = {}

    def run(self, names: Sequence[str], seeds: Sequence[int]) -> None:
        for seed in seeds:
            for arm in names:
                home = self._root / folder_name(arm, seed)
                if self._is_kept_only and not (home / f"night-{self._scale.nights}/judged.json").is_file():
                    continue
                life = Life(arm, self._model, seed, home, self._puzzles, self._scale, rate=RATES[self.name])
                self.nights[arm, seed] = life.live(lambda line: print(line, file=sys.stderr, flush=True))
                for night in range(1, self._scale.nights + 1):
                    name = f"{home.name}/night-{night}/judged.json"
                    is_last = night == self._scale.nights
                    if not (is_last or self._is_every_night or (self._root / name).is_file()):
                        continue
                    found = self._judge(name, life.model_after(night), self._easy)
                    self.after[arm, seed, night] = found
                    print(
                        f"{arm}, seed {seed}, after night {night}: {found.way.solved:.3f}",
                        file=sys.stderr,
                        flush=True,
                    )

    def _judge(self, name: str, model: str, easy: Examples, calls: int = 16) -> Judged:
        return judge_once(self._root / name, model, self._task, self._real, easy, calls=calls)

    def seeds_of(self, arm: str, seeds: Sequence[int]) -> list[int]:
        """Those with a life of this arm."""
        return [seed for seed in seeds if (arm, seed) in self.nights]

    def last(self, arm: str, seeds: Sequence[int]) -> list[Judged]:
        """After the last night, of each seed with a life of this arm."""
        return [self.after[arm, seed, self._scale.nights] for seed in self.seeds_of(arm, seeds)]


def data_folder() -> Path:
    """SAGE_DATA/sudoku. Raises FileNotFoundError when it is not there."""
    folder = Path(os.environ.get("SAGE_DATA", "")) / "sudoku"
    if not os.environ.get("SAGE_DATA") or not folder.is_dir():
        raise FileNotFoundError("SAGE_DATA/sudoku: no such folder: set SAGE_DATA to the folder of real data")
    return folder
