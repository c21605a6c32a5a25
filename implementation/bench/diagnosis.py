"""Causes named by HRM in one pass, beside greedy set cover, a linear skip, boosted trees and an exact solver.

The puzzles are held-out graphs of 30 to 60 causes and symptoms, each drawn anew, with three faults and one
smallest explanation. A cause makes all of its symptoms appear. A right answer is the smallest set of causes
that explains every symptom, exactly. HRM reads the graph as cells and answers in one call of three segments,
without search and without a checker; with search it may ask the task's rules. Least squares and trees read
the same graph as bits, and are told that there are three causes, which HRM is not; the second row of trees
reads counts made by hand instead (`_diagnosis_peers.counts_of`). Least squares and the trees of counts learn
from 20,000 graphs, the trees of bits, which take much longer a graph, from 1,000. CPU time of HRM is of one
graph a call; the others answer all graphs at once.

Suite hour: the loop with its diagnosis on a recorded hour of host telemetry with nothing wrong, on a manual
clock. The bar is that no cause is named.
"""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import harness
import numpy as np
from _diagnosis_hour import QUICK_SECS, hour_bars, hour_tables, watch_hour
from _diagnosis_peers import Namer, exact, greedy, linear, trees_of_bits, trees_of_counts

from sage.app.diagnosis.naming import SEGMENTS
from sage.hrm_core.evaluation.report import wilson_interval
from sage.hrm_core.solving.published import load_published
from sage.hrm_core.solving.solver import Solver
from sage.hrm_core.tasks.catalogue import make_task
from sage.hrm_core.tasks.contract import Examples
from sage.hrm_core.tasks.diagnosis.graphs import Graphs
from sage.hrm_core.tasks.diagnosis.task import DiagnosisTask

NUM_FAULTS = 3
NUM_GRAPHS, NUM_LEARNED, NUM_TREES, SEARCH_CALLS = 1000, 20_000, 1000, 64
BAR_SHARE, ABOVE_LINEAR, ABOVE_GREEDY, BAR_MS = 0.95, 0.20, 0.05, 20.0
HRM, SEARCH, EXACT, GREEDY = "HRM, one pass", "HRM with search", "exact solver", "greedy set cover"
LINEAR, TREES, COUNTED = "linear skip, same bits", "boosted trees, same bits", "boosted trees, counts by hand"


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """One way of naming causes. right: exact smallest sets of `num` graphs.  explained: answers that explain
    every symptom by causes that are not ruled out, of any number.  ms: CPU time of a graph."""

    way: str
    num: int
    right: int
    explained: int
    ms: float

    @property
    def share(self) -> float:
        return self.right / self.num

    @property
    def interval(self) -> tuple[float, float]:
        return wilson_interval(self.share, self.num)


def judged(task: DiagnosisTask, examples: Examples, way: str, answers: np.ndarray, ms: float) -> Named:
    explained = task.scores(examples, answers)["explained"]
    right = int(task.verify(examples.inputs, answers).sum())
    return Named(way=way, num=len(examples), right=right, explained=int(explained.sum()), ms=ms)


def of_namer(task: DiagnosisTask, examples: Examples, way: str, name: Namer) -> Named:
    graphs = task.graphs_of(examples.inputs)
    name(graphs.take(np.arange(1)))  # loads what is compiled
    started = time.process_time()
    named = name(graphs)
    ms = 1000 * (time.process_time() - started) / len(examples)
    return judged(task, examples, way, task.with_causes(examples.inputs, named), ms)


def of_model(task: DiagnosisTask, examples: Examples, source: str, *, search: int) -> list[Named]:
    """In one pass, one graph a call; and with search, all graphs together."""
    model = load_published(source).model
    alone = Solver(model)

    def call(row: int) -> np.ndarray:
        found = alone.solve(examples.inputs[row : row + 1], max_segments=SEGMENTS, halt="never", seed=0)
        answers: np.ndarray = task.with_givens(examples.inputs[row : row + 1], found.answers)
        return answers

    for row in range(min(20, len(examples))):
        call(row)
    started = time.process_time()
    answers = np.concatenate([call(row) for row in range(len(examples))])
    ms = 1000 * (time.process_time() - started) / len(examples)
    one_pass = judged(task, examples, HRM, answers, ms)
    started = time.process_time()
    found = Solver(model, task).solve(
        examples.inputs, max_segments=SEGMENTS, halt="verifier", seed=0, search=search
    )
    ms = 1000 * (time.process_time() - started) / len(examples)
    return [one_pass, judged(task, examples, SEARCH, found.answers, ms)]


