"""Scheduling of sources, segments and energy: its promises on random cases, and what it is worth.

Deadlines: random servers at a utilisation near 0.9, each asking for its whole budget in each period. Waiting:
the longest wait of a source over its limit of 4 N / K + 1 ticks, with uneven scores, also beside hard rates.
Lag: of deficit round robin, over its bound of one cost. Cost: CPU time of a choice among 64 sources for 16
places, beside 1% of a tick's period at 20 Hz. Policies: an observer sees 8 of 64 sources a tick, of which 8
are faulty; the mean squared error over the healthy ones, in units of their variance (1: no observation).
Recordings: the loop with places for half of the sensors of a flight, a walk, an inertial sensor moved by hand
and a host, nothing learned but the linear prediction; the mean squared error over sensors and time, in units
of the channels' variance. The policy `whittle` was chosen on flight, walk and xio.
Energy: two recordings with calm phases and a stream of 4x4 sudokus, always awake beside the modes WAKE, FOCUS
and REST (10 Hz and one segment after 1 s in which the readings change by less than half of the usual;
practice continues in all of them, by time). The settings were chosen on seeds 0 and 1 of these recordings.
"""

from __future__ import annotations

import statistics
from dataclasses import asdict
from typing import Any

import harness
import torch
from _schedule_energy import ARMS, Arm, measure
from _schedule_limits import NUM_SOURCES, TOP_K, Deadlines, Waiting, choice_us, deadlines, waiting, worst_lag
from _schedule_policies import POLICIES, error_of
from _schedule_recordings import POLICIES as ON_RECORDINGS
from _schedule_recordings import SECONDS, mean_error

TICK_HZ = 20.0
OURS = ("whittle", "top_k", "deficit")
QUICK_RECORDINGS = {"flight": 2.0}
LEAST_SAVED, MOST_LOST = 0.2, 0.02


def bars_of(
    met: Deadlines,
    waits: list[Waiting],
    lag: float,
    costs: dict[str, float],
    errors: dict[str, list[float]],
    recorded: dict[str, dict[str, float]],
    arms: dict[str, Arm],
    *,
    is_quick: bool,
) -> list[harness.Bar]:
    """What a short run cannot show, errors and energy, is owed then."""
    awake, modes = arms["always awake"], arms["modes"]
    mean = {policy: statistics.fmean(each) for policy, each in errors.items()}
    promised: list[tuple[str, float, float]] = [
        ("deadlines missed at utilisation 0.9", met.num_missed, 0.0),
        ("periods of hard rates missed", sum(each.num_missed for each in waits), 0.0),
        ("longest wait over 4 N / K + 1", max(each.longest for each in waits), 1.0),
        ("lag of deficit round robin over one cost", lag, 1.0 + 1e-9),
        *(
            (f"{policy}: CPU of a choice among 64, share of a tick's period", us * 1e-6 * TICK_HZ, 0.01)
            for policy, us in costs.items()
        ),
    ]
    worth: list[tuple[str, float, float]] = [
        *(
            (f"{policy}: error over that of round robin", mean[policy] / mean["round_robin"], 1.0)
            for policy in OURS
        ),
        *((f"{policy}: error over that of random", mean[policy] / mean["random"], 1.0) for policy in OURS),
        *(
            (f"{policy}: error over that of surprise alone", mean[policy] / mean["surprise"], 1.0)
            for policy in OURS
        ),
        (
            "whittle: error over that of round robin, recordings, geometric mean",
            statistics.geometric_mean(each["whittle"] / each["round_robin"] for each in recorded.values()),
            1.0,
        ),
        ("modes: skill lost", awake.skill - modes.skill, MOST_LOST),
        ("modes: share of puzzles solved lost", awake.solved - modes.solved, MOST_LOST),
        (
            "modes: puzzles solved lost, of those solved awake",
            1 - modes.num_right / awake.num_right,
            MOST_LOST,
        ),
    ]
    saved = 1 - modes.energy / awake.energy
    return [
        *(harness.Bar(name=name, value=value, bar=bar, better="lower") for name, value, bar in promised),
        *(
            harness.Bar(name=name, value=None if is_quick else value, bar=bar, better="lower")
            for name, value, bar in worth
        ),
        harness.Bar(
            name="modes: energy saved", value=None if is_quick else saved, bar=LEAST_SAVED, better="higher"
        ),
    ]


