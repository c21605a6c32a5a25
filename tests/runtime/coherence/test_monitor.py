"""The monitor of a running loop: windows, threads, surrogates, and what never stops a tick."""

from __future__ import annotations

import dataclasses
import math
import threading
from typing import Any

import numpy as np
import pytest
import torch

from sage.app.config.sage_config import load_config
from sage.hrm_core.model.recurrence import Carry
from sage.runtime.coherence import monitor as monitor_module
from sage.runtime.coherence.measures import first_component, measure
from sage.runtime.coherence.monitor import CoherenceMonitor
from sage.runtime.coherence.rows import CoherenceRow
from sage.runtime.coherence.window import Ticks
from sage.runtime.instruments import Instruments

NUM_SOURCES, NUM_FEATURES = 3, 8


def make_ticks(num: int = 64, *, shared: float = 0.0, seed: int = 0, num_sources: int = 3) -> Ticks:
    """States that share one signal to the extent of `shared`; predictions that halve the error."""
    generator = np.random.default_rng(seed)
    common = generator.standard_normal((num, 1, NUM_FEATURES))
    own = generator.standard_normal((num, num_sources, NUM_FEATURES))
    states = shared * common + (1 - shared) * own
    return Ticks(
        tick=num,
        time_ns=num * 50_000_000,
        rate_hz=20.0,
        states=states,
        present=np.ones((num, num_sources), dtype=bool),
        nis=generator.standard_normal((num, num_sources)) ** 2,
        error=np.full(num, 1.0),
        persistence=np.full(num, 2.0),
        trust=np.full(num_sources, 0.9),
        dims=np.ones(num_sources, dtype=np.int64),
        high=states[:, 0],
        low=states[:, -1],
    )


def by_name(rows: tuple[CoherenceRow, ...]) -> dict[tuple[str, str], CoherenceRow]:
    return {(row.metric, row.modules): row for row in rows}


def test_uncoupled_sources_are_near_chance_and_coupled_ones_are_not() -> None:
    apart, together = (by_name(measure(make_ticks(shared=share))) for share in (0.0, 0.8))
    for key in (("agreement", "sources"), ("rep.cka", "z_H,z_L"), ("info.tc", "sources")):
        assert abs(apart[key].z) < 4, key
        assert together[key].z > 5, key
        assert together[key].value > apart[key].value
    assert together["coherence", "sources"].value == pytest.approx(
        math.sqrt(0.5 * (together["agreement", "sources"].value - together["agreement", "sources"].null_mean)
                  / (1 - together["agreement", "sources"].null_mean))
    )  # fmt: skip
    assert abs(apart["pred.xerr", "sources"].z) < 3


def test_equal_windows_have_equal_rows() -> None:
    assert measure(make_ticks(), num_surrogates=9, seed=3) == measure(make_ticks(), num_surrogates=9, seed=3)


@pytest.mark.parametrize("num_sources", [1, 2])
def test_few_sources_leave_figures_undefined(num_sources: int) -> None:
    rows = by_name(measure(make_ticks(num_sources=num_sources), num_surrogates=9))
    assert math.isnan(rows["agreement", "sources"].value) == (num_sources < 2)
    assert math.isnan(rows["sync.ppc", "sources"].value) == (num_sources < 2)
    assert rows["dim.pr", "z_H"].value > 0


def test_a_window_without_any_variation_is_undefined_and_raises_nothing() -> None:
    still = make_ticks()
    flat = Ticks(
        **{name: getattr(still, name) for name in ("tick", "time_ns", "rate_hz", "present", "trust", "dims")},
        states=np.zeros_like(still.states),
        nis=np.full_like(still.nis, np.nan),
        error=np.zeros(64),
        persistence=np.zeros(64),
        high=np.zeros((64, NUM_FEATURES)),
        low=np.zeros((64, NUM_FEATURES)),
    )
    for row in measure(flat, num_surrogates=9):
        assert math.isnan(row.value) or (row.metric == "agreement" and row.value == 0), row


