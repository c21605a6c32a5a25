"""Sources that are wrong in one recurring context: trust with and without the records of entity memory.

Four sources of four channels and a camera of eight measure one state of two numbers; a light sensor of eight
channels shows one of four places. These follow each other every 100 readings, ten a second, 2,400 readings;
one place is dark, and the fault is there. Contexts are given (four, right from the first reading) or found by
the loop's own clustering. "error" is the mean squared difference between each healthy source's estimate from
the others and its true signal, relative to the signal's variance. "distrust" is the mean number of readings
from the begin of a fault until trust in the source is below 0.5 (100 where it never is), from the 401st
reading on; "trusted again" the same from the end of the fault until it is above 0.7.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import harness
import numpy as np
from _fusion_host import FAULTY, HEALTHY, RATE_HZ, Recording, Replay
from _student import t_975

from sage.runtime.tick.fusion import Fused

VIEWS = ("camera", "a", "b", "c", "d")
CHANNELS = {"camera": 8, "a": 4, "b": 4, "c": 4, "d": 4}
NUM_READINGS, TURN, NUM_PLACES = 2400, 100, 4
#: The first are those of the design; no choice was made by the others.
SCENARIOS = ("noise in the dark", "bias in the dark", "stuck in the dark", "nothing wrong")
HELD_OUT = (
    "noise x4 in the dark",  # weaker
    "two take turns",  # the camera in the dark, source a in another place
    "always from 1200",  # a fault that has nothing to do with the dark
    "repaired at 1200",  # noise in the dark until then
    "every third dark",  # noise in some dark times only
    "half dark",  # light and dark by turns: two places
)
FIRST = NUM_PLACES * TURN  # reading from which on figures are taken: every place was seen once
ARMS = ("without", "with")
KINDS = ("given", "found")


@dataclass(frozen=True)
class World:
    """recording: as delivered.  clean: source -> (T, channels).  places: (T,) 0 to 3.  is_wrong: source ->
    (T,) bool.
    """

    recording: Recording
    clean: dict[str, np.ndarray]
    places: np.ndarray
    is_wrong: dict[str, np.ndarray]


def make_world(scenario: str, seed: int) -> World:
    generator = np.random.default_rng([seed, 11])
    state = np.zeros((NUM_READINGS, 2))
    for step in range(1, NUM_READINGS):
        state[step] = 0.95 * state[step - 1] + generator.normal(0, 0.3, 2)
    times = np.arange(1, NUM_READINGS + 1) / RATE_HZ
    steps = np.arange(NUM_READINGS)
    places = steps // TURN % (2 if scenario == "half dark" else NUM_PLACES)
    is_dark = places == places.max()
    light = generator.normal(0, 1, (NUM_PLACES, 8))[places] + generator.normal(0, 0.05, (NUM_READINGS, 8))
    clean, recording = {}, {"light": (times, light)}
    wrong = {name: np.zeros(NUM_READINGS, dtype=bool) for name in VIEWS}
    _mark(wrong, scenario, is_dark, places, steps)
    for name in VIEWS:
        mixing = generator.normal(0, 1, (2, CHANNELS[name]))
        clean[name] = state.dot(mixing)
        readings = clean[name] + generator.normal(0, 0.15, clean[name].shape)
        readings = _spoiled(readings, wrong[name], scenario, clean[name].std(axis=0), generator)
        recording[name] = (times, readings)
    return World(recording, clean, places, wrong)


def _mark(
    wrong: dict[str, np.ndarray], scenario: str, is_dark: np.ndarray, places: np.ndarray, steps: np.ndarray
) -> None:
    """When each source is wrong."""
    if scenario == "nothing wrong":
        return
    wrong["camera"][:] = is_dark
    if scenario == "two take turns":
        wrong["a"][:] = (places == 1) & (steps >= NUM_PLACES * TURN)
    elif scenario == "always from 1200":
        wrong["camera"][:] = steps >= 1200
    elif scenario == "repaired at 1200":
        wrong["camera"][:] = is_dark & (steps < 1200)
    elif scenario == "every third dark":
        wrong["camera"][:] = is_dark & (steps // (NUM_PLACES * TURN) % 3 == 0)


def _spoiled(
    readings: np.ndarray,
    is_wrong: np.ndarray,
    scenario: str,
    size: np.ndarray,
    generator: np.random.Generator,
) -> np.ndarray:
    noise = generator.normal(0, 1, readings.shape)
    if scenario.startswith("bias"):
        fault = readings + 2.0 * size
    elif scenario.startswith("stuck"):
        begins = np.maximum.accumulate(np.where(is_wrong, 0, np.arange(len(readings))))
        fault = readings[begins]  # the last reading before the dark
    elif scenario.startswith("noise x4"):
        fault = readings + 0.6 * noise
    else:
        fault = readings + 2.0 * size * noise
    return np.where(is_wrong[:, None], fault, readings)


class Given(Replay):
    """Contexts are places."""

    places: np.ndarray

    def context_of(self, fused: Fused) -> int:
        return int(self.places[self.num_ticks - 1])

    @property
    def num_contexts(self) -> int:
        return int(self.places.max()) + 1


@dataclass(frozen=True)
class Outcome:
    """error: over all readings from the 401st on.  early: in the first 20 readings of each time.  distrust,
    again: readings, NaN where nothing is wrong.  low: share of readings in which a healthy source is below
    0.7.  believed: share of wrong readings in which trust in their source is 0.5 or more, NaN without one.
    num_contexts: used.
    """

    error: float
    early: float
    distrust: float
    again: float
    low: float
    believed: float
    num_contexts: int


def run_world(scenario: str, seed: int, *, kind: str, arm: str) -> Outcome:
    """One replay."""
    world = make_world(scenario, seed)
    replay = (Given if kind == "given" else Replay)(world.recording, by_context=arm == "with")
    if isinstance(replay, Given):
        replay.places = world.places
    trusts, squares = [], []
    names, offsets = list(world.recording), replay.layout.offsets
    for _ in range(NUM_READINGS):
        replay.step()
        trusts.append(replay.trust.trust)
        mean, std = replay.fusion.predictor.frozen_mean, replay.fusion.predictor.frozen_std
        squares.append([
            _square(replay.fused.estimate * std + mean, offsets[at : at + 2], world.clean[name][len(squares)])
            for at, name in enumerate(names)
            if name in world.clean
        ])  # fmt: skip
    return _outcome(world, np.array(trusts)[:, 1:], np.array(squares), replay.num_contexts)


def _square(estimate: np.ndarray, span: np.ndarray, clean: np.ndarray) -> float:
    return float(((estimate[span[0] : span[1]] - clean) ** 2).mean())


def _outcome(world: World, trust: np.ndarray, square: np.ndarray, num_contexts: int) -> Outcome:
    """trust, square: (T, views)."""
    wrong = np.stack([world.is_wrong[name] for name in VIEWS], axis=1)
    variance = np.array([world.clean[name].var() for name in VIEWS])
    steps = np.arange(NUM_READINGS)
    is_counted = (steps >= FIRST)[:, None] & ~wrong
    relative = square / variance
    is_wrong = (steps >= FIRST)[:, None] & wrong
    is_early = is_counted & (steps % TURN < 20)[:, None]
    distrust, again = [], []
    for source in range(len(VIEWS)):
        for start in range(FIRST, NUM_READINGS, TURN):
            span, before = trust[start : start + TURN, source], wrong[start - 1, source]
            if wrong[start, source] and not before:
                distrust.append(_first(span < FAULTY))
            elif before and not wrong[start, source]:
                again.append(_first(span > HEALTHY))
    return Outcome(
        error=float(relative[is_counted].mean()),
        early=float(relative[is_early].mean()),
        distrust=float(np.mean(distrust)) if distrust else float("nan"),
        again=float(np.mean(again)) if again else float("nan"),
        low=float((trust[is_counted] < HEALTHY).mean()),
        believed=float((trust[is_wrong] >= FAULTY).mean()) if is_wrong.any() else float("nan"),
        num_contexts=num_contexts,
    )


def _first(flags: np.ndarray) -> int:
    """Index of the first True, the length without one."""
    return int(flags.argmax()) if flags.any() else len(flags)


#: (scenario, kind, arm) -> an outcome for each seed.
Found = dict[tuple[str, str, str], list[Outcome]]


def run_worlds(scenarios: Sequence[str], seeds: Sequence[int]) -> Found:
    return {
        (scenario, kind, arm): [run_world(scenario, seed, kind=kind, arm=arm) for seed in seeds]
        for scenario in scenarios
        for kind in KINDS
        for arm in ARMS
    }


def ratio(found: Found, scenario: str, kind: str, figure: str) -> tuple[float, float, float]:
    """Geometric mean over the seeds of the figure with records over that without, and its 95% interval by
    Student's t.
    """
    ours, other = (
        np.array([getattr(each, figure) for each in found[scenario, kind, arm]])
        for arm in ("with", "without")
    )
    return _interval(np.log(ours / other))


def pooled_ratio(found: Found, kind: str, figure: str) -> tuple[float, float, float]:
    """The same over all scenarios in which something is wrong; the interval is over seeds."""
    logs = [
        np.log([
            getattr(ours, figure) / getattr(other, figure)
            for ours, other in zip(found[scenario, kind, "with"], found[scenario, kind, "without"])
        ])
        for scenario, each, arm in found
        if (each, arm) == (kind, "with") and scenario != "nothing wrong"
    ]  # fmt: skip
    return _interval(np.mean(logs, axis=0))


def _interval(logs: np.ndarray) -> tuple[float, float, float]:
    """exp of the mean, and of its 95% interval by Student's t; NaN for fewer than two."""
    if len(logs) < 2:
        return float(np.exp(logs.mean())), float("nan"), float("nan")
    half = t_975(len(logs) - 1) * logs.std(ddof=1) / np.sqrt(len(logs))
    low, middle, high = np.exp(logs.mean() + half * np.array([-1.0, 0.0, 1.0])).tolist()
    return middle, low, high


