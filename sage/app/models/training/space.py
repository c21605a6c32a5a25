"""What a sweep searches: a YAML file as a frozen space of recipe settings.

    recipe: sudoku4            # a shipped recipe, a task, or a file
    trials: 20
    metric: valid              # exact, valid, cell or unknown_cell, of the held-out puzzles
    set: {train.steps: 200}    # the same in every trial
    search:
      train.optimizer.lr: {low: 1e-3, high: 3e-2, log: true}
      model.L_cycles: {low: 1, high: 4}
      train.batch_size: {choices: [32, 64]}

Invariant: a Sweep that exists names keys that a recipe has, each with a range that is not empty. Imports
neither torch nor optuna.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sage.app.config.yaml_file import YamlDocument, read_yaml
from sage.app.models.training.recipe import Recipe, find_recipe
from sage.app.terminal.errors import UserError, nearest

METRICS = ("exact", "valid", "cell", "unknown_cell")
_KEYS = ("recipe", "trials", "metric", "seed", "data", "eval_data", "set", "search")


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """From low to high, both included; whole numbers where both are.  is_log: drawn by their logarithm.
    choices: instead, one of these."""

    low: int | float | None = None
    high: int | float | None = None
    is_log: bool = False
    choices: tuple[Any, ...] = ()

    @property
    def ends(self) -> tuple[Any, ...]:
        """Its choices, or low and high."""
        return self.choices or (self.low, self.high)

    def draw(self, rng: random.Random) -> Any:
        """One of its values, uniformly."""
        if self.choices:
            return rng.choice(self.choices)
        low, high = self.low or 0, self.high or 0
        if isinstance(low, int) and isinstance(high, int):
            return rng.randint(low, high)
        return rng.uniform(low, high)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """recipe: a shipped recipe's name, a task's, or a file ending in .yaml.  fixed, search: by keys as
    `--set` takes them.
    """

    recipe: str
    search: Mapping[str, Range]
    trials: int = 20
    metric: str = "valid"
    seed: int = 0
    data: Path | None = None
    eval_data: Path | None = None
    fixed: Mapping[str, Any] = field(default_factory=dict)

    def distributions(self) -> dict[str, Any]:
        """As optuna draws from them."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        found: dict[str, Any] = {}
        for key, each in self.search.items():
            if each.choices:
                found[key] = CategoricalDistribution(each.choices)
            elif isinstance(each.low, int) and isinstance(each.high, int):
                found[key] = IntDistribution(each.low, each.high, log=each.is_log)
            else:
                found[key] = FloatDistribution(
                    float(each.low or 0.0), float(each.high or 0.0), log=each.is_log
                )
        return found

    @property
    def first(self) -> dict[str, Any]:
        """Key -> the first choice, or low."""
        return {key: each.ends[0] for key, each in self.search.items()}

    @property
    def last(self) -> dict[str, Any]:
        """Key -> the last choice, or high."""
        return {key: each.ends[-1] for key, each in self.search.items()}

    def probes(self, num: int) -> Iterator[dict[str, Any]]:
        """Settings from all over the space, each the same in every call."""
        yield self.first
        yield self.last
        rng = random.Random(self.seed)
        for _ in range(num - 2):
            yield {key: each.draw(rng) for key, each in self.search.items()}

    def to_plain(self) -> dict[str, Any]:
        search = {
            key: {"choices": list(each.choices)}
            if each.choices
            else {"low": each.low, "high": each.high, "log": each.is_log}
            for key, each in self.search.items()
        }
        plain = {"recipe": self.recipe, "trials": self.trials, "metric": self.metric, "seed": self.seed}
        files = {"data": self.data and str(self.data), "eval_data": self.eval_data and str(self.eval_data)}
        return {**plain, **files, "set": dict(self.fixed), "search": search}


