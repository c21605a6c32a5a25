"""`sage run`: a session from its first tick to its summary.

Invariant: whatever ends the session (time, a signal, a crisis, the end of the recordings), the store is
flushed, the snapshot is written and the summary is printed. One session at a time in a state directory.
"""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import structlog

from sage.about import __version__
from sage.app.audit.log import AuditLog
from sage.app.config.sage_config import SageConfig, config_hash, effective
from sage.app.config.state_dir import (
    AUDIT_NAME,
    JOURNAL_NAME,
    MIND_NAME,
    SLEEP_NAME,
    STORE_NAME,
    TRACKERS_NAME,
    locked,
    open_state_dir,
)
from sage.app.control.hold import Hold, HoldFile
from sage.app.control.server import ControlServer
from sage.app.control.session_control import SessionControl, held_over
from sage.app.control.source_switch import SourceSwitch
from sage.app.daemon.drain import DRAIN_SECS, Drain
from sage.app.daemon.notify import Notifier
from sage.app.daemon.service import Service
from sage.app.daemon.signals import signals_handled
from sage.app.daemon.verbs import ServiceVerbs
from sage.app.live.view import LiveView
from sage.app.page.feed import SessionFeed
from sage.app.page.opening import PageOptions, opened_page
from sage.app.page.readings import ReadingsFeed
from sage.app.page.screen import screen_verb
from sage.app.session.attachments import Attachments, SessionStart
from sage.app.session.batch_nights import BatchNights, leave_night
from sage.app.session.build import Run, build_run
from sage.app.session.examining import examine_session, note_lost
from sage.app.session.heap import map_large_blocks
from sage.app.session.leftovers import remove_leftovers
from sage.app.session.snapshot_keeper import SnapshotKeeper
from sage.app.session.summary import SessionSummary
from sage.app.session.tracing import traced
from sage.app.session.watching import Diagnosing
from sage.app.store.metrics_store import MetricsStore, Retention, StoreStatistics
from sage.app.store.opening import repair
from sage.app.terminal.errors import UserError
from sage.app.terminal.logs import log_to_stderr
from sage.app.terminal.streams import printing_to_stderr
from sage.app.trackers.opening import check_packages, open_trackers
from sage.app.trackers.session_tracker import SessionTracker
from sage.mailbox.clock import Clock, ManualClock, RealClock
from sage.mailbox.errors import MailboxError
from sage.runtime.report import Event, Instrument, to_plain
from sage.sensors.contract import SensorError

