"""A model on 9x9 sudokus from collections made by people: one pass, best-first search over the model, a
control with uniform numbers, and a solver by rules; with --compare a second model, such as one of learned
deduction.

Reads rows 1 to --num of SAGE_DATA/sudoku/{mix,hard}_dev_2k.csv (columns source,question,answer,rating), which
no training reads. Way "search": learned deduction and guesses, verified by the rules.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import harness
from _sudoku_ways import Paired, Way, backdoor_share, paired, rule_solver_secs, run_way

from sage.hrm_core.solving.inference import HRMInference
from sage.hrm_core.tasks.contract import Examples
from sage.hrm_core.tasks.sudoku.files import load_csv
from sage.hrm_core.tasks.sudoku.grid import box_of_size

SETS = ("mix", "hard")
CALLS = (1, 16, 64, 240, 256)
NUM_CONTROL, NUM_BACKDOOR, NUM_CHAINS = 50, 20, 8
#: CPU seconds a puzzle at which two models are compared.
EQUAL_CPU_SECS = (0.25, 0.5, 1.0)
#: A bar is met by the point estimate less this, for n of 500.
MARGIN = 0.03
#: (set, way, model calls, share): of the shipped weights.
SEARCH_BARS = (("mix", 64, 0.72), ("mix", 256, 0.84), ("hard", 64, 0.55))
BEST_BARS = (("mix", 240, 0.85), ("hard", 240, 0.65))
ONE_PASS_BAR, WRONG_BAR = 0.45, 0.002


def ways_of(model: str, examples: Examples, *, calls: int, chains: int, chain_calls: int) -> dict[str, Way]:
    """One pass and search; of a model with deduction heads, chains with and without rules too."""
    inference = HRMInference(model)
    budgets = tuple(each for each in CALLS if each <= calls)
    rules: dict[str, Any] = {"halt": "verifier"}
    ways = {
        "one pass": run_way("one pass, 16 segments", inference, examples, **rules),
        "no rules": run_way("one pass, no rules, Q head", inference, examples, has_rules=False),
        "search": run_way(
            f"search, {calls} calls at most", inference, examples, budgets=budgets, search=calls, **rules
        ),
    }
    if inference.model.config.heads == "deduction":
        few: dict[str, Any] = {"search": min(calls, chain_calls), "chains": chains}
        text = f"{chains} chains, {few['search']} calls at most"
        budgets = tuple(each for each in CALLS if each <= few["search"])
        ways["chains"] = run_way(text, inference, examples, budgets=budgets, **few, **rules)
        ways["chains, no rules"] = run_way(
            f"{text}, no rules, conflict head", inference, examples, has_rules=False, **few
        )
    return ways


def judge(
    model: str, examples: Examples, *, calls: int, chain_calls: int, num_backdoor: int
) -> dict[str, Any]:
    """The shipped weights' own rows: the ways, the control, the backdoor figure, and the rule solvers."""
    inference = HRMInference(model)
    control = run_way(
        "search on uniform numbers, 64 calls",
        inference,
        examples.take(slice(NUM_CONTROL)),
        halt="verifier",
        search=min(calls, 64),
        scorer="uniform",
    )
    num, share = backdoor_share(inference, examples, num=num_backdoor)
    compiled, plain = rule_solver_secs(examples.take(slice(200)), box_of_size(9))
    return {
        "ways": ways_of(model, examples, calls=calls, chains=NUM_CHAINS, chain_calls=chain_calls),
        "control": control,
        "backdoor": {"num": num, "share": share},
        "rule_solver_secs": {"compiled": compiled, "plain_python": plain},
    }


def way_row(name: str, model: str, way: Way) -> tuple[str, ...]:
    at = "  ".join(f"{100 * way.at[calls]:.1f}" if calls in way.at else "-" for calls in CALLS)
    return (
        name,
        model,
        way.name,
        str(way.num),
        f"{100 * way.solved:.1f}",
        f"{100 * way.low:.1f} to {100 * way.high:.1f}",
        f"{100 * way.wrong:.1f}",
        f"{100 * way.abstained:.1f}",
        at,
        f"{way.calls:.1f}",
        f"{way.segments:.0f}",
        f"{way.block_calls:.0f}",
        f"{way.cpu_secs:.3f}",
    )


def other_rows(name: str, model: str, found: dict[str, Any]) -> list[tuple[str, ...]]:
    """The control, the backdoor figure and the rule solvers, in the columns of `way_row`."""
    control: Way = found["control"]
    backdoor, rules = found["backdoor"], found["rule_solver_secs"]

    def row(way: str, num: int | None, solved: float | None, secs: float | None) -> tuple[str, ...]:
        shown = "" if solved is None else f"{100 * solved:.1f}"
        cost = "" if secs is None else f"{secs:.6f}"
        return (name, model, way, "" if num is None else str(num), shown, *("",) * 7, cost)

    return [
        row(
            f"{control.name}: beyond the plain pass", control.num, control.solved_by_search, control.cpu_secs
        ),
        row("unsolved in one pass: with one true digit more", backdoor["num"], backdoor["share"], None),
        row("solver by rules, compiled, median", None, None, rules["compiled"]),
        row("solver by rules, plain Python, median", None, None, rules["plain_python"]),
    ]


def paired_row(name: str, what: str, each: Paired) -> tuple[str, ...]:
    return (
        name,
        what,
        f"{each.cpu_secs:g}",
        f"{100 * each.first:.1f}",
        f"{100 * each.second:.1f}",
        f"{100 * each.difference:+.1f}",
        f"{100 * each.low:+.1f} to {100 * each.high:+.1f}",
    )


