"""Tables and bars of `fusion`."""

from __future__ import annotations

from typing import Any

import harness
import numpy as np
from _fusion_scenarios import HELD_OUT, SCENARIOS

OURS = "robust fusion"
#: Arm -> fault -> group ("healthy", "faulty") -> mean squared error.
Errors = dict[str, dict[str, dict[str, float]]]
Plaza = dict[str, dict[str, dict[str, float]]]


class Figures:
    """Arm -> scenario -> one figure a seed. settled: error from 24 steps after the fault's begin."""

    def __init__(self) -> None:
        self.errors: dict[str, dict[str, list[float]]] = {}
        self.anees: dict[str, dict[str, list[float]]] = {}
        self.settled: dict[str, list[float]] = {}

    def add(self, arm: str, scenario: str, error: float, anees: float | None) -> None:
        self.errors.setdefault(arm, {}).setdefault(scenario, []).append(error)
        if anees is not None:
            self.anees.setdefault(arm, {}).setdefault(scenario, []).append(anees)

    def ratio(self, arm: str, scenario: str) -> float | None:
        """Error over the oracle's; None where it was not measured."""
        own = self.errors.get(arm, {}).get(scenario)
        best = self.errors.get("oracle", {}).get(scenario)
        return None if own is None or best is None else float(np.mean(own) / np.mean(best))

    def ratios(self, arm: str, scenarios: tuple[str, ...] = SCENARIOS) -> list[float] | None:
        found = [self.ratio(arm, scenario) for scenario in scenarios]
        known = [each for each in found if each is not None]
        return known if len(known) == len(found) else None

    def geometric(self, arm: str) -> float | None:
        found = self.ratios(arm)
        return None if found is None else float(np.exp(np.mean(np.log(found))))

    def consistency(self, arm: str, scenario: str) -> float | None:
        found = self.anees.get(arm, {}).get(scenario)
        return None if found is None else float(np.mean(found))

    def as_json(self) -> dict[str, Any]:
        return {"errors": self.errors, "anees": self.anees, "settled": self.settled}


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}" if value < 100 else f"{value:.0f}"


def errors_table(figures: Figures) -> harness.TextTable:
    """One row a scenario, one column an arm."""
    arms = [arm for arm in figures.errors if arm != "oracle"]
    present = [each for each in (*SCENARIOS, *HELD_OUT) if each in figures.errors["oracle"]]
    rows = [(each, *(_cell(figures.ratio(arm, each)) for arm in arms)) for each in present]
    rows.append(("geometric mean of the ten", *(_cell(figures.geometric(arm)) for arm in arms)))
    rows.append(("worst of the ten", *(_cell(max(figures.ratios(arm) or [], default=None)) for arm in arms)))
    title = "Error over the oracle's"
    return harness.TextTable(title=title, columns=("scenario", *arms), rows=tuple(rows))


def consistency_table(figures: Figures) -> harness.TextTable:
    arms = list(figures.anees)
    present = [each for each in (*SCENARIOS, *HELD_OUT) if each in figures.errors["oracle"]]
    rows = [(each, *(_cell(figures.consistency(arm, each)) for arm in arms)) for each in present]
    return harness.TextTable(title="ANEES per dimension", columns=("scenario", *arms), rows=tuple(rows))


def times_table(times: dict[str, float]) -> harness.TextTable:
    rows = tuple((name, f"{value:.3f}") for name, value in times.items())
    return harness.TextTable(title="CPU time of a step", columns=("case", "ms"), rows=rows)


def plaza_table(plaza: Plaza) -> harness.TextTable:
    rows = tuple(
        (name, method, *(f"{error:.2f}" for error in errors.values()))
        for name, methods in plaza.items()
        for method, errors in methods.items()
    )
    faults = next(iter(plaza["Plaza1"].values()))
    return harness.TextTable(
        title="Recorded ranges and odometry: root mean square error, m",
        columns=("recording", "method", *faults),
        rows=rows,
    )