def of_peers(task: DiagnosisTask, examples: Examples, *, num_learned: int, num_trees: int) -> list[Named]:
    """Untrained ways, and those that learn from fresh graphs of the same kind."""
    learned = task.sample(num_learned, np.random.default_rng(1))
    graphs, named = task.graphs_of(learned.inputs), task.causes_of(learned.answers())
    few = np.arange(num_trees)
    some, some_named = graphs.take(few), named[few]
    ways: dict[str, Namer] = {
        EXACT: exact(task),
        GREEDY: greedy,
        LINEAR: linear(graphs, named, NUM_FAULTS),
        TREES: trees_of_bits(some, some_named, NUM_FAULTS),
        COUNTED: trees_of_counts(graphs, named, NUM_FAULTS),
    }
    return [of_namer(task, examples, way, name) for way, name in ways.items()]


def bars_of(found: Sequence[Named], *, is_whole: bool) -> list[harness.Bar]:
    """Owed in a quick run."""
    by_way = {each.way: each for each in found}
    hrm = by_way[HRM]
    values = {
        "exact smallest sets of held-out 3-fault graphs, one pass": (hrm.share, BAR_SHARE, "higher"),
        "one pass less the linear skip": (hrm.share - by_way[LINEAR].share, ABOVE_LINEAR, "higher"),
        "one pass less greedy set cover": (hrm.share - by_way[GREEDY].share, ABOVE_GREEDY, "higher"),
        "CPU ms a call": (hrm.ms, BAR_MS, "lower"),
    }
    return [
        harness.Bar(name=name, value=value if is_whole else None, bar=bar, better=better)  # type: ignore[arg-type]
        for name, (value, bar, better) in values.items()
    ]


def ways_table(found: Sequence[Named]) -> harness.TextTable:
    rows = []
    for each in found:
        low, high = each.interval
        share = f"{100 * each.share:.1f} ({100 * low:.1f} to {100 * high:.1f})"
        rows.append((each.way, share, f"{100 * each.explained / each.num:.1f}", f"{each.ms:.3f}"))
    columns = ("way", "% exact smallest sets", "% explained", "CPU ms a graph")
    return harness.TextTable(
        title=f"{found[0].num:,} held-out graphs of 30 to 60 nodes, {NUM_FAULTS} faults",
        columns=columns,
        rows=tuple(rows),
    )


def shape_of(graphs: Graphs) -> dict[str, float]:
    """What the graphs are like, as means."""
    nodes = graphs.has_cause.sum(axis=1) + graphs.has_symptom.sum(axis=1)
    open_causes = (graphs.has_cause & ~graphs.is_ruled_out).sum(axis=1)
    return {
        "nodes": float(nodes.mean()),
        "causes": float(graphs.has_cause.sum(axis=1).mean()),
        "present symptoms": float(graphs.present.sum(axis=1).mean()),
        "causes not ruled out": float(open_causes.mean()),
    }


def run_hour(arguments: Namespace) -> None:
    found = watch_hour(QUICK_SECS if arguments.quick else None)
    bars = hour_bars(found, is_whole=not arguments.quick)
    results = {"hour": asdict(found), "calibration": harness.calibrate()}
    whole = harness.document("diagnosis_hour", results, bars, peers=("numba",))
    tables = [*hour_tables(found), harness.bars_table(bars)]
    harness.finish(whole, tables, is_saved=arguments.save, notes=(__doc__ or "").partition("\n\n")[2])


def run_graphs(arguments: Namespace) -> None:
    sizes = (20, 300, 100, 8) if arguments.quick else (NUM_GRAPHS, NUM_LEARNED, NUM_TREES, SEARCH_CALLS)
    num, num_learned, num_trees, search = sizes
    task = make_task("diagnosis", faults=(NUM_FAULTS, NUM_FAULTS))
    assert isinstance(task, DiagnosisTask)
    examples = task.held_out(num)
    found = of_model(task, examples, arguments.model, search=search)
    found += of_peers(task, examples, num_learned=num_learned, num_trees=num_trees)
    bars = bars_of(found, is_whole=not arguments.quick)
    results: dict[str, Any] = {
        "ways": [asdict(each) | {"share": each.share, "interval": each.interval} for each in found],
        "graphs": shape_of(task.graphs_of(examples.inputs)),
        "learned from": {LINEAR: num_learned, TREES: num_trees, COUNTED: num_learned},
        "calibration": harness.calibrate(),
    }
    whole = harness.document("diagnosis", results, bars, peers=("numba", "scikit-learn"))
    tables = [ways_table(found), harness.bars_table(bars)]
    harness.finish(whole, tables, is_saved=arguments.save, notes=(__doc__ or "").partition("\n\n")[2])


def main() -> None:
    import torch

    torch.set_num_threads(1)
    parser = harness.argument_parser(__doc__)
    parser.add_argument("--suite", default="graphs", choices=("graphs", "hour"))
    parser.add_argument("--model", default="diagnosis", help="a shipped model, a folder or a file")
    arguments = parser.parse_args()
    (run_hour if arguments.suite == "hour" else run_graphs)(arguments)


if __name__ == "__main__":
    main()