log = structlog.get_logger("sage.app")
EXIT_OK, EXIT_FAILED = 0, 1
NOTHING_ATTACHED = Attachments()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a session ended. num_reports_lost: reports that are not in the store.  snapshot_problem: why the
    last snapshot was not written, "" when it was.
    """

    session: str
    ended_by: str
    num_reports_lost: int
    snapshot_problem: str

    @classmethod
    def of(
        cls, session: str, reason: str, statistics: StoreStatistics, keeper: SnapshotKeeper | None
    ) -> Ending:
        problem = keeper.problem if keeper is not None else ""
        num_lost = _num_lost(statistics)
        return cls(session=session, ended_by=reason, num_reports_lost=num_lost, snapshot_problem=problem)


def run_session(
    config: SageConfig,
    *,
    seconds: float | None,
    ticks: int | None,
    fast: bool,
    live: bool,
    json_output: bool,
    trace_path: Path | None = None,
    attached: Attachments = NOTHING_ATTACHED,
    page: PageOptions | None = None,
    drain_secs: float = DRAIN_SECS,
    reread: Callable[[], SageConfig] | None = None,
) -> int:
    """Run the loop until it ends; returns 0, or 1 after a crisis. fast: on a manual clock, without snapshots.

    trace_path: the file for a Chrome/Perfetto trace.  attached: recordings and the like.
    page: None serves none.  drain_secs: from a request to stop to the end.  reread: the file, for a reload.
    """
    log_to_stderr()
    check_packages(config.tracking.to)
    state_dir = open_state_dir(config.state_path)
    clock: Clock = ManualClock() if fast else RealClock()
    drain = Drain(secs=drain_secs)
    with printing_to_stderr(is_on=json_output), ExitStack() as stack:
        service = stack.enter_context(Service(Notifier.from_environment()))
        stack.callback(drain.end)
        stack.enter_context(locked(state_dir))
        _prepare_process(is_replay=fast)
        store = stack.enter_context(_metrics_store(config, state_dir))
        audit = stack.enter_context(closing(_audit_log(config, state_dir)))
        held = stack.enter_context(_held(config, state_dir, is_replay=fast))
        run = stack.enter_context(_built(config, clock, state_dir, trace_path, audit, drain, service))
        keeper = _load_snapshot(run, state_dir, clock) if not fast else None
        if keeper is not None:
            stack.callback(keeper.close)
        control = _controlled(run, held, audit, config)
        served = ServiceVerbs(run.loop, config, service=service, drain=drain, keeper=keeper, reread=reread)
        _linked(control, service, served)
        attached.prepare(config, run, clock, stack)
        nights = _opened(run, keeper, held[0], state_dir)
        # The session begins only now: a build or a device that fails leaves none behind.
        session = _begin_session(store, config, clock, run)
        writer = store.instrument(session)
        tracker = stack.enter_context(closing(_tracked(config, state_dir, session)))
        watch = stack.enter_context(closing(Diagnosing(run, config, writer, state_dir=state_dir)))
        summary = SessionSummary(temporal=run.temporal_sources, missing=run.missing)
        notices = partial(_notices, control, watch, writer, tracker, attached)
        feed = _feed(session, run, config.name, notices, has_page=page is not None)
        verbs = {**control.verbs, **SourceSwitch(run.loop, control).verbs, **watch.verbs, **served.verbs}
        verbs["screen"] = screen_verb(feed)
        server = stack.enter_context(ControlServer(state_dir, verbs))
        address = stack.enter_context(opened_page(page, feed, store, session, server, state_dir))
        view = _view(session, run, notices, address if live and not json_output else None)
        instruments: list[Instrument] = [
            *(writer, summary, view, control, tracker, feed, feed.readings, service),
            *watch.instruments,
            *([keeper] if keeper else []),
            *attached.begin(SessionStart(id=session, config=config, run=run, clock=clock)),
        ]
        _observe(run, instruments, nights)
        stack.enter_context(_drawn(view))
        service.begin()
        reason = run.loop.run(num_ticks=ticks, until_ns=_after(clock, seconds))
        service.drain(reason)
        _examine(run, config, summary, keeper)
    note_lost(run, summary)
    ending = Ending.of(session, reason, writer.statistics(), keeper)
    _show(summary, ending, state_dir, attached, json_output=json_output)
    return EXIT_FAILED if reason.startswith("crisis") else EXIT_OK


def _prepare_process(*, is_replay: bool) -> None:
    """Remove what killed sessions left. A session with snapshots keeps their copies out of the heap."""
    remove_leftovers()
    if not is_replay:
        map_large_blocks()


def _metrics_store(config: SageConfig, state_dir: Path) -> MetricsStore:
    repair(state_dir / STORE_NAME, log.error)
    retention = Retention(keep_days=config.store.keep_days, max_bytes=config.store.max_bytes)
    return MetricsStore(state_dir / STORE_NAME, retention=retention)


def _audit_log(config: SageConfig, state_dir: Path) -> AuditLog:
    return AuditLog(state_dir / AUDIT_NAME, max_bytes=config.audit.max_bytes)


def _held(
    config: SageConfig, state_dir: Path, *, is_replay: bool
) -> AbstractContextManager[tuple[HoldFile, Hold | None]]:
    has_effectors = bool(config.enabled_effectors or config.enabled_environments)
    return held_over(state_dir, has_effectors=has_effectors, is_replay=is_replay)


def _after(clock: Clock, seconds: float | None) -> int | None:
    """The time on the clock so much later; None for no limit."""
    return None if seconds is None else clock.now_ns() + int(seconds * 1e9)


def _linked(control: SessionControl, service: Service, served: ServiceVerbs) -> None:
    """The status has the service's facts; SIGHUP reloads."""
    control.add_details("service", service.facts)
    service.reload_soon = served.reload_soon


class _Noticing(Protocol):
    def notices(self) -> tuple[str, ...]: ...


def _notices(*parts: _Noticing) -> tuple[str, ...]:
    """Lines for the live view, of every part."""
    return tuple(line for part in parts for line in part.notices())


@contextmanager
def _built(
    config: SageConfig,
    clock: Clock,
    state_dir: Path,
    trace_path: Path | None,
    audit: AuditLog,
    drain: Drain,
    service: Service,
) -> Iterator[Run]:
    """The run, stopped by signals until exit, then closed."""
    run = build_run(config, clock, directory=state_dir / SLEEP_NAME, effect_log=audit)
    drain.attach(run.loop.stop)
    run.loop.control.beat = service.beat
    with signals_handled(drain, on_hangup=service.on_hangup if service.is_managed else None):
        try:
            with traced(run, trace_path) if trace_path is not None else nullcontext():
                yield run
        finally:
            drain.is_closing = True
            _close(run)


def _controlled(
    run: Run, held: tuple[HoldFile, Hold | None], audit: AuditLog, config: SageConfig
) -> SessionControl:
    """The verbs of the control socket; effectors are held from now on where a hold is in force."""
    hold_file, hold = held
    control = SessionControl(run.loop, hold_file, audit, about={"name": config.name, "sage": __version__})
    if hold is not None:
        control.hold(hold)
    return control


def _load_snapshot(run: Run, state_dir: Path, clock: Clock) -> SnapshotKeeper:
    keeper = SnapshotKeeper(state_dir / MIND_NAME, clock, journal_home=state_dir / JOURNAL_NAME)
    log.info("snapshot", outcome=keeper.attach(run.loop))
    return keeper


