"""The live page: its first paint beside a static page's, and what 50 open pages cost an unpaced loop.

The loop runs on a simulated clock, as fast as it can, with the default model on three synthetic sources and
the metrics store attached. Three arms take turns in one process: no server, a server without a client, and a
server with 50 clients of its live stream, which are in another process. The 99th percentile is of the ticks
of all rounds of an arm; CPU seconds are those of the loop's process. A static page is the same HTML and style
sheet without scripts, from Python's http.server.
"""

from __future__ import annotations

import functools
import http.server
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import _page_paint
import harness
import numpy as np

from sage.app.config.sage_config import load_config
from sage.app.control.server import Verb
from sage.app.page.endpoints import Endpoints
from sage.app.page.feed import SessionFeed
from sage.app.page.history import History
from sage.app.page.server import PageServer
from sage.app.session.build import Run, build_run
from sage.app.store.metrics_store import MetricsStore
from sage.mailbox.clock import ManualClock
from sage.runtime.report import Event, SleepReport, TickReport

NUM_CLIENTS = 50
ARMS = NO_SERVER, NO_CLIENT, CLIENTS = "no server", "server, no client", f"server, {NUM_CLIENTS} clients"
P99_BAR, PAINT_BAR_SECS = 1.05, 1.0
CONFIG = """
name: page
tick: {rate_hz: 20, rest_rate_hz: 20, dream_rate_hz: 20}
practice: {enabled: false}
sleep: {enabled: false}
sensors:
  - {kind: synthetic, name: one, shape: [6], rate_hz: 20}
  - {kind: synthetic, name: two, shape: [6], rate_hz: 20, seed: 1}
  - {kind: synthetic, name: three, shape: [6], rate_hz: 20, seed: 2}
"""
TOKEN = "a-token-for-the-benchmark-alone"
VERBS: dict[str, Verb] = {"status": lambda request: {"secs_since_tick": 0.0}}


@dataclass
class Arm:
    """tick_ms: of all its rounds.  cpu_secs, num_bytes: of each round."""

    tick_ms: list[float] = field(default_factory=list)
    cpu_secs: list[float] = field(default_factory=list)
    num_bytes: int = 0

    @property
    def p99_ms(self) -> float:
        return float(np.quantile(self.tick_ms, 0.99))


class Durations:
    """An instrument: the duration of each tick in ms."""

    def __init__(self) -> None:
        self.found: list[float] = []

    def on_tick(self, report: TickReport) -> None:
        self.found.append(report.timing.total_ns / 1e6)

    def on_sleep(self, report: SleepReport) -> None: ...

    def on_event(self, event: Event) -> None: ...


