"""The Totality service at 10,000 schemes: time of its requests, and what a kill -9 loses.

The service is a process of its own with a store in a folder, on 127.0.0.1; the client is
sage.related_work.totality.client on one connection that stays open. A time is that of the whole call: the
request's JSON, HTTP, the store, the disk where the request changes something, the reply's JSON checked and
read. "8 writers": the same beside eight clients that write one scheme after the other, each its own 500 over
and over, so that the store has room for all of them. At the end the service is killed (SIGKILL) beside the
writers, and the folder is opened again: a write is lost if it was acknowledged and its scheme is not there
with that content, or with the content of a later write.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import harness
import numpy as np

from sage.errors import SageError
from sage.related_work.totality.client import TotalityClient
from sage.related_work.totality.content import Scheme, Slot
from sage.related_work.totality.messages import (
    ActivateRequest,
    ImagineRequest,
    OpCall,
    SchemeDraft,
    Target,
    WriteRequest,
)
from sage.related_work.totality.persistence import TotalityFolder
from sage.related_work.totality.read_query import ReadQuery

NUM_SCHEMES = 10_000
NUM_WRITERS = 8
NUM_OWN = 500  # schemes of a writer
NUM_LOADED = 500  # calls of each request beside the writers
MOST_READ_MS = 10.0
COLORS = ("red", "green", "blue", "brown")
#: Read requests of the bar, by name.
READS = {
    "read, 10 schemes": ReadQuery(limit=10, scope="schemes"),
    "read, 100 schemes": ReadQuery(limit=100, scope="schemes"),
    "read, activation_min 0.9, 100 schemes": ReadQuery(limit=100, activation_min=0.9, scope="schemes"),
    "read, the 8 most active": ReadQuery(limit=8, order="activation"),
}


@dataclass(frozen=True)
class Timing:
    """Wall time of `num` calls in ms."""

    request: str
    load: str
    num: int
    p50: float
    p99: float


def drafts(prefix: str, number: int, seed: int = 0) -> tuple[SchemeDraft, ...]:
    generator = np.random.default_rng(seed)
    return tuple(
        SchemeDraft(
            id=f"{prefix}-{at}",
            label=f"thing {at % 97}",
            slots=(
                Slot(name="color", value=COLORS[int(generator.integers(len(COLORS)))]),
                Slot(name="weight", value=float(generator.normal())),
                Slot(name="is_full", value=bool(generator.integers(2))),
            ),
            activation=float(generator.random()),
        )
        for at in range(number)
    )


@contextmanager
def service(folder: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """(url, process) of `sage totality serve`."""
    command = [
        sys.executable,
        "-m",
        "sage",
        "totality",
        "serve",
        "--no-token",
        "--port",
        "0",
        "--store",
        str(folder),
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            yield line.split()[1], process
        finally:
            process.kill()


class Writers:
    """Threads that write one scheme after the other until the service is gone or `close`.

    acknowledged: the weight of each scheme's last acknowledged write, by id.  sent: of the last write that
    was sent, whether it was acknowledged or not.
    """

    def __init__(self, url: str, number: int) -> None:
        self.num_acknowledged = 0
        self.acknowledged: dict[str, float] = {}
        self.sent: dict[str, float] = {}
        self._is_over = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._write, args=(url, at)) for at in range(number)]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def _write(self, url: str, writer: int) -> None:
        with TotalityClient(url) as client, suppress(SageError):
            for turn in range(1_000_000):
                if self._is_over.is_set():
                    return
                (draft,) = drafts(f"w{writer}-{turn % NUM_OWN}", 1, seed=turn)
                name, weight = str(draft.id), weight_of(draft)
                self.sent[name] = weight
                client.write(WriteRequest(schemes=(draft,)))
                self.acknowledged[name] = weight
                with self._lock:
                    self.num_acknowledged += 1


def timed(request: str, load: str, num: int, call: Callable[[int], object]) -> Timing:
    call(-1)
    taken = []
    for at in range(num):
        start = time.perf_counter()
        call(at)
        taken.append((time.perf_counter() - start) * 1e3)
    return Timing(
        request=request,
        load=load,
        num=num,
        p50=float(np.percentile(taken, 50)),
        p99=float(np.percentile(taken, 99)),
    )


def measure(client: TotalityClient, load: str, num: int) -> list[Timing]:
    """Every request, `num` times."""
    call = OpCall(op="vary_slot")

    def write(at: int) -> object:
        return client.write(WriteRequest(schemes=drafts(f"{load}-{at}", 1, seed=at + 1)))

    def imagine(at: int) -> object:
        seeds = (f"first-{(at + 1) % NUM_SCHEMES}",)
        return client.imagine(ImagineRequest(ops=(call,), seed_scheme_ids=seeds, seed=at + 1))

    def activate(at: int) -> object:
        target = Target(id=f"first-{(at + 1) % NUM_SCHEMES}", delta=0.01)
        return client.activate(ActivateRequest(targets=(target,)))

    timings = [
        timed(name, load, num, lambda _, query=query: client.read(query)) for name, query in READS.items()
    ]
    changes = {"write, 1 scheme": write, "imagine, 1 canvas": imagine, "activate, 1 target": activate}
    return timings + [timed(name, load, num, change) for name, change in changes.items()]


def weight_of(scheme: SchemeDraft | Scheme) -> float:
    (weight,) = (slot.value for slot in scheme.slots if slot.name == "weight")
    assert isinstance(weight, float)
    return weight


def num_lost(folder: Path, acknowledged: dict[str, float], sent: dict[str, float]) -> int:
    """Schemes of which the folder has neither the last acknowledged write nor one that was sent after it."""
    with TotalityFolder(folder, time.time_ns) as opened:
        found: dict[str, float] = {}
        cursor = None
        while True:
            page = opened.store.read(ReadQuery(limit=1000, scope="schemes", cursor=cursor))
            found |= {scheme.id: weight_of(scheme) for scheme in page.schemes if scheme.id in sent}
            cursor = page.cursor
            if cursor is None:
                break
    return sum(found.get(name) not in (weight, sent[name]) for name, weight in acknowledged.items())


def bars_of(timings: list[Timing], lost: int | None) -> list[harness.Bar]:
    """lost: None where no write was acknowledged, of which none could be lost; the bar is then owed."""
    idle = {each.request: each.p99 for each in timings if each.load == "none"}
    bars = [
        harness.Bar(name=f"{name}: p99, ms", value=idle.get(name), bar=MOST_READ_MS, better="lower")
        for name in READS
    ]
    return [
        *bars,
        harness.Bar(
            name="acknowledged writes lost by kill -9",
            value=None if lost is None else float(lost),
            bar=0.0,
            better="lower",
        ),
    ]


def main() -> None:
    arguments = harness.argument_parser(__doc__).parse_args()
    num = 30 if arguments.quick else 2000
    known = drafts("first", NUM_SCHEMES)
    with tempfile.TemporaryDirectory() as base:
        folder = Path(base) / "store"
        with service(folder) as (url, process), TotalityClient(url, timeout_secs=60.0) as client:
            for at in range(0, NUM_SCHEMES, 1000):
                client.write(WriteRequest(schemes=known[at : at + 1000]))
            timings = measure(client, "none", num)
            writers = Writers(url, NUM_WRITERS)
            timings += measure(client, f"{NUM_WRITERS} writers", min(num, NUM_LOADED))
            process.kill()
            writers.close()
        written = writers.acknowledged
        lost = num_lost(folder, written, writers.sent) if written else None
    bars = bars_of(timings, lost)
    results = {
        "num_schemes": NUM_SCHEMES,
        "timings_ms": [asdict(each) for each in timings],
        "acknowledged": writers.num_acknowledged,
        "lost": lost,
        "calibration": harness.calibrate(),
    }
    rows = tuple(
        (each.request, each.load, f"{each.num:,}", f"{each.p50:.2f}", f"{each.p99:.2f}") for each in timings
    )
    table = harness.TextTable(
        title=f"One request at {NUM_SCHEMES:,} schemes",
        columns=("request", "load", "n", "p50 ms", "p99 ms"),
        rows=rows,
    )
    notes = (__doc__ or "").partition("\n\n")[2]
    harness.finish(
        harness.document("totality", results, bars),
        [table, harness.bars_table(bars)],
        is_saved=arguments.save,
        notes=notes,
    )


if __name__ == "__main__":
    main()