def _begin_session(store: MetricsStore, config: SageConfig, clock: Clock, run: Run) -> str:
    import torch

    return store.begin_session(
        config=effective(config),
        config_hash=config_hash(config),
        versions={"sage": __version__, "torch": torch.__version__, "python": platform.python_version()},
        hardware={
            "machine": platform.machine(),
            "system": platform.system(),
            "device": "cuda" if torch.cuda.is_available() else "cpu",
        },
        seed=config.seed,
        clock="manual" if isinstance(clock, ManualClock) else "real",
        clock_ns=clock.now_ns(),
        temporal=run.temporal_sources,
    )


def _view(session: str, run: Run, notices: Callable[[], tuple[str, ...]], address: str | None) -> LiveView:
    """address: of the page, "" without one; None: nothing is shown."""
    more = (f"page: {address}",) if address and sys.stdout.isatty() else ()
    view = LiveView(session, is_enabled=address is not None, notices=lambda: (*notices(), *more))
    view.watch(run.hub.snapshot)
    return view


def _feed(
    session: str, run: Run, name: str, notices: Callable[[], tuple[str, ...]], *, has_page: bool
) -> SessionFeed:
    return SessionFeed(
        session,
        about={"name": name, "sage": __version__},
        period_ns=lambda: run.loop.between_ticks.period_ns,
        notices=notices,
        mailboxes=run.hub.snapshot,
        readings=ReadingsFeed(run.loop.layout.specs if has_page else ()),
    )


def _tracked(config: SageConfig, state_dir: Path, session: str) -> SessionTracker:
    """The trackers of the session, each in a thread of its own; files in STATE_DIR/trackers/SESSION."""
    about = {"name": config.name, "config_hash": config_hash(config), "sage": __version__}
    trackers = open_trackers(config.tracking.to, state_dir / TRACKERS_NAME / session, about)
    return SessionTracker(trackers, every_secs=config.tracking.every_secs)


def _observe(run: Run, instruments: Sequence[Instrument], nights: BatchNights) -> None:
    """Optional sensors that are missing are in the log, and with the instruments, since the live view covers
    the log.
    """
    run.loop.observe(*instruments)
    for name, reason in run.missing:
        log.info("optional sensor not available", sensor=name, reason=reason)
        for instrument in instruments:
            instrument.on_event(Event(kind="missing", tick=0, source=name, message=reason))
    nights.take()


def _examine(run: Run, config: SageConfig, summary: SessionSummary, keeper: SnapshotKeeper | None) -> None:
    """The snapshot first: the examination takes seconds, which a service manager may not wait."""
    if keeper is not None:
        keeper.save()
        leave_night(run.loop, keeper)
    examine_session(run, config, summary)


def _opened(run: Run, keeper: SnapshotKeeper | None, hold_file: HoldFile, state_dir: Path) -> BatchNights:
    nights = BatchNights(run.loop, state_dir, keeper)
    hold_file.note_opening()
    try:
        run.open()
    except (SensorError, OSError) as error:
        raise UserError(f"{error}") from error
    if keeper is not None:
        keeper.begin()
    return nights


def _close(run: Run) -> None:
    """An error while closing a device is logged; the summary is printed all the same."""
    try:
        run.close()
    except (SensorError, MailboxError, OSError) as error:
        log.error("closing failed", error=str(error))


@contextmanager
def _drawn(view: LiveView) -> Iterator[LiveView]:
    """Draws until exit; an error of the drawing thread is logged there."""
    view.__enter__()
    try:
        yield view
    finally:
        try:
            view.close()
        except RuntimeError as error:
            log.error("the live view failed; the session was not affected", error=repr(error.__cause__))


def _num_lost(statistics: StoreStatistics) -> int:
    """Reports that are not in the closed store."""
    if statistics.problem:
        log.error("reports were not stored; earlier ones are intact", error=statistics.problem)
    return statistics.num_dropped + statistics.num_unstorable + statistics.num_queued


def _show(
    summary: SessionSummary, ending: Ending, state_dir: Path, attached: Attachments, *, json_output: bool
) -> None:
    if json_output:
        document = to_plain(summary.as_dict() | asdict(ending)) | attached.figures()
        sys.stdout.write(json.dumps(document, allow_nan=False) + "\n")
        return
    from rich.console import Console

    from sage.app.session.summary_text import print_summary

    console = Console()
    print_summary(summary.figures(), console)
    console.print()
    for line in (*_closing_lines(ending, state_dir), *attached.lines()):
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def _closing_lines(ending: Ending, state_dir: Path) -> Iterator[str]:
    yield f"Session {ending.session} ended: {ending.ended_by}. State directory: {state_dir}"
    yield f"Plots: sage report {ending.session} --state-dir {state_dir}"
    if ending.num_reports_lost:
        yield f"{ending.num_reports_lost:,} reports are not in the store."
    if ending.snapshot_problem:
        yield (
            f"The snapshot of this session was not written ({ending.snapshot_problem}): the next run"
            " continues from the previous snapshot."
        )