def test_the_autocorrelation_time_is_in_ticks_of_the_loop_also_where_few_are_collected() -> None:
    states = np.cumsum(np.random.default_rng(0).standard_normal((64, NUM_FEATURES)), axis=0)
    every = dataclasses.replace(make_ticks(), high=states)
    few = dataclasses.replace(every, every_ticks=4)
    one, four = (by_name(measure(ticks, num_surrogates=2))["temporal.ac", "z_H"] for ticks in (every, few))
    assert one.value > 1
    assert four.value == pytest.approx(4 * one.value)


def test_the_first_component_follows_the_largest_variance() -> None:
    signal = np.sin(np.arange(50.0))
    states = np.outer(signal, [0.0, 5.0, 0.0]) + 0.01 * np.random.default_rng(0).standard_normal((50, 3))
    assert np.corrcoef(first_component(states), signal)[0, 1] > 0.99


def add(monitor: CoherenceMonitor, tick: int) -> None:
    generator = np.random.default_rng(tick)
    monitor.collect(
        tick,
        tick * 50_000_000,
        states=generator.standard_normal((NUM_SOURCES, NUM_FEATURES)).astype(np.float32),
        present=np.ones(NUM_SOURCES, dtype=bool),
        nis=np.full(NUM_SOURCES, np.nan),
        trust=np.ones(NUM_SOURCES),
        error=1.0,
        persistence=1.0,
        carry=Carry(
            z_H=torch.from_numpy(generator.standard_normal((1, 5, NUM_FEATURES))).float(),
            z_L=torch.from_numpy(generator.standard_normal((1, 5, NUM_FEATURES))).float(),
        ),
    )


def make_monitor(
    received: list[tuple[CoherenceRow, ...]], *, is_inline: bool, every_ticks: int = 1
) -> CoherenceMonitor:
    return CoherenceMonitor(
        32,
        np.ones(NUM_SOURCES, dtype=np.int64),
        NUM_FEATURES,
        device=torch.device("cpu"),
        on_rows=received.append,
        num_surrogates=9,
        seed=0,
        is_inline=is_inline,
        every_ticks=every_ticks,
    )


def wait_until_taken(monitor: CoherenceMonitor) -> None:
    pause = threading.Event()
    while not monitor._requests.empty():
        pause.wait(0.001)


def test_a_window_that_fails_costs_its_own_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = [MemoryError("too large"), TypeError("not a number")]

    def fails_twice(ticks: Ticks, **settings: Any) -> tuple[CoherenceRow, ...]:
        if measured:
            raise measured.pop()
        return measure(ticks, **settings)

    monkeypatch.setattr(monitor_module, "measure", fails_twice)
    received: list[tuple[CoherenceRow, ...]] = []
    monitor = make_monitor(received, is_inline=False)
    for window in range(3):
        for tick in range(32):
            add(monitor, 32 * window + tick)
        wait_until_taken(monitor)
    monitor.close()
    assert len(received) == 1


def test_closing_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """A window is measured, another waits for it."""
    begun, gate = threading.Event(), threading.Event()

    def hangs(ticks: Ticks, **settings: Any) -> tuple[CoherenceRow, ...]:
        begun.set()
        gate.wait()
        return ()

    monkeypatch.setattr(monitor_module, "measure", hangs)
    monkeypatch.setattr(monitor_module, "CLOSE_SECS", 0.01)
    monitor = make_monitor([], is_inline=False)
    for tick in range(32):
        add(monitor, tick)
    assert begun.wait(10)
    for tick in range(32):
        add(monitor, tick)
    closing = threading.Thread(target=monitor.close, daemon=True)
    closing.start()
    closing.join(10)
    is_closed = not closing.is_alive()
    gate.set()
    assert is_closed


def test_inline_and_in_a_thread_the_rows_are_the_same() -> None:
    results = []
    for is_inline in (True, False):
        received: list[tuple[CoherenceRow, ...]] = []
        monitor = make_monitor(received, is_inline=is_inline)
        for tick in range(1, 33):
            add(monitor, tick)
        monitor.close()
        monitor.close()
        assert len(received) == 1
        assert {row.tick for row in received[0]} == {32}
        results.append([str(row) for row in received[0]])
    assert results[0] == results[1]