class Session:
    """The loop with its store and feed."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        (folder / "page.yaml").write_text(CONFIG)
        config = load_config(str(folder / "page.yaml"), (), with_files=True)
        self.run: Run = build_run(config, ManualClock(), directory=folder / "sleep")
        stack.callback(self.run.close)
        self.run.open()
        self.store = stack.enter_context(MetricsStore(folder / "store.sqlite"))
        self.id = self.store.begin_session()
        self.feed = SessionFeed(self.id, about={"rates_hz": {"wake": 20.0}})
        self.durations = Durations()
        self.run.loop.observe(self.store.instrument(self.id), self.feed, self.durations)

    def server(self) -> PageServer:
        endpoints = Endpoints(self.feed, History(self.store, self.id), lambda: VERBS)
        return PageServer(endpoints, TOKEN, wanted=0)

    def ticks(self, num: int, arm: Arm) -> None:
        self.durations.found.clear()
        before = time.process_time()
        self.run.loop.run(num_ticks=num)
        arm.cpu_secs.append(time.process_time() - before)
        arm.tick_ms += self.durations.found


@contextmanager
def clients(port: int, arm: Arm) -> Iterator[None]:
    script = Path(__file__).with_name("_page_clients.py")
    command = [sys.executable, str(script), str(port), str(NUM_CLIENTS)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise RuntimeError("the clients did not connect")
        yield
        process.stdin.close()
        arm.num_bytes += int(process.stdout.readline())


def measure_ticks(session: Session, *, num_rounds: int, num_ticks: int) -> dict[str, Arm]:
    arms = {name: Arm() for name in ARMS}
    session.ticks(num_ticks // 2, Arm())  # the first ticks compile and allocate
    for round_index in range(num_rounds):
        for name in ARMS if round_index % 2 else ARMS[::-1]:
            arm = arms[name]
            with ExitStack() as stack:
                if name != NO_SERVER:
                    server = stack.enter_context(session.server())
                    if name == CLIENTS:
                        stack.enter_context(clients(server.port, arm))
                session.ticks(num_ticks, arm)
    return arms


def measure_paint(session: Session, folder: Path, num_rounds: int) -> dict[str, list[float]]:
    """Empty where there is no browser."""
    if _page_paint.why_absent():
        print(f"first paint is not measured: {_page_paint.why_absent()}")
        return {}
    found: dict[str, list[float]] = {"live": [], "static": []}
    with session.server() as live, static_server(folder) as static, _page_paint.browser() as port:
        addresses = {"live": live.address, "static": static}
        for address in addresses.values():
            _page_paint.first_paint_secs(port, address)  # the first tab starts processes
        for _ in range(num_rounds):
            for name, address in addresses.items():
                found[name].append(_page_paint.first_paint_secs(port, address))
    return found


@contextmanager
def static_server(folder: Path) -> Iterator[str]:
    """The address of the same page without scripts."""
    own = harness.ROOT / "sage" / "app" / "page" / "static"
    lines = (own / "index.html").read_text().splitlines()
    (folder / "static").mkdir()
    (folder / "index.html").write_text("\n".join(line for line in lines if "<script" not in line))
    (folder / "static" / "live.css").write_text((own / "live.css").read_text())
    (folder / "static" / "uplot.min.css").write_text(
        (own.parents[1] / "static" / "uplot.min.css").read_text()
    )

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/index.html"
        finally:
            server.shutdown()
            thread.join()


def main() -> None:
    arguments = harness.argument_parser(__doc__).parse_args()
    num_rounds, num_ticks = (4, 200) if arguments.quick else (10, 1000)
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        session = Session(Path(name), stack)
        arms = measure_ticks(session, num_rounds=num_rounds, num_ticks=num_ticks)
        paints = measure_paint(session, Path(name), 3 if arguments.quick else 10)
    base = arms[NO_SERVER]
    cpu = {name: statistics.median(arm.cpu_secs) for name, arm in arms.items()}
    paint = {name: statistics.median(each) for name, each in paints.items()}
    results: dict[str, object] = {
        name: {
            "n": len(arm.tick_ms),
            "tick_ms_p50": float(np.quantile(arm.tick_ms, 0.5)),
            "tick_ms_p99": arm.p99_ms,
            "p99_ratio": arm.p99_ms / base.p99_ms,
            "cpu_secs_per_1000_ticks": 1000 * cpu[name] / num_ticks,
            "bytes_sent": arm.num_bytes,
        }
        for name, arm in arms.items()
    }
    results["first_paint_secs"] = paint
    bars = [
        harness.Bar(
            name=f"tick p99 with {NUM_CLIENTS} pages, over none",
            value=arms[CLIENTS].p99_ms / base.p99_ms,
            bar=P99_BAR,
            better="lower",
        ),
        harness.Bar(name="first paint, seconds", value=paint.get("live"), bar=PAINT_BAR_SECS, better="lower"),
    ]
    whole = harness.document(
        "page", results | {"calibration": harness.calibrate()}, bars, peers=("starlette", "uvicorn")
    )
    rows = tuple(
        (
            name,
            f"{np.quantile(arm.tick_ms, 0.5):.2f}",
            f"{arm.p99_ms:.2f}",
            f"{arm.p99_ms / base.p99_ms:.2f}",
            f"{1000 * cpu[name] / num_ticks:.2f}",
        )
        for name, arm in arms.items()
    )
    columns = ("arm", "p50 ms", "p99 ms", "p99 x no server", "CPU s per 1,000 ticks")
    tables = [harness.TextTable(title="An unpaced loop", columns=columns, rows=rows)]
    if paint:
        painted = tuple((name, f"{secs:.3f}") for name, secs in paint.items())
        tables.append(
            harness.TextTable(title="First contentful paint, median", columns=("page", "s"), rows=painted)
        )
    harness.finish(whole, [*tables, harness.bars_table(bars)], is_saved=arguments.save)


if __name__ == "__main__":
    main()
