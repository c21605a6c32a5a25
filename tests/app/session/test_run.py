"""`sage run`: exit codes, one session at a time, signals, kill -9, a full disk."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import structlog

from sage.app.cli.main import invoke
from sage.app.config.state_dir import STORE_NAME, locked
from sage.app.live.view import LiveView
from sage.app.session import snapshot_keeper
from sage.app.session.build import Run
from sage.app.store.metrics_store import MetricsStore
from sage.errors import InputError
from sage.mailbox.shared.memory.census import find_segments
from sage.runtime.loop import Loop
from sage.sensors.contract import SensorError
from sage.sensors.devices.synthetic import SyntheticSensor

CONFIG = """
name: small
tick: {rate_hz: 100, rest_rate_hz: 100, dream_rate_hz: 100}
model: {hidden_size: 16, num_heads: 2, H_cycles: 1, L_cycles: 1}
budget: {segments: 1}
practice: {every_ticks: 8, batch_size: 2}
sleep: {enabled: false}
memory: {num_experiences: 32, num_recall: 32, num_transitions: 128}
sensors:
  - {kind: synthetic, name: one, shape: [2], rate_hz: 100}
  - {kind: synthetic, name: two, shape: [2], rate_hz: 100, seed: 1}
"""


@pytest.fixture(autouse=True)
def _own_logs() -> Iterator[None]:
    """A session redirects log lines; the next test starts with the default."""
    yield
    structlog.reset_defaults()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def sage_run(config: Path, tmp_path: Path) -> Callable[..., int]:
    """`sage run` in this process; returns its exit code."""

    def call(*arguments: str, state: str = "state") -> int:
        return invoke(["run", str(config), "--no-live", "--state-dir", str(tmp_path / state), *arguments])

    return call


def log_lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def snapshot_outcome(text: str) -> str:
    return next(str(line["outcome"]) for line in log_lines(text) if line["event"] == "snapshot")


def test_json_is_one_document_on_stdout_and_logs_and_prints_go_to_stderr(
    sage_run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    opened = SyntheticSensor.open

    def open_and_print(self: SyntheticSensor) -> None:
        print("SDK 3.1 ready")
        opened(self)

    monkeypatch.setattr(SyntheticSensor, "open", open_and_print)
    assert sage_run("--ticks", "20", "--json") == 0
    printed = capsys.readouterr()

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    summary = json.loads(printed.out, parse_constant=refuse)
    assert printed.out.count("\n") == 1
    assert summary["num_ticks"] == 20
    assert summary["ended_by"] == "ticks"
    assert summary["num_reports_lost"] == 0
    assert summary["snapshot_problem"] == ""
    assert snapshot_outcome(printed.err) == "no snapshot found, starting fresh"
    assert "SDK 3.1 ready" in printed.err


def test_a_summary_is_printed_and_the_next_run_continues(sage_run, capsys: pytest.CaptureFixture[str]):
    assert sage_run("--ticks", "30") == 0
    assert "ended: ticks" in capsys.readouterr().out
    assert sage_run("--ticks", "3") == 0
    assert snapshot_outcome(capsys.readouterr().err).startswith("continued from tick 30")


def test_a_second_session_in_one_state_dir_is_refused_with_one_line(sage_run, tmp_path: Path, capsys):
    (tmp_path / "state").mkdir()
    with locked(tmp_path / "state"):
        assert sage_run("--ticks", "3") == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert "another session is running here" in printed.err
    assert sage_run("--ticks", "3") == 0


def test_a_file_that_is_not_a_store_is_refused_with_one_line(sage_run, tmp_path: Path, capsys):
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "store.sqlite").write_text("this is a letter, not a store\n" * 200)
    assert sage_run("--ticks", "3") == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert "store.sqlite" in printed


@pytest.mark.parametrize("fails", ["build", "open"])
def test_a_run_that_cannot_start_leaves_no_session(
    sage_run, config: Path, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch, fails: str
):
    def refuse(_: Run) -> None:
        raise SensorError("two: the device does not open")

    if fails == "build":
        config.write_text(CONFIG.replace("practice: {", "practice: {burn_in_ticks: 16, "))
    else:
        monkeypatch.setattr(Run, "open", refuse)
    assert sage_run("--ticks", "3") == 2
    assert ("practice.burn_in_ticks" if fails == "build" else "two: the device") in capsys.readouterr().err
    with MetricsStore(tmp_path / "state" / STORE_NAME, must_exist=True) as store:
        assert store.sessions() == ()


def test_a_crisis_exits_with_1_and_writes_no_snapshot(sage_run, capsys, monkeypatch: pytest.MonkeyPatch):
    assert sage_run("--ticks", "20") == 0
    tick = Loop.tick

    def poisoned(self: Loop) -> object:
        if self.tick_count == 5:
            next(iter(self.reasoner.model.parameters())).data.fill_(float("nan"))
        return tick(self)

    monkeypatch.setattr(Loop, "tick", poisoned)
    assert sage_run("--ticks", "100") == 1
    printed = capsys.readouterr()
    assert "ended: crisis" in printed.out
    assert "was not written" in printed.out
    monkeypatch.undo()
    assert sage_run("--ticks", "5") == 0
    assert snapshot_outcome(capsys.readouterr().err).startswith("continued from tick 20")


def test_the_last_snapshot_is_written_before_puzzles_are_examined(
    sage_run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The examination takes seconds; a container is killed ten seconds after it was asked to stop."""
    found: list[list[Path]] = []
    monkeypatch.setattr(
        "sage.app.session.run.examine_session",
        lambda *_: found.append(list((tmp_path / "state" / "mind").glob("*/mind.json"))),
    )
    assert sage_run("--ticks", "20") == 0
    assert [len(paths) for paths in found] == [1]


