"""Memory: recall, durability and their bytes, beside faiss, hnswlib, usearch and LMDB.

Recall: 256-d keys of unit length in clusters; exact search, search with an index, share of the ten nearest
found. Durability: microseconds until a record of 1.7 kB is on the disk, alone and in groups of 64, and the
disk's own fsync beside it, which a durable write cannot beat; seconds until 1e5 memories are back; bytes over
many writes; kill -9 under write load. A quick run builds no graphs and measures fewer of everything. A peer
that is not installed is named as absent: install the extra bench, and hnswlib, which pip compiles. The
sidecar's bar is printed by `sage bench sidecar`. Times of searches are CPU time of one thread.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import tempfile
from dataclasses import asdict
from pathlib import Path

import _memory_journal as journal
import _memory_stores as stores
import harness

PEERS = ("faiss-cpu", "hnswlib", "usearch", "lmdb")


def main() -> None:
    parser = harness.argument_parser(__doc__)
    parser.add_argument(
        "--folder", type=Path, help="where the journals are written (default: a temporary one)"
    )
    arguments = parser.parse_args()
    calibration = harness.calibrate()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        results = measure(Path(folder), is_quick=arguments.quick)
    bars = make_bars(results, is_quick=arguments.quick)
    document = harness.document("memory", {"calibration": calibration, **results}, bars, peers=PEERS)
    harness.finish(
        document,
        [*make_tables(results), harness.bars_table(bars)],
        is_saved=arguments.save,
        notes=__doc__ or "",
    )


def measure(folder: Path, *, is_quick: bool) -> dict[str, object]:
    sizes = (10_000,) if is_quick else (10_000, 100_000)
    return {
        "search": [
            asdict(each)
            for size in sizes
            for each in stores.searches(size, 30 if is_quick else 100, has_graphs=not is_quick)
        ],
        "packed_write_us": stores.packed_write_us(),
        "store_write_us": stores.store_write_us(),
        "salient_recall": stores.salient_recall(),
        "acknowledged": [
            asdict(each) for each in journal.acknowledgements(folder, *((20, 5) if is_quick else (300, 60)))
        ],
        "append_us": journal.append_cpu_us(folder),
        "back": {"num": 10_000 if is_quick else 100_000}
        | journal.back_secs(folder, 10_000 if is_quick else 100_000),
        "bytes": journal.bytes_over_writes(folder, 5_000 if is_quick else 1_000_000),
        "kills": journal.kills(folder, 2 if is_quick else 100),
    }


def found(results: dict, method: str, num: int, field: str) -> float | None:
    """A figure of the search table; None where it was not measured."""
    rows = (each for each in results["search"] if each["method"] == method and each["num"] == num)
    return next((each[field] for each in rows), None)


def ratio(value: float | None, base: float | None) -> float | None:
    return None if value is None or base is None else value / base


def make_bars(results: dict, *, is_quick: bool) -> list[harness.Bar]:
    ours = results["acknowledged"][0]
    salient, back, grown = results["salient_recall"], results["back"], results["bytes"]
    exact_us, flat_us = (found(results, name, 10_000, "query_us") for name in ("sage, exact", "faiss-flat"))
    index_us, scan_us = (found(results, f"sage, {name}", 100_000, "query_us") for name in ("index", "exact"))

    def whole(value: float | None) -> float | None:
        """Owed by a quick run, which measures fewer."""
        return None if is_quick else value

    figures = (
        ("recall@10 at 1e4", found(results, "sage, exact", 10_000, "recall"), 0.99, "higher"),
        ("query at 1e4 / faiss-flat", ratio(exact_us, flat_us), 1.0, "lower"),
        ("recall@10 at 1e5 with an index", found(results, "sage, index", 100_000, "recall"), 0.99, "higher"),
        ("query at 1e5 with an index / exact scan", ratio(index_us, scan_us), 0.1, "lower"),
        ("L-memory: write of one packed row on the device (us)", results["packed_write_us"], 10.0, "lower"),
        ("durable acknowledgement, single (us)", ours["single_us"], 250.0, "lower"),
        ("durable acknowledgement, in groups of 64 (us)", ours["grouped_us"], 15.0, "lower"),
        ("salient recall / FIFO at equal bytes", ratio(salient["salience"], salient["fifo"]), 8.0, "higher"),
        ("1e5 memories back from the journal (CPU s)", whole(back["journal_cpu"]), 2.0, "lower"),
        ("1e5 memories back from a snapshot (CPU s)", whole(back["snapshot_cpu"]), 2.0, "lower"),
        ("resident growth over 1e6 writes (MB)", whole(grown["resident_growth_mb"]), 8.0, "lower"),
        ("disk growth over 1e6 writes (MB)", whole(grown["disk_growth_mb"]), 8.0, "lower"),
        ("acknowledged rows lost in 100 kill -9", whole(results["kills"]["num_lost"]), 0.0, "lower"),
        ("torn rows loaded in 100 kill -9", whole(results["kills"]["num_torn"]), 0.0, "lower"),
    )
    return [
        harness.Bar(name=name, value=value, bar=bar, better=better) for name, value, bar, better in figures
    ]


def make_tables(results: dict) -> list[harness.TextTable]:
    def shown(value: float | None, digits: int = 1) -> str:
        return "-" if value is None else f"{value:,.{digits}f}"

    search = tuple(
        (
            each["method"], f"{each['num']:,}", shown(each["query_us"]), shown(each["recall"], 3),
            shown(each["build_secs"], 2),
        )
        for each in results["search"]
    )  # fmt: skip
    waits = tuple(
        (each["method"], shown(each["single_us"]), shown(each["grouped_us"]))
        for each in results["acknowledged"]
    )
    rest = {
        "append to the journal, on the loop's thread (us)": shown(results["append_us"]),
        "write to a full recall store of 1,024 (us)": shown(results["store_write_us"]),
        **{f"salient events kept, by {name}": shown(x, 3) for name, x in results["salient_recall"].items()},
        **{f"memories back, {name} (s)": shown(x, 2) for name, x in results["back"].items() if name != "num"},
        "memories brought back": shown(results["back"]["num"], 0),
        **{name.replace("_", " "): shown(x) for name, x in results["bytes"].items()},
        **{name.replace("_", " "): shown(x, 0) for name, x in results["kills"].items()},
    }
    return [
        harness.TextTable(
            title="Search of 256-d keys, one query",
            columns=("method", "keys", "CPU us", "recall@10", "build s"),
            rows=search,
        ),
        harness.TextTable(
            title="Until a record is on the disk",
            columns=("method", "single us", "in groups of 64 us"),
            rows=waits,
        ),
        harness.TextTable(title="Other figures", columns=("figure", "value"), rows=tuple(rest.items())),
    ]


if __name__ == "__main__":
    main()