def contexts_table(found: Found) -> harness.TextTable:
    """Means over the seeds, without and with records."""
    rows = []
    for scenario in dict.fromkeys(scenario for scenario, _, _ in found):
        for kind in KINDS:
            without, ours = (found[scenario, kind, arm] for arm in ARMS)
            cells = [
                f"{_mean(without, figure):.{digits}f} / {_mean(ours, figure):.{digits}f}"
                for figure, digits in (("distrust", 1), ("again", 1), ("low", 3), ("believed", 3))
            ]
            ratios = [
                "{:.3f} ({:.3f} to {:.3f})".format(*ratio(found, scenario, kind, figure))
                for figure in ("error", "early")
            ]
            num = f"{_mean(ours, 'num_contexts'):.1f}"
            rows.append((scenario, kind, num, f"{_mean(without, 'error'):.4f}", *ratios, *cells))
    for kind in KINDS:
        ratios = [
            "{:.3f} ({:.3f} to {:.3f})".format(*pooled_ratio(found, kind, figure))
            for figure in ("error", "early")
        ]
        rows.append(("all with a fault", kind, "", "", *ratios, "", "", "", ""))
    return harness.TextTable(
        title="Contexts: with records over without, 95% intervals over seeds; readings to distrust, to trust "
        "again, share of healthy readings below 0.7 and of wrong ones at 0.5 or more: without / with",
        columns=(
            "scenario",
            "contexts",
            "number",
            "error without",
            "error, with / without",
            "first 20 readings",
            "distrust",
            "trusted again",
            "healthy below 0.7",
            "wrong, 0.5 or more",
        ),
        rows=tuple(rows),
    )