def bars_of(found: dict[str, Any], compared: dict[str, dict[str, Way]]) -> list[harness.Bar]:
    """value: the share less MARGIN; None where the set, or the second model, is absent."""
    bars = []

    def add(text: str, value: float | None, bar: float, better: Any = "higher") -> None:
        bars.append(harness.Bar(name=text, value=value, bar=bar, better=better))

    def at(ways: dict[str, Way], calls: int) -> float | None:
        share = ways["search"].at.get(calls) if "search" in ways else None
        return None if share is None else share - MARGIN

    own = {name: found[name]["ways"] for name in SETS if name in found}
    for name, calls, bar in SEARCH_BARS:
        add(f"{name}, search, {calls} calls, solved less 3 points", at(own.get(name, {}), calls), bar)
    one_pass = own["mix"]["one pass"].solved - MARGIN if "mix" in own else None
    add("mix, one pass, solved less 3 points", one_pass, ONE_PASS_BAR)
    for name, calls, bar in BEST_BARS:
        values = [at(ways.get(name, {}), calls) for ways in (own, compared)]
        best = max((value for value in values if value is not None), default=None)
        add(f"{name}, best model, {calls} calls, solved less 3 points", best, bar)
        ways = compared.get(name, {})
        wrong = ways["chains, no rules"].wrong if "chains, no rules" in ways else None
        add(f"{name}, chains without rules, wrong", wrong, WRONG_BAR, "lower")
        low = paired(own[name]["search"], ways["search"], EQUAL_CPU_SECS[1]).low if "search" in ways else None
        add(f"{name}, second model less first at {EQUAL_CPU_SECS[1]} CPU s, lower end", low, 0.0)
    return bars


def main() -> None:
    parser = harness.argument_parser(__doc__)
    parser.add_argument("--model", default="sudoku9", help="a shipped model, a run's folder or a file")
    parser.add_argument("--compare", help="a second model, solved by the same search")
    parser.add_argument("--num", type=int, default=500, help="number of puzzles from each set")
    parser.add_argument("--calls", type=int, default=256, help="model calls a puzzle at most")
    parser.add_argument("--chain-calls", type=int, default=240, help="of chains, model calls at most")
    arguments = parser.parse_args()
    folder = Path(os.environ.get("SAGE_DATA") or harness.ROOT.parent / "shared" / "data") / "sudoku"
    num, calls, num_backdoor = arguments.num, arguments.calls, NUM_BACKDOOR
    if arguments.quick:
        num, calls, num_backdoor = 8, 16, 1
    found: dict[str, Any] = {}
    compared: dict[str, dict[str, Way]] = {}
    absent: dict[str, str] = {}
    rows: list[tuple[str, ...]] = []
    pairs: list[tuple[str, ...]] = []
    plain_pairs: dict[str, Any] = {}
    for name in SETS:
        file = folder / f"{name}_dev_2k.csv"
        if not file.is_file():
            absent[name] = f"no {file.name} in SAGE_DATA"
            continue
        examples = load_csv(file, box_of_size(9), max_rows=num)
        found[name] = judge(
            arguments.model,
            examples,
            calls=calls,
            chain_calls=arguments.chain_calls,
            num_backdoor=num_backdoor,
        )
        ways = found[name]["ways"]
        rows += [way_row(name, arguments.model, way) for way in ways.values()]
        if arguments.compare is not None:
            compared[name] = ways_of(
                arguments.compare,
                examples,
                calls=calls,
                chains=NUM_CHAINS,
                chain_calls=arguments.chain_calls,
            )
            rows += [way_row(name, "compared", way) for way in compared[name].values()]
            plain_pairs[name] = [
                paired(ways["search"], compared[name]["search"], secs) for secs in EQUAL_CPU_SECS
            ]
            pairs += [paired_row(name, "search", each) for each in plain_pairs[name]]
        rows += other_rows(name, arguments.model, found[name])
    results = {
        "model": arguments.model,
        "compared_model": arguments.compare,
        "absent": absent,
        **{name: plain_of(each, compared.get(name), plain_pairs.get(name)) for name, each in found.items()},
    }
    tables = [
        harness.TextTable(title="9x9 sudokus made by people", columns=COLUMNS, rows=tuple(rows)),
    ]
    if pairs:
        columns = ("set", "way", "CPU s", "first %", "second %", "second - first", "95%")
        tables.append(harness.TextTable(title="at equal CPU time", columns=columns, rows=tuple(pairs)))
    whole = harness.document("sudoku_real", results, bars_of(found, compared))
    harness.finish(whole, tables, is_saved=arguments.save, notes=NOTES)


COLUMNS = ("set", "model", "way", "n", "solved %", "95%", "wrong %", "no answer %",
           "% at " + ", ".join(map(str, CALLS)), "calls", "segments", "block calls", "CPU s")  # fmt: skip
NOTES = (
    "mix: the published proportions of sources; hard: a forum's hardest. Search: learned deduction and"
    " guesses, verified by the rules, so that wrong is 0 by construction. calls, segments, block calls and"
    " CPU s are means of a puzzle, unsolved ones included. Rows of a batch are counted singly. Neither set is"
    " the one that papers report."
)


def plain_of(
    found: dict[str, Any], compared: dict[str, Way] | None, pairs: list[Paired] | None
) -> dict[str, Any]:
    """For JSON."""
    return {
        "ways": {name: way.to_plain() for name, way in found["ways"].items()},
        "control": found["control"].to_plain(),
        "backdoor": found["backdoor"],
        "rule_solver_secs": found["rule_solver_secs"],
        "compared": {name: way.to_plain() for name, way in (compared or {}).items()},
        "equal_cpu": [vars(each) for each in pairs or []],
    }


if __name__ == "__main__":
    main()
