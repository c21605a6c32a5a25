"""`sage run`: a session from its first tick to its summary.

Invariant: however it ends (time, a signal, a crisis, the recordings' end) the store is flushed, the mind is
kept and the summary is shown. One session at a time in a state directory.
"""

from __future__ import annotations

import fcntl
import json
import platform
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import structlog

import sage
from sage.app.config.sage_config import SageConfig, config_hash, effective
from sage.app.config.state_dir import STORE_NAME, open_state_dir
from sage.app.live.view import LiveView
from sage.app.session.build import Run, build_run
from sage.app.session.snapshot_keeper import SnapshotKeeper
from sage.app.session.summary import SessionSummary
from sage.app.store.metrics_store import MetricsStore, Retention, StoreStatistics
from sage.app.terminal.errors import UserError
from sage.app.terminal.logs import log_to_stderr
from sage.mailbox.clock import Clock, ManualClock, RealClock
from sage.mailbox.errors import MailboxError
from sage.mailbox.trace import MessageTrace
from sage.runtime.report import Event, Instrument, to_plain
from sage.sensors.contract import SensorError

log = structlog.get_logger("sage.app")
MIND_NAME, SLEEP_NAME, LOCK_NAME = "mind", "sleep", "lock"
EXIT_OK, EXIT_FAILED = 0, 1


def run_session(
    config: SageConfig,
    *,
    seconds: float | None,
    ticks: int | None,
    fast: bool,
    live: bool,
    json_output: bool,
    trace_path: Path | None = None,
) -> int:
    """Run the loop until it ends; 0, or 1 after a crisis. `fast`: on a manual clock, from a fresh mind, so
    that runs repeat.

    trace_path: where the lives of focus messages are written, as a Chrome trace.
    """
    log_to_stderr()
    state_dir = open_state_dir(config.state_path)
    clock: Clock = ManualClock() if fast else RealClock()
    summary = SessionSummary()
    with ExitStack() as stack:
        stack.enter_context(_locked(state_dir))
        retention = Retention(keep_days=config.store.keep_days, max_bytes=config.store.max_bytes)
        store = stack.enter_context(MetricsStore(state_dir / STORE_NAME, retention=retention))
        session = _begin_session(store, config, clock)
        writer = store.instrument(session)
        view = stack.enter_context(
            _drawn(LiveView(session, is_enabled=live and not json_output, notices=writer.notices))
        )
        keeper = None if fast else SnapshotKeeper(state_dir / MIND_NAME, clock)
        instruments: list[Instrument] = [writer, summary, view, *([keeper] if keeper else [])]
        run = build_run(config, clock, directory=state_dir / SLEEP_NAME, instruments=instruments)
        stack.enter_context(_stopped_by_signals(run))
        stack.callback(_close, run)
        view.watch(run.hub.snapshot)
        if trace_path is not None:
            stack.enter_context(_traced(run, trace_path))
        _say_missing(run, instruments)
        if keeper is not None:
            log.info("snapshot", outcome=keeper.attach(run.loop))
        _open(run)
        if keeper is not None:
            stack.callback(keeper.close)
        until_ns = None if seconds is None else clock.now_ns() + int(seconds * 1e9)
        reason = run.loop.run(num_ticks=ticks, until_ns=until_ns)
    num_lost = _num_lost(writer.statistics())
    problem = keeper.problem if keeper is not None else ""
    _show(summary, session, reason, json_output, state_dir, num_lost=num_lost, mind_problem=problem)
    return EXIT_FAILED if reason.startswith("crisis") else EXIT_OK


def _begin_session(store: MetricsStore, config: SageConfig, clock: Clock) -> str:
    import torch

    return store.begin_session(
        config=effective(config),
        config_hash=config_hash(config),
        versions={"sage": sage.__version__, "torch": torch.__version__, "python": platform.python_version()},
        hardware={
            "machine": platform.machine(),
            "system": platform.system(),
            "device": "cuda" if torch.cuda.is_available() else "cpu",
        },
        seed=config.seed,
        clock="manual" if isinstance(clock, ManualClock) else "real",
        clock_ns=clock.now_ns(),
    )


@contextmanager
def _locked(state_dir: Path) -> Iterator[None]:
    """One session a state directory: two would overwrite each other's mind."""
    with (state_dir / LOCK_NAME).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"state_dir: {state_dir}: another session is running here: stop it, or give --state-dir"
            ) from None
        yield


@contextmanager
def _stopped_by_signals(run: Run) -> Iterator[None]:
    """SIGINT and SIGTERM end the run after the tick in hand; a second one aborts at once."""

    def stop(number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else signal.default_int_handler)
        run.loop.stop(f"signal {signal.Signals(number).name}")

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _traced(run: Run, path: Path) -> Iterator[None]:
    """UserError at once when the file cannot be written: not at the end of a long run."""
    try:
        path.touch()
    except OSError as error:
        raise UserError(f"--trace: {path}: {error.strerror}: give a file that can be written") from None
    trace = MessageTrace()
    run.hub.keep_trace(trace)
    try:
        yield
    finally:
        trace.write(path)


def _say_missing(run: Run, instruments: Sequence[Instrument]) -> None:
    """To the log, and to the instruments: behind a live view nobody reads a log."""
    for name, reason in run.missing:
        log.info("optional sensor left out", sensor=name, reason=reason)
        for instrument in instruments:
            instrument.on_event(Event(kind="left out", tick=0, source=name, message=reason))


def _open(run: Run) -> None:
    try:
        run.open()
    except (SensorError, OSError) as error:
        raise UserError(f"{error}") from error


def _close(run: Run) -> None:
    """A device that does not close well is said; it must not cost the session its summary."""
    try:
        run.close()
    except (SensorError, MailboxError, OSError) as error:
        log.error("not everything closed", error=str(error))


@contextmanager
def _drawn(view: LiveView) -> Iterator[LiveView]:
    """The view while it lasts: what failed in drawing is said at the end."""
    view.__enter__()
    try:
        yield view
    finally:
        try:
            view.close()
        except RuntimeError as error:
            log.error("the live view failed; the session went on", error=repr(error.__cause__))


def _num_lost(statistics: StoreStatistics) -> int:
    """Reports that the store does not hold, now that it is closed."""
    if statistics.problem:
        log.error("the store could not take all; what it held before is whole", error=statistics.problem)
    return statistics.num_dropped + statistics.num_unstorable + statistics.num_queued


def _show(
    summary: SessionSummary,
    session: str,
    reason: str,
    json_output: bool,
    state_dir: Path,
    *,
    num_lost: int,
    mind_problem: str,
) -> None:
    if json_output:
        ending = {
            "session": session,
            "ended_by": reason,
            "num_reports_lost": num_lost,
            "mind_problem": mind_problem,
        }
        sys.stdout.write(json.dumps(to_plain(summary.as_dict() | ending), allow_nan=False) + "\n")
        return
    from rich.console import Console

    from sage.app.session.summary_text import print_summary

    console = Console()
    print_summary(summary.figures(), console)
    console.print(
        f"session {session} ended: {reason}. Kept in {state_dir}. See it with: sage report {session}"
        f" --state-dir {state_dir}"
    )
    if mind_problem:
        console.print(
            f"What was learned could not be kept ({mind_problem}): the next run continues from the one"
            " before."
        )
