"""`sage serve` under load, beside a plain loop behind the same server.

Two servers run at the same time, each in a process of its own, with the same model: `sage serve`, whose
requests share one batch, and `_serve_peer.py`, where a thread solves one puzzle after the other. Clients keep
their connection and post the next puzzle when a reply has come. Rounds alternate between the servers; the
idle server waits. Each request is one sudoku 9x9, at most 16 segments, ended by the rules; both servers get
the same puzzles in the same order. Requests a second and the time of a request from its first byte sent to
its last byte received; a ratio is the median over pairs of rounds, with the least and the largest.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import harness
import numpy as np

from sage.app.http.token import TOKEN_NAME
from sage.hrm_core.tasks.catalogue import make_task

MODEL = "sudoku9"
GIVENS = (26, 40)
MAX_SEGMENTS = 16
NUM_CLIENTS = (1, 8, 64)
OURS, PEER = "sage serve", "plain loop"
PEER_SCRIPT = Path(__file__).with_name("_serve_peer.py")
LEAST_RATIO, MOST_P99_RATIO = 1.5, 1.1


@dataclass(frozen=True)
class Round:
    """One server for one round. p50, p99: ms.  solved: share of the answers that the rules accept."""

    server: str
    clients: int
    num: int
    per_sec: float
    p50: float
    p99: float
    solved: float


@dataclass(frozen=True)
class Server:
    """A server that runs: its port and its token."""

    name: str
    port: int
    token: str


@contextmanager
def running(name: str, folder: Path) -> Iterator[Server]:
    """The server of that name with `folder` for its token, ended by SIGTERM."""
    command = [sys.executable, str(PEER_SCRIPT), MODEL, str(folder)]
    if name == OURS:
        options = ["--checkpoint", MODEL, "--port", "0", "--state-dir", str(folder)]
        command = [sys.executable, "-m", "sage", "serve", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            if not line.startswith("sage: http://"):
                raise SystemExit(f"serve: {name} did not start: {line}{process.stderr.read()}")
            port = int(line.split()[1].rstrip("/").rpartition(":")[2])
            yield Server(name, port, (folder / TOKEN_NAME).read_text().strip())
        finally:
            process.terminate()


def puzzle_texts(num: int) -> list[str]:
    task = make_task("sudoku", size=9, givens=GIVENS)
    rows = task.sample(num, np.random.default_rng(0)).inputs
    return [task.decode(row) for row in rows]


def body_of(puzzle: str) -> bytes:
    return json.dumps({"puzzle": puzzle, "search": 0, "max_segments": MAX_SEGMENTS}).encode()


async def client(server: Server, bodies: Iterator[bytes], until: float) -> list[tuple[float, bool]]:
    """(seconds, whether solved) of each request, one after the other on one connection, until that time."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    done = []
    try:
        while time.perf_counter() < until:
            body = next(bodies)
            head = (
                f"POST /v1/solve HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {server.token}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            started = time.perf_counter()
            writer.write(head.encode() + body)
            reply = await read_reply(reader)
            done.append((time.perf_counter() - started, bool(json.loads(reply)["is_verified"])))
    finally:
        writer.close()
    return done


async def read_reply(reader: asyncio.StreamReader) -> bytes:
    """The body of a reply with Content-Length; SystemExit for a status other than 200."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
    body = await reader.readexactly(length)
    if not head.startswith(b"http/1.1 200"):
        raise SystemExit(f"serve: a request failed: {head.splitlines()[0]!r} {body[:200]!r}")
    return body


async def load(server: Server, clients: int, secs: float, bodies: Sequence[bytes]) -> Round:
    """`clients` clients for that time; together they post the puzzles in their order."""
    started = time.perf_counter()
    shared = iter(bodies * 1000)
    results = await asyncio.gather(*(client(server, shared, started + secs) for _ in range(clients)))
    taken = time.perf_counter() - started
    done = [each for result in results for each in result]
    times = np.array([each for each, _ in done]) * 1e3
    return Round(
        server=server.name,
        clients=clients,
        num=len(done),
        per_sec=len(done) / taken,
        p50=float(np.percentile(times, 50)),
        p99=float(np.percentile(times, 99)),
        solved=float(np.mean([is_solved for _, is_solved in done])),
    )


def measure(servers: Sequence[Server], secs: float, num_pairs: int) -> list[Round]:
    """Rounds in pairs, the order within a pair in turns."""
    bodies = [body_of(each) for each in puzzle_texts(256)]
    for server in servers:
        asyncio.run(load(server, NUM_CLIENTS[-1], min(secs, 1.0), bodies))  # not counted: caches are filled
    rounds = []
    for clients in NUM_CLIENTS:
        for pair in range(num_pairs):
            order = servers if pair % 2 == 0 else servers[::-1]
            rounds += [asyncio.run(load(server, clients, secs, bodies)) for server in order]
    return rounds


def ratios(rounds: Sequence[Round], clients: int, figure: str) -> list[float]:
    """Ours over the peer's, by pair."""
    own, other = (
        [getattr(each, figure) for each in rounds if (each.server, each.clients) == (name, clients)]
        for name in (OURS, PEER)
    )
    return [a / b for a, b in zip(own, other)]


def bars_of(rounds: Sequence[Round], *, is_owed: bool) -> list[harness.Bar]:
    bars = []
    for clients in NUM_CLIENTS[1:]:
        value = None if is_owed else float(np.median(ratios(rounds, clients, "per_sec")))
        name = f"requests a second at {clients} clients over the plain loop's"
        bars.append(harness.Bar(name=name, value=value, bar=LEAST_RATIO, better="higher"))
    value = None if is_owed else float(np.median(ratios(rounds, 1, "p99")))
    name = "p99 at 1 client over the plain loop's"
    return [*bars, harness.Bar(name=name, value=value, bar=MOST_P99_RATIO, better="lower")]


def tables_of(rounds: Sequence[Round]) -> list[harness.TextTable]:
    rows, compared = [], []
    for clients in NUM_CLIENTS:
        for name in (OURS, PEER):
            found = [each for each in rounds if (each.server, each.clients) == (name, clients)]
            medians = [
                float(np.median([getattr(each, key) for each in found])) for key in ("per_sec", "p50", "p99")
            ]
            solved = float(np.mean([each.solved for each in found]))
            shown = [f"{each:.1f}" for each in medians]
            rows.append((str(clients), name, f"{sum(each.num for each in found):,}", *shown, f"{solved:.1%}"))
        for figure, label in (("per_sec", "requests a second"), ("p99", "p99")):
            found_ratios = ratios(rounds, clients, figure)
            span = f"{min(found_ratios):.2f} to {max(found_ratios):.2f}"
            compared.append((str(clients), label, f"{np.median(found_ratios):.2f}", span))
    columns = ("clients", "server", "requests", "a second", "p50 ms", "p99 ms", "solved")
    return [
        harness.TextTable(title="Requests, medians over rounds", columns=columns, rows=tuple(rows)),
        harness.TextTable(
            title=f"{OURS} over {PEER}",
            columns=("clients", "figure", "median", "of all pairs"),
            rows=tuple(compared),
        ),
    ]


def main() -> None:
    arguments = harness.argument_parser(__doc__).parse_args()
    secs, num_pairs = (0.7, 1) if arguments.quick else (8.0, 5)
    calibration = harness.calibrate()
    with tempfile.TemporaryDirectory() as base:
        folders = [Path(base) / each for each in ("ours", "peer")]
        for each in folders:
            each.mkdir(mode=0o700)
        with running(OURS, folders[0]) as ours, running(PEER, folders[1]) as peer:
            rounds = measure([ours, peer], secs, num_pairs)
    bars = bars_of(rounds, is_owed=arguments.quick)
    results = {
        "calibration": calibration,
        "model": MODEL,
        "givens": GIVENS,
        "round_secs": secs,
        "rounds": [asdict(each) for each in rounds],
    }
    notes = (__doc__ or "").partition("\n\n")[2]
    harness.finish(
        harness.document("serve", results, bars),
        [*tables_of(rounds), harness.bars_table(bars)],
        is_saved=arguments.save,
        notes=notes,
    )


if __name__ == "__main__":
    main()
