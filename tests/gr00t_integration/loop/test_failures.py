"""Every failure of a policy server: the loop ticks on, the arm stops at the end of the last good chunk."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import websockets.sync.server
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sage.gr00t_integration.dialects import DIALECTS, dialect_named
from sage.gr00t_integration.embodiment import Embodiment
from sage.gr00t_integration.openpi_form import actions_to_reply, observation_of
from sage.gr00t_integration.server.policies import ScriptedPolicy
from sage.gr00t_integration.server.service import PolicyService, ServiceOptions
from sage.gr00t_integration.wire import codec, openpi_codec

NUM_TICKS = 30


class Switch:
    """Answers as a good server does until `fault` is set, then with the bytes that it returns."""

    def __init__(self, embodiment: Embodiment, fault: Callable[[], bytes]) -> None:
        self.service = PolicyService(
            ScriptedPolicy(embodiment, target=(0.9, -0.9)),
            embodiment,
            dialect_named("n1.7"),
            ServiceOptions(),
        )
        self.fault = fault
        self.is_broken = False

    def __call__(self, data: bytes) -> bytes:
        if self.is_broken and b"get_action" in data:
            return self.fault()
        return self.service.answer(data)


def stops_safely(rig: Any, after: Callable[[], None], *, said: str, waits: bool = True) -> None:
    """Ticks with a good server, then with what `after` makes of it."""
    rig.tick(10)
    assert rig.moves() >= 5
    after()
    num_moves = rig.moves()
    rig.tick(NUM_TICKS, waits=waits)
    assert len(rig.reports) == rig.loop.tick_count == 10 + NUM_TICKS
    # The chunk that it had has 8 steps at most; then nothing.
    assert rig.moves() - num_moves <= 8
    assert all(not report.facts.actions for report in rig.reports[-5:])
    assert said in rig.last_error or not said
    positions = np.array([each.done.values for each in rig.arm.actions])
    assert (np.abs(positions) <= 1).all()


def test_with_a_good_server_the_arm_moves_to_the_target(rig: Any, serve: Any, tiny: Embodiment) -> None:
    one = rig(serve(tiny, policy=ScriptedPolicy(tiny, target=(0.9, -0.9))).address)
    one.tick(60)
    assert one.status == "running"
    assert np.allclose(one.position(), (0.9, -0.9), atol=0.1)
    last = one.reports[-1].facts.actions[0]
    assert (last.effector, last.decision, last.is_held) == ("groot_relay", "allow", False)
    ages = [report.facts.sources[2].age_ns for report in one.reports[-10:]]
    assert all(age > 0 for age in ages)


@pytest.mark.parametrize("dialect", list(DIALECTS))
def test_every_dialect_moves_the_arm(dialect: str, rig: Any, serve: Any, tiny: Embodiment) -> None:
    one = rig(serve(tiny, dialect).address)
    one.tick(12)
    assert one.moves() >= 5


def test_dead(rig: Any, serve: Any, tiny: Embodiment) -> None:
    server = serve(tiny)
    one = rig(server.address, timeout_secs=0.3)
    stops_safely(one, server.stop, said="no answer within 0.3 s")


def test_never_there(rig: Any) -> None:
    one = rig("tcp://127.0.0.1:9", timeout_secs=0.1)
    one.tick(NUM_TICKS)
    assert one.loop.tick_count == NUM_TICKS
    assert one.moves() == 0
    assert "no answer" in one.last_error


def test_slow(rig: Any, serve: Any, tiny: Embodiment) -> None:
    release = threading.Event()

    def wait() -> bytes:
        release.wait(60)
        return b"\xc0"

    switch = Switch(tiny, wait)
    one = rig(serve(answer=switch).address, timeout_secs=60)
    try:
        stops_safely(one, lambda: setattr(switch, "is_broken", True), said="", waits=False)
        worker = one.sensor.worker
        assert worker.is_busy
        # Of all requests since then only the latest waits.
        assert worker.num_replaced > 5
    finally:
        release.set()


def replies(tiny_actions: Any) -> bytes:
    return codec.pack([tiny_actions, {}])


GOOD = np.zeros((1, 8, 2), dtype=np.float32)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (lambda: b"\xc1\xff\x00 garbage", "not msgpack"),
        (lambda: b"ERROR", "answered ERROR"),
        (lambda: codec.pack({"error": ""}), "an error without a text"),
        (lambda: codec.pack({"error": "CUDA out of memory"}), "CUDA out of memory"),
        (lambda: replies({"arm": GOOD[:, :4]}), "shape (1, 4, 2), not (1, 8, 2)"),
        (lambda: replies({"arm": GOOD[..., :1]}), "shape (1, 8, 1)"),
        (lambda: replies({"leg": GOOD}), "action.arm: missing"),
        (lambda: replies({"arm": GOOD * np.nan}), "NaN or infinity"),
        (lambda: replies({"arm": GOOD.astype(np.float64) + 1e300}), "NaN or infinity"),
        (lambda: replies({"arm": GOOD.astype(np.int32)}), "floating-point"),
        (lambda: pickle.dumps([1.0]), "CVE-2026-25874"),
    ],
    ids=["garbage", "raw", "empty", "error", "short", "narrow", "names", "nan", "huge", "integers", "pickle"],
)
def test_an_answer_that_cannot_be_used(
    fault: Callable[[], bytes], said: str, rig: Any, serve: Any, tiny: Embodiment
) -> None:
    switch = Switch(tiny, fault)
    one = rig(serve(answer=switch).address)
    stops_safely(one, lambda: setattr(switch, "is_broken", True), said=said)
    num_moves = one.moves()
    switch.is_broken = False
    one.tick(80)
    assert one.status == "running"
    assert one.moves() > num_moves


def test_restarted_in_mid_chunk(rig: Any, serve: Any, tiny: Embodiment) -> None:
    """The chunk ends, then the arm is held; the new server, of another dialect, is found."""
    first = serve(tiny, "n1.5")
    one = rig(first.address, timeout_secs=0.3)
    stops_safely(one, first.stop, said="no answer")
    num_moves = one.moves()
    serve(tiny, "n1.7", address=first.address)
    one.tick(80)
    assert one.status == "running"
    assert one.moves() > num_moves


def test_another_embodiment_moves_nothing(rig: Any, serve: Any, so100: Embodiment) -> None:
    one = rig(serve(so100).address)
    one.tick(NUM_TICKS)
    assert one.moves() == 0
    assert "not the embodiment tiny" in one.last_error


def test_a_denied_effect_moves_nothing_and_resumes_with_a_later_chunk(
    rig: Any, serve: Any, tiny: Embodiment
) -> None:
    one = rig(serve(tiny).address, rules=[])
    one.tick(NUM_TICKS)
    assert one.moves() == 0
    denied = [fact for report in one.reports for fact in report.facts.actions]
    assert {(fact.decision, fact.is_held) for fact in denied} == {("deny", True)}


def test_a_stop_drops_the_chunk_in_progress(rig: Any, serve: Any, tiny: Embodiment) -> None:
    release = threading.Event()
    switch = Switch(tiny, lambda: codec.pack({"error": str(release.wait(60))}))
    one = rig(serve(answer=switch).address, timeout_secs=60)
    try:
        one.tick(6)
        switch.is_broken = True
        one.tick(1, waits=False)
        num_moves = one.moves()
        assert num_moves > 1
        one.loop.effector_gate.stop("test")
        gate = one.loop.effector_gate
        assert gate.release(gate.num_stops)
        one.tick(5, waits=False)
        assert one.moves() == num_moves
    finally:
        release.set()


class Late(Switch):
    """Answers a request for an action only after `release`, once it is broken; `asked` is set meanwhile."""

    def __init__(self, embodiment: Embodiment) -> None:
        super().__init__(embodiment, lambda: b"")
        self.asked, self.release = threading.Event(), threading.Event()

    def __call__(self, data: bytes) -> bytes:
        if self.is_broken and b"get_action" in data:
            self.asked.set()
            self.release.wait(60)
        return self.service.answer(data)

    def arrives(self) -> None:
        self.is_broken = False
        self.release.set()


def test_an_answer_that_was_asked_for_before_a_stop_moves_nothing_after_its_release(
    rig: Any, serve: Any, tiny: Embodiment
) -> None:
    """The observation was of the arm before the stop; somebody may have moved it by then."""
    late = Late(tiny)
    one = rig(serve(answer=late).address, timeout_secs=60)
    try:
        one.tick(6)
        late.is_broken = True
        one.tick(1, waits=False)
        assert late.asked.wait(20)
        one.loop.effector_gate.stop("test")
        gate = one.loop.effector_gate
        assert gate.release(gate.num_stops)
        num_moves = one.moves()
        late.arrives()
        one.tick(1)
        assert one.moves() == num_moves
        one.tick(5)
        assert one.moves() > num_moves
    finally:
        late.release.set()


@pytest.mark.parametrize("how", ["stop", "pause"])
def test_an_observation_made_during_a_stop_moves_nothing_after_it(
    how: str, rig: Any, serve: Any, tiny: Embodiment
) -> None:
    one = rig(serve(tiny).address)
    one.tick(6)
    gate = one.loop.effector_gate
    if how == "stop":
        gate.stop("test")
        one.tick(4)  # policies are asked meanwhile
        assert gate.release(gate.num_stops)
    else:
        one.loop.control.pause()
        one.loop.control.resume()
    num_moves = one.moves()
    one.tick(1)
    assert one.moves() == num_moves
    one.tick(5)
    assert one.moves() > num_moves


def test_after_an_idle_tick_the_answer_on_its_way_is_executed(rig: Any, serve: Any, tiny: Embodiment) -> None:
    """A chunk has ended before the next one arrived: nothing was stopped."""
    late = Late(tiny)
    one = rig(serve(answer=late).address, timeout_secs=60, relay={"align": "received"})
    try:
        one.tick(6)
        late.is_broken = True
        one.tick(1, waits=False)
        assert late.asked.wait(20)
        one.tick(12, waits=False)
        num_moves = one.moves()
        one.tick(2, waits=False)
        assert one.moves() == num_moves  # idle
        late.arrives()
        one.tick(2)
        assert one.moves() > num_moves
    finally:
        late.release.set()


class DecisionLog:
    """An audit log in memory."""

    def __init__(self) -> None:
        self.decisions: list[Any] = []

    def decided(self, decisions: Any) -> str:
        self.decisions += decisions
        return ""

    def ended(self, outcome: Any) -> None: ...


class Erratic(ScriptedPolicy):
    """Random chunks, of any size; some not finite."""

    def __init__(self, embodiment: Embodiment, seed: int, scale: float) -> None:
        super().__init__(embodiment)
        self._random = np.random.default_rng(seed)
        self._scale = scale

    def act(self, observation: Any) -> dict[str, np.ndarray]:
        values = self._random.normal(0, self._scale, (1, 8, 2)).astype(np.float32)
        if self._random.random() < 0.2:
            values[0, self._random.integers(8)] = self._random.choice([np.nan, np.inf])
        return {"arm": values}


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 1000), scale=st.sampled_from([0.1, 1.0, 1e6]), trust=st.sampled_from([0.0, 0.9]))
def test_no_action_reaches_the_arm_without_a_decision(
    seed: int, scale: float, trust: float, rig: Any, serve: Any, tiny: Embodiment
) -> None:
    log = DecisionLog()
    rule = {"decision": "allow", "effect": "motion", "target": "arm", "role": "relay", "min_trust": trust}
    one = rig(serve(tiny, policy=Erratic(tiny, seed, scale)).address, rules=[rule], log=log)
    one.tick(25)
    approved = [each for each in log.decisions if each.verdict == "allow"]
    assert {each.role for each in log.decisions} <= {"relay"}
    assert len(one.arm.actions) <= len(approved)
    wanted = [np.clip(each.values, -1, 1) for each in approved]
    for action in one.arm.actions:
        assert np.isfinite(action.done.values).all()
        assert (np.abs(action.done.values) <= 1).all()
        assert any(np.allclose(action.requested, each) for each in wanted)


class OpenpiSwitch:
    """An openpi server that is good until `frames` is set, then answers with these frames."""

    def __init__(self, embodiment: Embodiment) -> None:
        self.frames: list[bytes | str] = []
        self._embodiment = embodiment
        self._policy = ScriptedPolicy(embodiment, target=(0.9, -0.9))
        self.server = websockets.sync.server.serve(self._serve, "127.0.0.1", 0)
        self.address = f"ws://127.0.0.1:{self.server.socket.getsockname()[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def good(self, message: Any) -> bytes:
        observation = observation_of(self._embodiment, openpi_codec.unpack(message))
        return openpi_codec.pack(actions_to_reply(self._embodiment, self._policy.act(observation)))

    def _serve(self, connection: Any) -> None:
        connection.send(openpi_codec.pack({"policy": "test"}))
        for message in connection:
            for frame in self.frames or [self.good(message)]:
                connection.send(frame)


@pytest.fixture
def switch(tiny: Embodiment) -> Iterator[OpenpiSwitch]:
    made = OpenpiSwitch(tiny)
    yield made
    made.server.shutdown()


@pytest.mark.parametrize(
    ("frames", "said"),
    [
        (["Traceback\nRuntimeError: CUDA error"], "RuntimeError: CUDA error"),
        ([""], "an error without a text"),
        (["reset successful", "failed"], "failed"),
        ([openpi_codec.pack({"actions": GOOD[0] * np.nan})], "NaN"),
        ([b"\xc1"], "not msgpack"),
    ],
    ids=["text", "empty", "acknowledgement", "nan", "garbage"],
)
def test_a_frame_that_is_no_answer(
    frames: list[bytes | str], said: str, rig: Any, switch: OpenpiSwitch
) -> None:
    one = rig(switch.address)
    stops_safely(one, lambda: setattr(switch, "frames", frames), said=said)


def test_a_stale_acknowledgement_before_an_answer_is_skipped(rig: Any, switch: OpenpiSwitch) -> None:
    one = rig(switch.address)
    one.tick(5)
    num_moves = one.moves()
    switch.frames = ["reset successful", openpi_codec.pack({"actions": GOOD[0] + 0.5})]
    one.tick(20)
    assert one.status == "running"
    assert one.moves() >= num_moves + 15
    assert np.allclose(one.position(), 0.5)