def test_a_full_disk_is_logged_and_the_summary_printed(sage_run, capsys, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(snapshot_keeper, "write_snapshot", refuse)
    assert sage_run("--ticks", "20") == 0
    printed = capsys.readouterr()
    assert "ended: ticks" in printed.out
    assert "No space left" in printed.out
    assert any("snapshot not written" in str(line["event"]) for line in log_lines(printed.err))


def test_no_thread_and_no_signal_handler_is_left(sage_run):
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    threads = set(threading.enumerate())
    assert sage_run("--ticks", "10") == 0
    assert set(threading.enumerate()) <= threads
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_a_live_view_that_fails_costs_no_summary(
    config: Path, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
):
    close = LiveView.close

    def fail(self: LiveView) -> None:
        close(self)
        raise RuntimeError("the live view failed") from OSError("terminal gone")

    monkeypatch.setattr(LiveView, "close", fail)
    assert invoke(["run", str(config), "--ticks", "5", "--state-dir", str(tmp_path / "state")]) == 0
    printed = capsys.readouterr()
    assert "ended: ticks" in printed.out
    assert "terminal gone" in printed.err


def without_a_last_snapshot(keeper: snapshot_keeper.SnapshotKeeper) -> None:
    if keeper._writing is not None:
        keeper._writing.join()
    keeper._journal.close()


def test_snapshots_are_written_while_the_loop_runs(sage_run, capsys, monkeypatch: pytest.MonkeyPatch):
    """As after a kill -9: without the snapshot at the end, the periodic one is loaded."""
    monkeypatch.setitem(snapshot_keeper.SnapshotKeeper.__init__.__kwdefaults__, "every_secs", 0.1)
    monkeypatch.setattr(snapshot_keeper.SnapshotKeeper, "close", without_a_last_snapshot)
    assert sage_run("--seconds", "1") == 0
    assert sage_run("--ticks", "3") == 0
    assert "continued from tick" in capsys.readouterr().err


def test_two_fast_runs_are_identical(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    monkeypatch.setenv("SAGE_DATA", str(recordings))
    small = [
        word
        for override in (
            "model.hidden_size=16",
            "model.num_heads=2",
            "practice.every_ticks=16",
            "practice.batch_size=2",
        )
        for word in ("--set", override)
    ]
    for _ in range(2):
        arguments = [
            "run",
            "xio",
            "--fast",
            "--ticks",
            "200",
            "--json",
            "--state-dir",
            str(tmp_path / "state"),
            *small,
        ]
        assert invoke(arguments) == 0
    one, other = (json.loads(line)["session"] for line in capsys.readouterr().out.splitlines())
    with MetricsStore(tmp_path / "state" / "store.sqlite", must_exist=True) as store:
        assert [session.num_ticks for session in store.sessions()] == [200, 200]
        assert store.first_difference(one, other) is None
    assert not (tmp_path / "state" / "mind").exists()


def test_a_missing_optional_sensor_is_in_the_session_as_an_event(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "run.yaml"
    config.write_text(
        "sensors:\n  - {kind: clock}\n  - {kind: host, name: heat, read: [temperature], sysfs_root:"
        f" {tmp_path}, optional: true, enabled: true}}\n"
    )
    assert (
        invoke(
            [
                "run",
                str(config),
                "--ticks",
                "3",
                "--no-live",
                "--json",
                "--state-dir",
                str(tmp_path / "state"),
            ]
        )
        == 0
    )
    assert json.loads(capsys.readouterr().out)["num_events"]["missing"] == 1
    with MetricsStore(tmp_path / "state" / STORE_NAME, must_exist=True) as store:
        (event,) = [event for event in store.events(store.session().id) if event.kind == "missing"]
    assert event.source == "heat"
    assert "no temperature sensor" in event.message


@pytest.mark.parametrize("driver", ["inline", "thread"])
def test_a_device_that_its_configuration_cannot_open_ends_the_run_with_one_line(
    config: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    driver: str,
) -> None:
    def refuse(self: SyntheticSensor) -> None:
        raise InputError("port is 7: give 1 to 4")

    monkeypatch.setattr(SyntheticSensor, "open", refuse)
    arguments = ["run", str(config), "--seconds", "60", "--no-live", "--state-dir", str(tmp_path / "state")]
    assert (
        invoke([*arguments, "--set", "sensors.two.enabled=false", "--set", f"sensors.one.driver={driver}"])
        == 2
    )
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("sage:")]
    assert lines == ["sage: one: port is 7: give 1 to 4"]


LAUNCH = """
import sys, threading
from sage.app.session import snapshot_keeper
from sage.app.session.build import Run
from sage.runtime.loop import Loop
from sage.sensors.contract import SensorError
from sage.app.cli.main import main

every_secs, num_ticks = float(sys.argv.pop(1)), int(sys.argv.pop(1))
snapshot_keeper.SnapshotKeeper.__init__.__kwdefaults__["every_secs"] = every_secs
tick, write = Loop.tick, snapshot_keeper.write_snapshot

def ticked(self):
    report = tick(self)
    if self.tick_count == num_ticks:
        print("ticked", file=sys.stderr, flush=True)
    return report

def written(*arguments):
    write(*arguments)
    print("snapshot written", file=sys.stderr, flush=True)

Loop.tick, snapshot_keeper.write_snapshot = ticked, written
main()
"""


@pytest.fixture
def launch(config: Path, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """`sage run --json` in a process that prints on stderr after tick 20 and after each snapshot."""
    started: list[subprocess.Popen[str]] = []

    def begin(every_secs: float = 600, prefix: Sequence[str] = ()) -> subprocess.Popen[str]:
        arguments = ["run", str(config), "--json", "--state-dir", str(tmp_path / "state")]
        process = subprocess.Popen(
            [*prefix, sys.executable, "-c", LAUNCH, str(every_secs), "20", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def await_line(process: subprocess.Popen[str], expected: str) -> list[str]:
    """Reads stderr up to the line `expected`; fails when the process ends before it."""
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if line.strip() == expected:
            return lines
    raise AssertionError("".join(lines))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_after_the_tick_with_summary_and_snapshot(
    launch, sage_run, tmp_path: Path, capsys, number: signal.Signals
):
    process = launch()
    await_line(process, "ticked")
    process.send_signal(number)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    summary = json.loads(out)
    # A hang-up is handled as SIGTERM.
    ended_by = signal.SIGTERM if number is signal.SIGHUP else number
    assert summary["ended_by"] == f"signal {ended_by.name}"
    with MetricsStore(tmp_path / "state" / STORE_NAME, must_exist=True) as store:
        assert store.session().ended_ns is not None
    assert "snapshot written" in err.splitlines()
    assert sage_run("--ticks", "3") == 0
    assert snapshot_outcome(capsys.readouterr().err).startswith(
        f"continued from tick {summary['num_ticks']},"
    )


def test_under_nohup_a_hang_up_changes_nothing(launch):
    process = launch(prefix=["nohup"])
    await_line(process, "ticked")
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert json.loads(out)["ended_by"] == "signal SIGINT"


def test_kill_9_loses_what_came_after_the_last_snapshot_and_nothing_else(
    launch, sage_run, tmp_path: Path, capsys
):
    process = launch(every_secs=0.2)
    await_line(process, "snapshot written")
    process.kill()
    process.communicate(timeout=120)
    assert sage_run("--ticks", "5") == 0
    assert snapshot_outcome(capsys.readouterr().err).startswith("continued from tick")
    with MetricsStore(tmp_path / "state" / "store.sqlite", must_exist=True) as store:
        killed, after = store.sessions()
        assert killed.ended_ns is None
        assert after.ended_ns is not None
        assert after.num_ticks == 5


def test_a_session_of_another_process_is_refused(launch, sage_run, capsys):
    process = launch()
    await_line(process, "ticked")
    assert sage_run("--ticks", "3") == 2
    assert "another session is running here" in capsys.readouterr().err


def test_a_trace_has_the_write_wait_and_read_of_each_message(sage_run, tmp_path: Path, capsys):
    path = tmp_path / "trace.json"
    assert sage_run("--ticks", "20", "--trace", str(path)) == 0
    events = json.loads(path.read_text())["traceEvents"]
    processes = {event["args"]["name"] for event in events if event["name"] == "process_name"}
    assert processes == {"loop", "one", "two"}
    messages = [event for event in events if event.get("cat") == "mailbox"]
    assert {event["name"] for event in messages} == {"write", "wait", "read"}
    ticks = [event for event in events if event["name"] == "tick"]
    assert [event["args"]["tick"] for event in ticks] == list(range(1, 21))
    # On one time axis: a message is read in a tick.
    first, last = ticks[0]["ts"], ticks[-1]["ts"] + ticks[-1]["dur"]
    assert all(first <= event["ts"] <= last for event in messages if event["name"] == "read")


def test_a_trace_that_cannot_be_written_is_refused_at_once(sage_run, tmp_path: Path, capsys):
    assert sage_run("--ticks", "20", "--trace", str(tmp_path / "absent" / "trace.json")) == 2
    assert "--trace" in capsys.readouterr().err


def test_isolated_sensors_run_and_leave_nothing_behind(sage_run, config: Path, capsys):
    config.write_text(CONFIG.replace("seed: 1}", "seed: 1, isolate: true}"))
    before = {found.name for found in find_segments()}
    assert sage_run("--seconds", "6", "--json") == 0
    faults = {
        source["name"]: source["num_faults"] for source in json.loads(capsys.readouterr().out)["sources"]
    }
    assert faults == {"one": 0, "two": 0}
    assert {found.name for found in find_segments() if f"{os.getpid()}-" in found.name} <= before
