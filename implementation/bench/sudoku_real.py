"""A model on 9x9 sudokus from collections made by people: one pass by depth, then tries with the verifier.

Reads SAGE_DATA/sudoku/{mix,hard}_dev_2k.csv (columns source,question,answer,rating). No bar: these sets are
harder than the training distribution of the shipped models.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import harness

SETS = ("mix", "hard")
DEPTHS = (1, 4, 16, 64)


def judge(
    model: str, file: Path, *, num: int, num_searched: int, tries: int, depths: tuple[int, ...]
) -> dict[str, Any]:
    """The report at each depth on `num` puzzles; on the first `num_searched`, tries with the verifier too."""
    from sage.app.models.training.evaluating import EvalRequest, evaluate_all

    request = EvalRequest(sources=(model,), data=file, num=num, segments=depths)
    [whole] = evaluate_all(request)
    [part] = evaluate_all(dataclasses.replace(request, num=num_searched, segments=depths[-1:], tries=tries))
    assert part.search is not None
    plain = whole.report.to_plain()
    del plain["failures"]
    return {"report": plain, "search": dataclasses.asdict(part.search), "card": _card(whole)}


def _card(evaluated: Any) -> dict[str, Any]:
    """What the model says of its training; its own evaluation is another set's."""
    trained = dict(evaluated.published.card.trained) if evaluated.published.card else {}
    trained.pop("eval", None)
    return trained


def rows_of(name: str, found: dict[str, Any]) -> list[tuple[str, ...]]:
    report, search = found["report"], found["search"]
    rows = [
        (
            name,
            f"{depth['segments']} segments, one pass",
            str(report["num"]),
            f"{100 * depth['exact']:.1f}",
            f"{100 * depth['low']:.1f} to {100 * depth['high']:.1f}",
            f"{100 * depth['cell']:.1f}",
        )
        for depth in report["depths"]
    ]
    tries = f"up to {search['tries']} tries of {search['max_segments']} segments, with the rules"
    interval = f"{100 * search['low']:.1f} to {100 * search['high']:.1f}"
    rows.append((name, tries, str(search["num"]), f"{100 * search['solved']:.1f}", interval, ""))
    best = max(report["baselines"], key=lambda each: (each["exact"], each["cell"]))
    rows.append(
        (
            name,
            f"baseline: {best['name']}",
            str(report["num"]),
            f"{100 * best['exact']:.1f}",
            "",
            f"{100 * best['cell']:.1f}",
        )
    )
    return rows


def main() -> None:
    parser = harness.argument_parser(__doc__)
    parser.add_argument("--model", default="sudoku9", help="a shipped model, a run's folder or a file")
    parser.add_argument("--num", type=int, default=1000, help="number of puzzles from each set")
    arguments = parser.parse_args()
    folder = Path(os.environ.get("SAGE_DATA") or harness.ROOT.parent / "shared" / "data") / "sudoku"
    results: dict[str, Any] = {"model": arguments.model}
    rows: list[tuple[str, ...]] = []
    num, searched, tries, depths = (
        (16, 4, 2, DEPTHS[:2]) if arguments.quick else (arguments.num, max(1, arguments.num // 5), 8, DEPTHS)
    )
    for name in SETS:
        file = folder / f"{name}_dev_2k.csv"
        if not file.is_file():
            results[name] = {"absent": f"no {file.name} in SAGE_DATA"}
            rows.append((name, "absent", "", "", "", ""))
            continue
        results[name] = judge(
            arguments.model, file, num=num, num_searched=searched, tries=tries, depths=depths
        )
        rows += rows_of(name, results[name])
    columns = ("set", "way", "puzzles", "solved %", "95%", "cells %")
    table = harness.TextTable(
        title=f"{arguments.model} on real 9x9 sudokus", columns=columns, rows=tuple(rows)
    )
    whole = harness.document("sudoku_real", results, [])
    notes = (
        "mix: the published proportions of sources, mean rating 22; hard: a forum's hardest, mean rating 35."
        " Neither is the set that papers report. Tries end at the first answer that the rules accept;"
        " otherwise there is no answer."
    )
    harness.finish(whole, [table], is_saved=arguments.save, notes=notes)


if __name__ == "__main__":
    main()