def test_one_tick_in_four_is_collected_and_measured_once_a_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """What coherence costs: of 256 ticks 64 are copied, and two windows of 32 are measured."""
    measured: list[Ticks] = []

    def count(ticks: Ticks, **_: object) -> tuple[CoherenceRow, ...]:
        measured.append(ticks)
        return ()

    monkeypatch.setattr(monitor_module, "measure", count)
    monitor = make_monitor([], is_inline=True, every_ticks=4)
    for tick in range(1, 257):
        add(monitor, tick)
    assert [each.tick for each in measured] == [128, 256]
    assert [len(each.states) for each in measured] == [32, 32]
    assert measured[0].rate_hz == pytest.approx(5.0)
    assert measured[0].every_ticks == 4
    shipped = load_config("default").coherence
    assert shipped.window_ticks
    assert shipped.every_ticks == 4


def test_a_window_that_comes_during_a_measurement_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    has_begun, may_go_on = threading.Event(), threading.Event()

    def slow(ticks: Ticks, **_: object) -> tuple[CoherenceRow, ...]:
        has_begun.set()
        assert may_go_on.wait(30)
        return ()

    monkeypatch.setattr(monitor_module, "measure", slow)
    monitor = make_monitor([], is_inline=False)
    for tick in range(32):
        add(monitor, tick)
    assert has_begun.wait(30)
    for tick in range(96):  # one window waits, two are skipped
        add(monitor, tick)
    assert monitor.num_skipped == 2
    may_go_on.set()
    monitor.close()


def test_an_error_of_a_measurement_is_logged_and_the_next_window_is_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    received: list[tuple[CoherenceRow, ...]] = []
    monitor = make_monitor(received, is_inline=True)

    def fails(ticks: Ticks, **_: object) -> tuple[CoherenceRow, ...]:
        raise np.linalg.LinAlgError("no convergence")

    with monkeypatch.context() as patched:
        patched.setattr(monitor_module, "measure", fails)
        for tick in range(32):
            add(monitor, tick)
    assert not received
    for tick in range(32):
        add(monitor, tick)
    assert len(received) == 1


class _Listener:
    def __init__(self) -> None:
        self.rows: list[CoherenceRow] = []

    def on_tick(self, report: object) -> None: ...

    def on_sleep(self, report: object) -> None: ...

    def on_event(self, event: object) -> None: ...

    def on_coherence(self, rows: tuple[CoherenceRow, ...]) -> None:
        self.rows += rows


class _WithoutCoherence:
    def on_tick(self, report: object) -> None: ...

    def on_sleep(self, report: object) -> None: ...

    def on_event(self, event: object) -> None: ...


def test_rows_reach_the_instruments_that_take_them() -> None:
    listener = _Listener()
    instruments = Instruments([_WithoutCoherence(), listener])
    instruments.on_coherence(measure(make_ticks(), num_surrogates=9))
    assert listener.rows
    assert instruments.num_dropped == 0


def test_a_loop_measures_its_windows_and_its_ticks_stay_the_same(settings, start, tmp_path) -> None:
    digests = []
    for window in (0, 32):
        listener = _Listener()
        run = start(
            settings(coherence={"window_ticks": window, "num_surrogates": 9}), instruments=(listener,)
        )
        digests.append([run.loop.tick().facts.digest() for _ in range(70)])
        assert {row.tick for row in listener.rows} == ({32, 64} if window else set())
    assert digests[0] == digests[1]


def test_the_cross_error_of_large_readings_has_the_spread_of_their_surprise(settings, start) -> None:
    """The surprise of a source is chi-squared with one degree of freedom, however many numbers it reads."""
    sensors = [
        {"kind": "synthetic", "name": f"s{index}", "shape": [16], "latent_size": 2, "seed": index}
        for index in range(3)
    ]
    listener, coherence = _Listener(), {"window_ticks": 32, "num_surrogates": 9}
    made = settings(sensors=sensors, practice={"enabled": False}, coherence=coherence)
    start(made, instruments=(listener,)).loop.run(num_ticks=160)
    row = by_name(tuple(row for row in listener.rows if row.tick == 160))["pred.xerr", "sources"]
    assert row.num == 32 * 3
    assert row.null_std == pytest.approx(math.sqrt(2.0 * 3 / 2 / row.num))


@pytest.mark.parametrize("window", [1, 31, -1])
def test_a_window_too_short_is_refused(settings, window: int) -> None:
    with pytest.raises(Exception, match="window_ticks"):
        settings(coherence={"window_ticks": window})
