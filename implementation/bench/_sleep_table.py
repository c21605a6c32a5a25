"""From runs to the table and bars of the digits suite."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import harness
import numpy as np
from _sleep_digits import SCENARIOS
from _sleep_injected import Injected
from _sleep_runs import (
    DER,
    DER_EQUAL,
    DER_LIES,
    DER_SLEEP,
    EQUAL_BYTES,
    JOINT,
    MEMORIES,
    NAIVE,
    NAIVE_AUGMENTED,
    NAIVE_EQUAL,
    NAIVE_SLEEP,
    PEER_ROWS,
    Record,
    Run,
    steps_a_task,
)
from _student import interval

MIN_SEEDS = 5
OURS, THEIRS = DER_SLEEP.name, PEER_ROWS["DER++"]
ROWS = (
    NAIVE.name,
    JOINT,
    *PEER_ROWS.values(),
    EQUAL_BYTES,
    NAIVE_SLEEP.name,
    NAIVE_AUGMENTED.name,
    DER.name,
    DER_SLEEP.name,
    NAIVE_EQUAL.name,
    DER_EQUAL.name,
    DER_LIES.name,
)
LARGE = max(MEMORIES)


class Cells:
    """Runs by row, scenario and memory; every figure is None where a run is absent."""

    def __init__(self, record: Record, seeds: Sequence[int]) -> None:
        self._cells: dict[tuple[str, str, int], list[Run]] = {}
        for run in record.runs.values():
            if run.seed in seeds:
                self._cells.setdefault((run.row, run.scenario, run.memory), []).append(run)

    def __iter__(self) -> Any:
        return iter(sorted(self._cells.items(), key=lambda each: (ROWS.index(each[0][0]), *_place(each[0]))))

    def accuracies(self, row: str, scenario: str, memory: int = 0) -> np.ndarray | None:
        found = self._cells.get((row, scenario, memory))
        return None if not found else np.array([run.accuracy for run in found])

    def paired(self, first: tuple[str, str, int], second: tuple[str, str, int]) -> list[float]:
        """Differences of accuracy by seed, of (row, scenario, memory); a naive wake has no memory."""
        found = [
            {run.seed: run.accuracy for run in self._cells.get(key) or self._cells.get((*key[:2], 0), [])}
            for key in (first, second)
        ]
        return [found[0][seed] - found[1][seed] for seed in sorted(found[0].keys() & found[1].keys())]

    def mean(self, row: str, scenario: str, memory: int = 0) -> float | None:
        found = self.accuracies(row, scenario, memory)
        return None if found is None else float(found.mean())

    def figure(self, row: str, scenario: str, memory: int, name: str) -> float | None:
        found = self._cells.get((row, scenario, memory))
        return None if not found else float(np.mean([getattr(run, name) for run in found]))


def _place(key: tuple[str, str, int]) -> tuple[int, int]:
    return SCENARIOS.index(key[1]), key[2]


def table_of(cells: Cells) -> harness.TextTable:
    rows = []
    for (row, scenario, memory), runs in cells:
        accuracies = np.array([run.accuracy for run in runs])
        outcomes = [night.partition(":")[0] for run in runs for night in run.nights]
        counts = [f"{outcomes.count(name)} {name}" for name in sorted(set(outcomes))]
        rows.append(
            (
                f"{row}, {scenario}",
                str(memory or "-"),
                f"{accuracies.mean():.3f} ± {accuracies.std(ddof=1) if len(runs) > 1 else 0:.3f}",
                harness.number(float(np.mean([run.forgetting for run in runs]))),
                harness.number(float(np.mean([run.backward_transfer for run in runs]))),
                harness.number(float(np.mean([run.forward_transfer for run in runs]))),
                f"{np.mean([steps_a_task(run) for run in runs]):.0f}",
                f"{np.mean([run.cpu_secs for run in runs]):.1f}",
                f"{np.mean([run.num_bytes for run in runs]):,.0f}",
                str(len(runs)),
                ", ".join(counts) or "-",
            )
        )
    transfers = ("forgetting", "BWT", "FWT")
    columns = ("row", "M", "accuracy", *transfers, "steps/task", "CPU s", "bytes", "seeds", "nights")
    return harness.TextTable(title="Digits, five tasks", columns=columns, rows=tuple(rows))


def gains_table(cells: Cells) -> harness.TextTable:
    """What nights add to the wake that they follow, paired by seed."""
    rows = []
    for slept, awake in ((NAIVE_SLEEP.name, NAIVE.name), (DER_SLEEP.name, DER.name)):
        for scenario in SCENARIOS:
            for memory in MEMORIES:
                gaps = cells.paired((slept, scenario, memory), (awake, scenario, memory))
                if gaps:
                    mean, low, high = (100 * each for each in interval(gaps))
                    shown = f"{mean:+.1f}" + (f" ({low:+.1f} to {high:+.1f})" if len(gaps) > 1 else "")
                    rows.append((f"{slept}, {scenario}", str(memory), awake, str(len(gaps)), shown))
    return harness.TextTable(
        title="What nights add: accuracy less that of the same wake without nights",
        columns=("row", "M", "less", "n", "points, paired, 95% by Student's t"),
        rows=tuple(rows),
    )


def injected_table(injected: Sequence[Injected]) -> harness.TextTable:
    rows = tuple(
        (each.fault, each.outcome, "yes" if each.is_untouched else "no", each.reason) for each in injected
    )
    return harness.TextTable(
        title="Nights made bad on purpose", columns=("fault", "outcome", "old weights", "reason"), rows=rows
    )


def _ratio(one: float | None, other: float | None) -> float | None:
    return None if one is None or not other else one / other


def _less(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other


def _worst(values: Sequence[float | None], worst: Any) -> float | None:
    known = [value for value in values if value is not None]
    return worst(known) if len(known) == len(values) else None


def deviations(cells: Cells, row: str) -> float | None:
    """The smallest (row - Avalanche's DER++) over all cells, in standard deviations of DER++ over seeds."""
    found = []
    for scenario in SCENARIOS:
        for memory in MEMORIES:
            peer, ours = cells.accuracies(THEIRS, scenario, memory), cells.mean(row, scenario, memory)
            if peer is None or ours is None or len(peer) < 2:
                return None
            found.append((ours - float(peer.mean())) / max(float(peer.std(ddof=1)), 1e-6))
    return min(found)


def make_bars(
    cells: Cells, injected: Sequence[Injected], cuts: tuple[int, int], *, num_seeds: int
) -> list[harness.Bar]:
    """With fewer than five seeds, bars over seeds are owed."""
    bar = harness.Bar
    scenarios = {name: cells.mean(JOINT, name) for name in SCENARIOS}
    slept = {name: cells.mean(NAIVE_SLEEP.name, name, LARGE) for name in SCENARIOS}
    lies = [
        _less(cells.mean(OURS, name, LARGE), cells.mean(DER_LIES.name, name, LARGE)) for name in SCENARIOS
    ]
    forgotten = [cells.figure(OURS, name, LARGE, "forgetting") for name in SCENARIOS]
    steps = _ratio(cells.figure(OURS, "split", LARGE, "steps"), cells.figure(THEIRS, "split", LARGE, "steps"))
    over_seeds = [
        bar(name=f"naive wake, then sleep, {name}, M {LARGE}: share of joint training",
            value=_ratio(slept[name], scenarios[name]), bar=0.90, better="higher")
        for name in SCENARIOS
    ] + [
        bar(name=f"naive wake, then sleep, split, M {LARGE}: times a naive wake",
            value=_ratio(slept["split"], cells.mean(NAIVE.name, "split")), bar=4.0, better="higher"),
        bar(name="DER++ wake + sleep less Avalanche's DER++, worst cell, in its sd",
            value=deviations(cells, OURS), bar=-1.0, better="higher"),
        bar(name=f"DER++ wake + sleep less Avalanche's DER++, split, M {LARGE}: accuracy",
            value=_less(cells.mean(OURS, "split", LARGE), cells.mean(THEIRS, "split", LARGE)),
            bar=0.01, better="higher"),
        bar(name=f"DER++ wake + sleep, split, M {LARGE}: times the steps of Avalanche's DER++",
            value=steps, bar=2.5, better="lower"),
        bar(name="DER++ wake + sleep at equal steps, worst cell, in sd of DER++",
            value=deviations(cells, DER_EQUAL.name), bar=-1.0, better="higher"),
        bar(name=f"forgetting at M {LARGE}, the larger",
            value=_worst(forgotten, max), bar=0.03, better="lower"),
        bar(name="15% wrong labels: accuracy lost, the larger",
            value=_worst(lies, max), bar=0.025, better="lower"),
    ]  # fmt: skip
    if num_seeds < MIN_SEEDS:
        over_seeds = [dataclasses.replace(each, value=None) for each in over_seeds]
    return [
        *over_seeds,
        bar(name="bad nights rolled back and named, of 5",
            value=sum(each.is_rolled_back for each in injected), bar=5, better="higher"),
        bar(name="nights cut at a step that left the old weights, share", value=cuts[1] / cuts[0],
            bar=1.0, better="higher"),
    ]  # fmt: skip