def make_bars(
    figures: Figures,
    plaza: Plaza,
    times: dict[str, float],
    limits: dict[str, float] | None,
    *,
    is_quick: bool,
) -> list[harness.Bar]:
    """Owed in a quick run, and where the peers are absent."""
    geometric, gated = figures.geometric(OURS), figures.geometric("filterpy + NIS gate")
    found = [figures.consistency(OURS, each) for each in SCENARIOS]
    within = None if None in found else float(sum(0.8 <= each <= 1.5 for each in found if each is not None))
    nominal, kalman = figures.ratio(OURS, "nominal"), figures.ratio("filterpy", "nominal")
    settled = [figures.settled.get(each) for each in ("kidnap", "nominal")]
    kidnap = None if None in settled else float(np.mean(settled[0] or 0) / np.mean(settled[1] or 1))
    limits = limits or {}
    wanted: list[tuple[str, float | None, float, bool]] = [
        ("geometric mean of the ten scenarios", geometric, 1.15, False),
        ("worst of the ten", max(figures.ratios(OURS) or [], default=None), 2.0, False),
        ("nominal over filterpy", _over(nominal, kalman), 1.02, False),
        ("geometric mean over filterpy + NIS gate", _over(geometric, gated), 0.75, False),
        ("scenarios of the ten with ANEES in 0.8 to 1.5", within, 9.0, True),
        ("24 steps after a kidnap, over nominal", kidnap, 1.5, False),
        ("limit: largest difference from filterpy", limits.get("filterpy"), 1e-9, False),
        (
            "limit: largest difference from Stone Soup",
            limits.get("Stone Soup's Chernoff update"),
            1e-6,
            False,
        ),
        ("64 sources, compiled, ms", times.get("64 sources, compiled"), 0.2, False),
        ("64 sources, NumPy, ms", times.get("64 sources, NumPy"), 0.5, False),
    ]
    for name in ("Plaza1", "Plaza2"):
        ours, gate = (plaza.get(name, {}).get(method, {}) for method in (OURS, "NIS gate"))
        for fault, least in (("nominal", 1.1), ("stuck", 1.2)):
            wanted.append(
                (f"{name}: {fault} over the gate", _over(ours.get(fault), gate.get(fault)), least, False)
            )
        jump = _over(ours.get("odometry jump"), ours.get("nominal"))
        wanted.append((f"{name}: odometry jump over nominal", jump, 1.5, False))
        after = [ours.get(f"{fault}, from 30 s after") for fault in ("odometry jump", "nominal")]
        wanted.append((f"{name}: the same from 30 s after the jump", _over(*after), 1.5, False))
    return [
        harness.Bar(
            name=name, value=None if is_quick else value, bar=bar, better="higher" if is_high else "lower"
        )
        for name, value, bar, is_high in wanted
    ]


def _over(value: float | None, other: float | None) -> float | None:
    return None if value is None or other is None else value / other


def _fault_ratios(runs: list[Errors], arm: str, fault: str, group: str) -> list[float]:
    """Error with the fault over the error without it, one a seed."""
    return [run[arm][fault][group] / run[arm]["none"][group] for run in runs]


def recordings_table(found: dict[str, list[Errors]]) -> harness.TextTable:
    """Mean and standard deviation over the seeds."""
    rows = []
    for name, runs in found.items():
        for arm, by_fault in runs[0].items():
            cells = [f"{np.mean([run[arm]['none']['healthy'] for run in runs]):.3f}"]
            for fault in [each for each in by_fault if each != "none"]:
                for group in ("healthy", "faulty"):
                    ratios = _fault_ratios(runs, arm, fault, group)
                    cells.append(f"{np.mean(ratios):.2f} ± {np.std(ratios):.2f}")
            rows.append((name, arm, *cells))
    faults = [each for each in next(iter(found.values()))[0]["trust"] if each != "none"]
    columns = [f"{fault}, {group}" for fault in faults for group in ("healthy", "faulty")]
    return harness.TextTable(
        title="Error after a fault over that without it (first figure: error without it)",
        columns=("recording", "arm", "healthy", *columns),
        rows=tuple(rows),
    )


def make_recording_bars(found: dict[str, list[Errors]], *, is_quick: bool) -> list[harness.Bar]:
    """At most 1.2 times the error without the fault, for the package's own trust."""
    bars = []
    for name, runs in found.items():
        for fault in [each for each in runs[0]["trust"] if each != "none"]:
            for group in ("healthy", "faulty"):
                value = None if is_quick else float(np.mean(_fault_ratios(runs, "trust", fault, group)))
                title = f"{name}, {fault}: {group} over those without it"
                bars.append(harness.Bar(name=title, value=value, bar=1.2, better="lower"))
    return bars
