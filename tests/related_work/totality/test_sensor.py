"""Canvases as readings, and actions as schemes, in one run's store or over a service that may fail."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from sage.mailbox.clock import ManualClock
from sage.related_work.totality.connection import TotalityPlace, open_totality
from sage.related_work.totality.content import Canvas, Provenance, Scheme, Slot
from sage.related_work.totality.effector import TotalityEffector, TotalityEffectorConfig
from sage.related_work.totality.encoding import encode, encode_canvases
from sage.related_work.totality.errors import NotDurable
from sage.related_work.totality.messages import ImagineRequest, OpCall, SchemeDraft, WriteRequest
from sage.related_work.totality.read_query import ReadQuery
from sage.related_work.totality.sensor import TotalitySensor, TotalitySensorConfig
from sage.related_work.totality.store import TotalityStore
from sage.sensors.contract import SensorContext, SensorError, SensorUnavailable
from sage.sensors.testing.conformance import check_sensor
from sage.sensors.testing.effector_conformance import check_effector

CALM = (0.0, -1.0, 0.0)
ALARMED = (-1.0, 1.0, -1.0)


@pytest.fixture
def context(clock: ManualClock) -> SensorContext:
    return SensorContext(clock=clock, epoch_ns=clock.now_ns())


def canvas(*values: object) -> Canvas:
    entities = tuple(
        Scheme(id=f"e{at}", label="thing", slots=(Slot(name="v", value=value),), activation=0.5)
        for at, value in enumerate(values)
    )
    provenance = Provenance(created_by="test", created_at="")
    return Canvas(id="c", entities=entities, provenance=provenance)


def test_equal_canvases_have_equal_vectors_and_others_differ() -> None:
    one = encode(canvas("red", 1.0), 16)
    assert one.shape == (16,)
    assert np.linalg.norm(one) == pytest.approx(1.0)
    np.testing.assert_array_equal(one, encode(canvas("red", 1.0), 16))
    assert not np.allclose(one, encode(canvas("blue", 1.0), 16))
    assert not np.allclose(one, encode(canvas("red", -1.0), 16))
    assert not encode(canvas(), 16).any()


def test_similar_canvases_have_similar_vectors() -> None:
    base = encode(canvas("a", "b", "c", "d"), 256)
    near, far = encode(canvas("a", "b", "c", "x"), 256), encode(canvas("w", "x", "y", "z"), 256)
    assert base.dot(near) > base.dot(far)


def test_a_row_is_as_long_as_the_canvas_is_active() -> None:
    rows = encode_canvases([(canvas("a"), 0.25)], 3, 8)
    assert np.linalg.norm(rows[0]) == pytest.approx(0.25, abs=1e-6)
    assert not rows[1:].any()


def test_the_most_active_canvases_are_read_once_a_period(context: SensorContext, clock: ManualClock) -> None:
    sensor = TotalitySensor(TotalitySensorConfig(num_canvases=2, size=8), context)
    effector = TotalityEffector(TotalityEffectorConfig(size=5), context)
    assert sensor.spec.modality == "cognitive"
    sensor.open()
    effector.open()
    out = np.full((2, 8), 9.0, np.float32)
    assert sensor.read_into(out) is None
    for value in (-0.5, 0.5):
        action = effector.apply(np.array([*ALARMED, value, 0.1], np.float32), clock.now_ns())
        assert not action.is_held
    with open_totality(TotalityPlace(), context) as shared:
        store = shared.value.totality
        store.imagine(ImagineRequest(ops=(OpCall(op="vary_slot"),), count=3, seed=0))
        best = store.read(ReadQuery(scope="canvases", order="activation", limit=2))
        assert len(best.canvases) == 2
        assert sensor.read_into(out) is None
        clock.advance(sensor.spec.period_ns)
        reading = sensor.read_into(out)
        expected = [(each, store.read(ReadQuery(limit=10)).activations[each.id]) for each in best.canvases]
    assert reading is not None
    assert (reading.sequence, reading.captured_ns) == (0, clock.now_ns())
    np.testing.assert_allclose(out, encode_canvases(expected, 2, 8))
    mean = float(np.mean([activation for _, activation in expected]))
    assert isinstance(store, TotalityStore)
    assert store.endings.counts["solved"] == 1
    assert reading.confidence == pytest.approx(mean * store.endings.trust)
    assert sensor.read_into(out) is None
    sensor.close()
    effector.close()
    assert context.connections.num_open == 0


def test_imagination_spends_the_segments_that_it_is_given(context: SensorContext, clock: ManualClock) -> None:
    config = TotalitySensorConfig(
        name="i", imagine=[{"op": "vary_slot"}] * 2, imagine_count=2, imagine_gain=1
    )
    sensor = TotalitySensor(config, context)
    assert context.work.posted() == ()
    sensor.open()
    ((name, work),) = context.work.posted()
    assert (name, work.num_next(clock.now_ns()), work.gain) == ("i.imagine", 2, 0.5)
    assert np.isnan(work.trust)
    empty = work.work(8)
    assert (empty.num_segments, empty.num_made, empty.outcome) == (0, 0, "no_solution")
    assert work.num_next(clock.now_ns()) == 0  # the round has ended
    with open_totality(TotalityPlace(), context) as shared:
        store = shared.value.totality
        slot = Slot(name="v", value=1.0)
        store.write(WriteRequest(schemes=(SchemeDraft(label="cup", slots=(slot,), activation=0.5),)))
        clock.advance(10**9)
        for num_left in (2, 2):
            assert work.num_next(clock.now_ns()) == num_left
            made = work.work(2)
            assert (made.num_segments, made.num_made, made.outcome) == (2, 1, "solved")
        assert work.num_next(clock.now_ns()) == 0
        assert 0 < work.trust < 1
        assert work.gain == work.trust / 2
        assert len(store.read(ReadQuery(scope="canvases")).canvases) == 2
        clock.advance(10**9)
        assert work.num_next(clock.now_ns()) == 2
        short = work.work(1)
        assert (short.num_segments, short.num_made, short.outcome) == (0, 0, "budget")
    sensor.close()
    assert context.work.posted() == ()
    with pytest.raises(SensorUnavailable, match="op dance: unknown"):
        TotalitySensor(TotalitySensorConfig(imagine=[{"op": "dance"}]), context).open()
    assert context.connections.num_open == 0
    with pytest.raises(ValidationError, match="remove url"):
        TotalitySensorConfig(imagine=[{"op": "vary_slot"}], url="http://127.0.0.1:9")


def test_an_action_becomes_a_scheme_where_the_gate_is_open(
    context: SensorContext, clock: ManualClock
) -> None:
    effector = TotalityEffector(TotalityEffectorConfig(size=5, trust=0.5), context)
    effector.open()
    with open_totality(TotalityPlace(), context) as shared:
        store = shared.value.totality
        held = effector.apply(np.array([*CALM, 0.25, -0.5], np.float32), clock.now_ns())
        assert held.is_held
        assert store.read(ReadQuery()).schemes == ()
        done = effector.apply(np.array([*ALARMED, 0.25, -0.5], np.float32), clock.now_ns())
        (scheme,) = store.read(ReadQuery()).schemes
    assert not done.is_held
    assert (scheme.label, [slot.value for slot in scheme.slots]) == ("episode", [0.2, -0.5])
    assert {slot.binding for slot in scheme.slots} == {"inferred"}
    effector.abort()
    assert effector.apply(np.array([*ALARMED, 1.0, 1.0], np.float32), clock.now_ns()).is_held
    effector.close()


@pytest.mark.parametrize("is_kept", [False, True])
def test_a_store_stays_the_same_after_a_request_that_failed(
    is_kept: bool, context: SensorContext, clock: ManualClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In memory another one would be empty, and a folder is in use."""
    store = tmp_path / "store" if is_kept else None
    effector = TotalityEffector(TotalityEffectorConfig(size=5, store=store), context)
    effector.open()
    values = np.array([*ALARMED, 0.5, 0.1], np.float32)
    effector.apply(values, clock.now_ns())
    assert effector._shared is not None
    totality = effector._shared.value.totality

    def refuse(request: object) -> object:
        raise NotDurable("applied, but not on the disk in 5 s")

    with monkeypatch.context() as patch:
        patch.setattr(totality, "write", refuse)
        with pytest.raises(SensorError, match="not on the disk"):
            effector.apply(values, clock.now_ns())
    effector.open()
    with open_totality(TotalityPlace(store=store), context) as shared:
        assert shared.value.totality is totality
    effector.apply(values, clock.now_ns())
    effector.close()