def read_sweep(path: Path) -> Sweep:
    """UserError that names the line, the key and the remedy."""
    document = read_yaml(path)
    data = document.data
    for key in data:
        if key not in _KEYS:
            raise UserError(f"{document.where((key,))}: {key}: unknown key; {nearest(str(key), _KEYS)}")
    for key, kind, remedy in (
        ("recipe", str, "give a recipe's name or file"),
        ("search", dict, "give keys with ranges"),
    ):
        if not isinstance(data.get(key), kind) or not data[key]:
            raise UserError(f"{document.where((key,))}: {key}: {remedy}")
    trials, metric, seed = data.get("trials", 20), data.get("metric", "valid"), data.get("seed", 0)
    if isinstance(trials, bool) or not isinstance(trials, int) or trials < 1:
        raise UserError(f"{document.where(('trials',))}: trials is {trials!r}: give 1 or more")
    if metric not in METRICS:
        raise UserError(
            f"{document.where(('metric',))}: metric is {metric!r}: {nearest(str(metric), METRICS)}"
        )
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise UserError(f"{document.where(('seed',))}: seed is {seed!r}: give a whole number, 0 or more")
    fixed = data.get("set") or {}
    if not isinstance(fixed, dict):
        raise UserError(f"{document.where(('set',))}: set: give keys with values")
    sweep = Sweep(
        recipe=data["recipe"],
        search={key: _range(key, given, document) for key, given in data["search"].items()},
        trials=trials,
        metric=metric,
        seed=seed,
        data=_path(data.get("data")),
        eval_data=_path(data.get("eval_data")),
        fixed=fixed,
    )
    _try_out(sweep)
    return sweep


def _range(key: str, given: Any, document: YamlDocument) -> Range:
    where = f"{document.where(('search', key))}: search.{key}"
    remedy = "give {low: .., high: ..}, with log: true where it spans magnitudes, or {choices: [..]}"
    if not isinstance(given, dict) or not (set(given) <= {"low", "high", "log"} or set(given) == {"choices"}):
        raise UserError(f"{where}: {remedy}")
    if "choices" in given:
        if not isinstance(given["choices"], list) or not given["choices"]:
            raise UserError(f"{where}: choices: give a list")
        return Range(choices=tuple(given["choices"]))
    low, high, is_log = given.get("low"), given.get("high"), given.get("log", False)
    for value in (low, high):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise UserError(f"{where}: {remedy}")
    if not low < high or not isinstance(is_log, bool) or (is_log and low <= 0):  # type: ignore[operator]
        raise UserError(f"{where}: {low} to {high}: give low below high, above 0 with log: true")
    return Range(low=low, high=high, is_log=is_log)


def _path(given: Any) -> Path | None:
    return None if given is None else Path(str(given)).expanduser()


def _try_out(sweep: Sweep) -> None:
    """Raise for a wrong key, and for a wrong choice or end of a range, before the first trial.

    A value that is refused may be right beside other values: it is tried beside the first ones and the last
    ones.
    """
    for key, each in sweep.search.items():
        for value in each.ends:
            refusals = [_refusal(sweep, {**others, key: value}) for others in (sweep.first, sweep.last)]
            if refusals[0] is not None and refusals[1] is not None:
                raise refusals[0]


def _refusal(sweep: Sweep, settings: Mapping[str, Any]) -> UserError | None:
    try:
        recipe_of(sweep, settings)
    except UserError as error:
        return error
    return None


def recipe_of(sweep: Sweep, settings: Mapping[str, Any]) -> Recipe:
    """The recipe with the sweep's fixed settings, then a trial's. UserError where it has no such settings."""
    overrides = [f"{key}={json.dumps(value)}" for key, value in (*sweep.fixed.items(), *settings.items())]
    name, config = (
        (Path(sweep.recipe).stem, sweep.recipe) if sweep.recipe.endswith(".yaml") else (sweep.recipe, None)
    )
    return find_recipe(name, config, overrides)