def _mean(outcomes: Sequence[Outcome], figure: str) -> float:
    return float(np.mean([getattr(each, figure) for each in outcomes]))


def contexts_bars(found: Found, *, is_quick: bool) -> list[harness.Bar]:
    """Errors are upper bounds of 95% intervals, of given contexts unless noted."""
    faulty, wanted = [each for each in SCENARIOS if each != "nothing wrong"], []
    for scenario in faulty:
        upper = ratio(found, scenario, "given", "early")[2]
        wanted.append((f"{scenario}: error of the first 20 readings, with / without", upper, 1.0))
        slow = _mean(found[scenario, "given", "with"], "distrust")
        wanted.append((f"{scenario}: readings to distrust", slow, 3.0))
    for kind in KINDS:
        upper = ratio(found, "nothing wrong", kind, "error")[2]
        wanted.append((f"nothing wrong, contexts {kind}: error, with / without", upper, 1.01))
        low = [_mean(found["nothing wrong", kind, arm], "low") for arm in ("with", "without")]
        wanted.append(
            (f"nothing wrong, contexts {kind}: share below 0.7, less without", low[0] - low[1], 0.0)
        )
        tried = [each for each in (*faulty, *HELD_OUT) if (each, kind, "with") in found]
        worst = max(ratio(found, each, kind, "error")[2] for each in tried)
        wanted.append((f"worst scenario, contexts {kind}: error, with / without", worst, 1.05))
    return [
        harness.Bar(name=name, value=None if is_quick else value, bar=bar, better="lower")
        for name, value, bar in wanted
    ]