def test_a_service_that_does_not_answer_is_a_fault(context: SensorContext, clock: ManualClock) -> None:
    place = {"url": "http://127.0.0.1:9", "request_secs": 0.2}
    sensor = TotalitySensor(TotalitySensorConfig(**place), context)
    assert not sensor.spec.is_bounded
    sensor.open()
    with pytest.raises(SensorError, match="no answer"):
        sensor.read_into(np.zeros((4, 16), np.float32))
    sensor.close()
    effector = TotalityEffector(TotalityEffectorConfig(**place), context)
    effector.open()
    with pytest.raises(SensorError, match="no answer"):
        effector.apply(np.array([*ALARMED, 0, 0, 0, 0, 0], np.float32), clock.now_ns())
    effector.close()


def test_what_cannot_be_opened_is_said(context: SensorContext) -> None:
    sensor = TotalitySensor(TotalitySensorConfig(url="http://x", token_file="/nowhere/token"), context)
    with pytest.raises(SensorUnavailable, match="/nowhere/token"):
        sensor.open()
    for wrong in ({"store": "a", "url": "http://x"}, {"token_file": "a"}, {"isolate": True}):
        with pytest.raises((ValidationError, ValueError)):
            TotalitySensorConfig(**wrong)


def test_both_pass_the_conformance_kits(context: SensorContext, clock: ManualClock) -> None:
    effector = TotalityEffector(TotalityEffectorConfig(size=5), context)
    effector.open()
    for value in (-0.5, 0.5):
        effector.apply(np.array([*ALARMED, value, 0.1], np.float32), clock.now_ns())
    with open_totality(TotalityPlace(), context) as shared:
        shared.value.totality.imagine(ImagineRequest(ops=(OpCall(op="vary_slot"),), count=3, seed=0))
        for result in check_sensor(lambda: TotalitySensor(TotalitySensorConfig(), context), clock=clock):
            assert result.is_ok, result
    effector.close()
    make = lambda: TotalityEffector(TotalityEffectorConfig(size=5), context)  # noqa: E731
    for result in check_effector(make, clock=clock):
        assert result.is_ok, result
