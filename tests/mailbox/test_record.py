import math

import numpy as np
import pytest

from sage.mailbox.record import (
    EMPTY,
    MAX_SAMPLE,
    NOT_FINITE,
    RECORD,
    RECORD_SIZES,
    SATURATED,
    SUBSAMPLED,
    SUMMARY,
    pack_message,
    record_dtype,
    summarize,
    unpack_message,
)


def _summary(array: np.ndarray, **options: float) -> np.void:
    record = np.zeros((), dtype=RECORD)
    summarize(record, array, producer=3, sequence=2**40, stamp_ns=-5, **options)
    return record.view(SUMMARY)[()]


def test_the_header_is_64_bytes_at_fixed_offsets():
    offsets = {name: RECORD.fields[name][1] for name in RECORD.names}
    assert offsets == {
        "sequence": 0, "producer": 8, "kind": 12, "stamp_ns": 16, "length": 24, "generation": 28,
        "focus_slot": 32, "focus_generation": 36, "trust": 40, "quality": 44, "reserved": 48, "payload": 64,
    }  # fmt: skip
    assert RECORD.itemsize == SUMMARY.itemsize == 256
    assert record_dtype(128).itemsize == 128
    with pytest.raises(ValueError, match="record_bytes is 100"):
        record_dtype(100)


@pytest.mark.parametrize("record_bytes", RECORD_SIZES)
def test_copies_of_records_are_whole(record_bytes):
    bits = np.arange(2 * record_bytes, dtype=np.uint8)
    records = bits.view(record_dtype(record_bytes))
    assert np.concatenate([records, records[1:]]).tobytes() == bits.tobytes() + bits[record_bytes:].tobytes()
    assert records[1].copy().tobytes() == bits[record_bytes:].tobytes()


def test_a_summary_describes_the_tensor():
    values = np.array([1.0, 2.0, 3.0, 6.0], dtype=np.float32)
    summary = _summary(values, trust=0.5, confidence=0.25, noise_std=0.1, slot=2, generation=9)
    assert (summary["producer"], summary["sequence"], summary["stamp_ns"], summary["kind"]) == (
        3,
        2**40,
        -5,
        1,
    )
    assert (summary["mean"], summary["min"], summary["max"], summary["length"]) == (3.0, 1.0, 6.0, 92)
    assert summary["std"] == pytest.approx(values.std())
    assert (summary["focus_slot"], summary["focus_generation"], summary["flags"]) == (2, 9, 0)


def test_the_projection_is_linear_and_preserves_distances():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 128))
    projected = [_summary(x)["projection"].astype(float) for x in (a, b, a + b)]
    np.testing.assert_allclose(projected[0] + projected[1], projected[2], atol=5e-3)
    assert np.linalg.norm(projected[0] - projected[1]) == pytest.approx(
        np.sqrt(np.mean((a - b) ** 2)), rel=0.5
    )


def test_the_projection_never_changes_between_machines_and_versions():
    projection = _summary(np.arange(6.0))["projection"]
    np.testing.assert_allclose(projection[:4].astype(float), [0.794, -0.3608, 0.3608, 0.938], atol=1e-3)


def test_a_large_frame_is_sampled_the_same_way_each_time():
    frame = np.random.default_rng(1).integers(0, 255, (480, 640, 3), dtype=np.uint8)
    one, two = _summary(frame), _summary(frame.copy())
    assert one.tobytes() == two.tobytes()
    assert one["flags"] == SUBSAMPLED
    assert one["mean"] == pytest.approx(frame.mean(), abs=15)
    wide = np.zeros((480, 640, 6), dtype=np.uint8)
    wide[:, :, ::2] = frame
    np.testing.assert_array_equal(_summary(wide[:, :, ::2])["projection"], one["projection"])


def test_the_sample_of_a_frame_is_of_all_its_columns_and_colours():
    columns = np.broadcast_to(np.arange(1024)[None, :, None], (1024, 1024, 3))
    assert _summary(columns)["std"] == pytest.approx(columns[0].std(), rel=0.1)
    colours = np.broadcast_to(np.array([0.0, 1.0, 2.0]), (1024, 1024, 3))
    assert _summary(colours)["std"] == pytest.approx(0.816, rel=0.1)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e300])
def test_values_that_are_not_finite_are_flagged_and_excluded(bad: float):
    summary = _summary(np.array([1.0, bad, 3.0]))
    assert summary["flags"] == NOT_FINITE
    assert (summary["mean"], summary["min"], summary["max"]) == (2.0, 1.0, 3.0)
    assert np.isfinite(summary["projection"]).all()


def test_nothing_to_look_at_gives_nan_and_a_flag():
    empty, nothing = _summary(np.empty((0, 3))), _summary(np.array([math.nan]))
    assert (empty["flags"], nothing["flags"]) == (EMPTY, EMPTY | NOT_FINITE)
    assert math.isnan(empty["mean"])
    assert not empty["projection"].any()


def test_a_projection_out_of_range_is_clipped_and_flagged():
    summary = _summary(np.full(MAX_SAMPLE, 1e7))
    assert summary["flags"] == SATURATED
    assert np.isfinite(summary["projection"]).all()


def test_a_message_comes_back_and_reads_only_its_length():
    record = np.zeros(1, dtype=RECORD)
    record["payload"] = 255
    pack_message(record, {"state": "wake", "tick": 7}, kind=16, producer=1, sequence=2, stamp_ns=3)
    assert unpack_message(record[0]) == {"state": "wake", "tick": 7}
    assert not record["payload"][0, record["length"][0] :].any()


def test_a_message_that_does_not_fit_or_has_no_kind_is_refused():
    record = np.zeros((), dtype=RECORD)
    with pytest.raises(ValueError, match="room for 192"):
        pack_message(record, "x" * 300, kind=16, producer=0, sequence=0, stamp_ns=0)
    with pytest.raises(ValueError, match="kind is 1"):
        pack_message(record, "x", kind=1, producer=0, sequence=0, stamp_ns=0)
    with pytest.raises(ValueError, match="kind is 0"):
        unpack_message(record)