def policies_table(errors: dict[str, list[float]]) -> harness.TextTable:
    rows = tuple(
        (policy, f"{statistics.fmean(each):.4f}", f"{min(each):.4f}", f"{max(each):.4f}")
        for policy, each in errors.items()
    )
    return harness.TextTable(
        title="Mean squared error of the healthy sources, 8 of 64 seen a tick",
        columns=("policy", "mean over seeds", "least", "largest"),
        rows=rows,
    )


def recordings_table(recorded: dict[str, dict[str, float]]) -> harness.TextTable:
    rows = tuple(
        (name, *(f"{errors[policy]:.4f}" for policy in ON_RECORDINGS)) for name, errors in recorded.items()
    )
    return harness.TextTable(
        title="Mean squared error, half of the sensors seen a tick",
        columns=("recording", *ON_RECORDINGS),
        rows=rows,
    )


def energy_table(arms: dict[str, Arm]) -> harness.TextTable:
    rows = tuple(
        (
            arm.name,
            f"{arm.energy:.0f}",
            f"{arm.skill:.3f}",
            f"{100 * arm.solved:.1f}%",
            f"{arm.num_right}",
            ", ".join(f"{state} {100 * share:.0f}%" for state, share in arm.states.items()),
        )
        for arm in arms.values()
    )
    columns = ("arm", "energy", "skill", "solved", "puzzles right", "time in")
    return harness.TextTable(title="Energy, skill and puzzles", columns=columns, rows=rows)


def limits_table(
    met: Deadlines, waits: list[Waiting], lag: float, costs: dict[str, float]
) -> harness.TextTable:
    rows = [
        ("deadlines missed", f"{met.num_missed} of {met.num_jobs}, mean utilisation {met.utilisation:.2f}"),
        *((f"{each.policy}: longest wait over its limit", f"{each.longest:.3f}") for each in waits),
        ("lag over its bound", f"{lag:.3f}"),
        *(
            (f"{policy}: us of a choice, {TOP_K} of {NUM_SOURCES}", f"{us:.0f}")
            for policy, us in costs.items()
        ),
    ]
    return harness.TextTable(title="Promises", columns=("figure", "value"), rows=tuple(rows))


def main() -> None:
    arguments = harness.argument_parser(__doc__).parse_args()
    torch.set_num_threads(1)
    is_quick = arguments.quick
    met = deadlines(*((20, 300) if is_quick else (200, 1000)))
    waits = [waiting(policy, *((6, 100) if is_quick else (60, 400))) for policy in OURS]
    lag = worst_lag(*((10, 50) if is_quick else (200, 100)))
    costs = {policy: choice_us(policy, 1000 if is_quick else 10_000) for policy in OURS}
    num_ticks, num_seeds = (500, 2) if is_quick else (6000, 10)
    errors = {policy: [error_of(policy, num_ticks, seed) for seed in range(num_seeds)] for policy in POLICIES}
    recorded = {
        name: {policy: mean_error(name, policy, 1 if is_quick else 3, secs) for policy in ON_RECORDINGS}
        for name, secs in (QUICK_RECORDINGS if is_quick else SECONDS).items()
    }
    arms = {name: measure(name, 24.0 if is_quick else 240.0) for name in ARMS}
    bars = bars_of(met, waits, lag, costs, errors, recorded, arms, is_quick=is_quick)
    results: dict[str, Any] = {
        "calibration": harness.calibrate(),
        "deadlines": asdict(met),
        "waiting": [asdict(each) for each in waits],
        "lag": lag,
        "choice_us": costs,
        "errors": errors,
        "recordings": recorded,
        "energy": [asdict(arm) for arm in arms.values()],
    }
    tables = [
        limits_table(met, waits, lag, costs),
        policies_table(errors),
        recordings_table(recorded),
        energy_table(arms),
        harness.bars_table(bars),
    ]
    harness.finish(
        harness.document("schedule", results, bars), tables, is_saved=arguments.save, notes=__doc__ or ""
    )


if __name__ == "__main__":
    main()
