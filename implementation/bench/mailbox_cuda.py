"""The CUDA mailboxes on one card, beside a reimplementation of the pop of the mailbox that they replace.

"bulk pop" is the kernel's time between two events, on a busy stream; the host's costs (queue the kernel, wait
for it, read the records) are in the results. "records/s" counts push and pop together, captured in a graph
and replayed 10,000 times, with every record checked at the end. "hand-over" is the host's time for publish,
receive, view and release from one stream to another, through torch if installed, else CuPy. "over the fork's
pop": time a record until it is on the host, theirs one by one (its only way), ours by 4,096. Without a card
every bar is owed.
"""

from __future__ import annotations

import importlib.util
from typing import Any

import harness

BARS: tuple[tuple[str, float, str], ...] = (
    ("CUDA: bulk pop of 4,096 records, us", 15.0, "lower"),
    ("CUDA: records/s, millions", 100.0, "higher"),
    ("CUDA: hand-over across streams, host us", 10.0, "lower"),
    ("CUDA: pop over the fork's pop", 20.0, "higher"),
)
PACKAGES = ("cupy-cuda13x", "cupy-cuda12x", "numba-cuda", "cuda-bindings")


def measure(*, is_quick: bool = False) -> dict[str, float | None]:
    """Values by the names of BARS; empty where `why_not` says why."""
    return {} if why_not() is not None else figures(is_quick=is_quick)[0]


def why_not() -> str | None:
    """What is missing, in one line; None where this benchmark can run."""
    from sage.mailbox.cuda import why_no_cuda

    if importlib.util.find_spec("cupy") is None:
        return "no CuPy: install cupy-cuda13x (cupy-cuda12x for CUDA 12)"
    return why_no_cuda()


def figures(*, is_quick: bool) -> tuple[dict[str, float | None], dict[str, Any]]:
    """(bars by name, everything measured)."""
    import cupy
    from _mailbox_gpu import (
        NUM_RECORDS,
        Card,
        fork_pop_us,
        graph_records_per_sec,
        hand_over_us,
        pop_device_us,
        pop_host_us,
    )

    from sage.mailbox.cuda import CudaBackend
    from sage.mailbox.cuda.launch import CupyLauncher

    card = Card(cupy, CudaBackend(), CupyLauncher())
    surface = "tensor" if importlib.util.find_spec("torch") is not None else "array"
    num_rounds = 50 if is_quick else 200
    device_us, host, fork_us = (
        pop_device_us(card, num_rounds),
        pop_host_us(card, num_rounds),
        fork_pop_us(card, num_rounds),
    )
    rate = graph_records_per_sec(card, 1_000 if is_quick else 10_000)
    hand_over = hand_over_us(card, 20 * num_rounds, surface)
    values = (device_us, rate / 1e6, hand_over["hand_over_us"], fork_us / (host["take_us"] / NUM_RECORDS))
    results = {
        "pop": {"n": num_rounds, "device_us": device_us, **host},
        "graph": {"n": 1_000 if is_quick else 10_000, "records_per_sec": rate},
        "hand_over": {"n": 20 * num_rounds, "surface": surface, **hand_over},
        "fork": {"n": num_rounds, "pop_us": fork_us, "ours_by_one_call_us": host["take_us"]},
    }
    return {name: value for (name, _, _), value in zip(BARS, values)}, results


def main() -> None:
    arguments = harness.argument_parser(__doc__).parse_args()
    absent = why_not()
    found, results = ({}, {"absent": absent}) if absent is not None else figures(is_quick=arguments.quick)
    bars = [
        harness.Bar(name=name, value=found.get(name), bar=bar, better=better) for name, bar, better in BARS
    ]  # type: ignore[arg-type]
    whole = harness.document("mailbox_cuda", results, bars, peers=PACKAGES)
    rows = tuple(
        (group, key, str(value))
        for group, keys in results.items()
        if isinstance(keys, dict)
        for key, value in keys.items()
    )
    tables = (
        [harness.TextTable(title="Measured", columns=("what", "figure", "value"), rows=rows)] if rows else []
    )
    if absent is not None:
        print(f"not measured: {absent}")
    harness.finish(whole, [*tables, harness.bars_table(bars)], is_saved=arguments.save, notes=__doc__ or "")


if __name__ == "__main__":
    main()
