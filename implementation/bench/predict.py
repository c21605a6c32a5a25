"""Prediction skill of the loop, beside persistence, last delta and AR(8) by recursive least squares.

AR(8) stands in two columns: on the terms of the package's own predictor (its priors, and its limits of
outliers in learning and of a prediction), which the bars are about, and as the textbook has it.
Prequential: each new reading of a source is predicted one reading ahead, scored, then used for learning,
once, at the source's rate (at most 50 Hz). Errors are in training variance; skill = 1 - MSE / MSE of
persistence, with a 95% block bootstrap. The gain of the model over its linear skip is shown separately.
"shuffled" scores each reading with the change predicted from the inputs of another moment, which is below 0
for every predictor that moves.
Control: the host recording with its changes drawn at random in time and in sign, so that nothing can be
predicted. A skill above 0 there would be of a prediction that knows the reading. Bars are owed in a quick
run; those over all data, where a data set is absent or was not asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import harness
import numpy as np
from _replays import CONTROL, Replay, control, replay
from _scoring import METHODS, RECALL, SourceScore, overall, score, streams

DATA_SETS = ("flight", "walk", "xio", "host")
AR_ALLOWANCE = 0.02
SEED = 0


def main() -> None:
    parser = harness.argument_parser(__doc__)
    parser.add_argument("names", nargs="*", choices=[*DATA_SETS, []], help="data sets (default: all)")
    parser.add_argument("--host", type=Path, help="a recording of `sage sensors record host` to use instead")
    arguments = parser.parse_args()
    calibration = harness.calibrate()
    replays = [
        replay(name, is_quick=arguments.quick, host_file=arguments.host)
        for name in arguments.names or DATA_SETS
    ]
    if not any(each.events for each in replays):
        raise SystemExit(
            "predict: nothing to score: " + "; ".join(each.missing or "no reading" for each in replays)
        )
    scores = score_all(replays)
    known = {each.name for each in replays if not each.missing}
    checked = [control(is_quick=arguments.quick, host_file=arguments.host)] if "host" in known else []
    blind = score_all(checked)
    bars = make_bars(scores, blind.get(CONTROL, []), is_whole=known == {*DATA_SETS}, is_quick=arguments.quick)
    described = [describe(each, scores[each.name]) for each in replays]
    results = {"calibration": calibration, "data_sets": described, "overall": summary(scores)}
    results["control"] = [describe(each, blind[each.name]) for each in checked]
    tables = [
        *(skill_table(each, scores[each.name]) for each in replays),
        *(skill_table(each, blind[each.name]) for each in checked),
        summary_table(scores),
        harness.bars_table(bars),
    ]
    harness.finish(
        harness.document("predict", results, bars), tables, is_saved=arguments.save, notes=__doc__ or ""
    )


def score_all(replays: Sequence[Replay]) -> dict[str, list[SourceScore]]:
    generator = np.random.default_rng(SEED)
    return {each.name: [score(stream, generator) for stream in streams(each.events)] for each in replays}


def barred(scores: dict[str, list[SourceScore]]) -> list[SourceScore]:
    return [each for group in scores.values() for each in group if each.is_barred]


def summary(scores: dict[str, list[SourceScore]]) -> dict[str, dict[str, float]]:
    """Over the sources that count: by geometric mean of ratios, and by mean skill."""
    counted = barred(scores)
    by_method = {}
    for method in METHODS:
        mean = float(np.mean([each.skill[method] for each in counted] or [np.nan]))
        by_method[method] = {"geometric": overall(counted, method), "mean": mean}
    return by_method | {"num_sources": {"mean": float(len(counted))}}


def make_bars(
    scores: dict[str, list[SourceScore]], blind: Sequence[SourceScore], *, is_whole: bool, is_quick: bool
) -> list[harness.Bar]:
    """blind: of the control.  A bar over all data is owed where a recording is absent or was not asked for;
    every bar is owed in a quick run.
    """
    counted, total = barred(scores), summary(scores)
    bars = [
        harness.Bar(
            name=f"{name}/{each.source}: lower end of skill",
            value=None if is_quick else each.low,
            bar=0.0,
            better="higher",
        )
        for name, group in scores.items()
        for each in group
        if each.is_barred
    ]
    seen = [each.low for each in blind if each.is_barred and each.source != RECALL]
    against = [
        (f"{figure} skill less guarded AR(8)'s", total["ours"][figure] - total["ar8_guarded"][figure])
        for figure in ("geometric", "mean")
    ]
    for name, value in against:
        bars.append(
            harness.Bar(
                name=name,
                value=value if is_whole and counted and not is_quick else None,
                bar=-AR_ALLOWANCE,
                better="higher",
            )
        )
    return [
        *bars,
        harness.Bar(
            name="control, nothing to predict: largest lower end of a source's skill",
            value=None if is_quick else max(seen, default=None),
            bar=0.0,
            better="lower",
        ),
    ]


def describe(each: Replay, scores: Sequence[SourceScore]) -> dict[str, object]:
    """One data set for the JSON document."""
    return {
        "name": each.name,
        "missing": each.missing or None,
        "num_ticks": each.num_ticks,
        "num_practice_steps": each.num_steps,
        "gate": each.gate,
        "sources": [
            {
                "source": one.source,
                "num_scored": one.num_scored,
                "changing": one.changing,
                "horizon_secs": one.horizon_secs,
                "is_barred": one.is_barred,
                "skill": one.skill,
                "interval": [one.low, one.high],
                "skip_low": one.skip_low,
                "model_gain_over_skip": {"gain": one.gain, "interval": [one.gain_low, one.gain_high]},
            }
            for one in scores
        ],
    }


def skill_table(each: Replay, scores: Sequence[SourceScore]) -> harness.TextTable:
    lived = f"{each.num_ticks} ticks, {each.num_steps} practice steps, gate {each.gate:.2f}"
    title = f"{each.name}: {each.missing or lived}"
    show = harness.number
    rows = tuple(
        (
            one.source if one.is_barred else f"({one.source})",
            str(one.num_scored),
            f"{one.changing:.0%}",
            f"{one.horizon_secs * 1e3:.0f} ms",
            show(one.skill["ours"]),
            f"{show(one.low)} .. {show(one.high)}",
            show(one.skill["skip"]),
            f"{show(one.gain, 4)} [{show(one.gain_low, 4)}, {show(one.gain_high, 4)}]",
            show(one.skill["ar8_guarded"]),
            show(one.skill["ar8"]),
            show(one.skill["last_delta"]),
            show(one.skill["shuffled"]),
        )
        for one in scores
    )
    columns = (
        "source",
        "n",
        "changing",
        "horizon",
        "ours",
        "95%",
        "skip",
        "model over skip",
        "guarded AR(8)",
        "AR(8)",
        "last delta",
        "shuffled",
    )
    return harness.TextTable(title=title, columns=columns, rows=rows)


def summary_table(scores: dict[str, list[SourceScore]]) -> harness.TextTable:
    total = summary(scores)
    show = harness.number
    rows = tuple(
        (method, show(values.get("geometric")), show(values["mean"])) for method, values in total.items()
    )
    columns = ("method", "1 - geometric mean of ratios", "mean skill")
    return harness.TextTable(title="Over the sources that count", columns=columns, rows=rows)


if __name__ == "__main__":
    main()
