"""What hosts exchange is read back unchanged, anything else raises DataError; pictures fit their bytes."""

from __future__ import annotations

import math

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sage.errors import DataError, InputError
from sage.mailbox.clock import ManualClock
from sage.mailbox.tensor_spec import TensorSpec
from sage.sensors.contract import SensorContext, SensorSpec
from sage.sensors.remote.clock_offset import ClockOffset
from sage.sensors.remote.pictures import JpegEncoder, decode_into
from sage.sensors.remote.remote_sensor import RemoteConfig, RemoteSensor
from sage.sensors.remote.wire import MAX_HEALTH, Header, describe, described, key_of, read_raw

SPEC = SensorSpec(
    name="imu",
    modality="physical",
    tensor=TensorSpec(shape=(3,), dtype="float32"),
    period_ns=10_000_000,
    observes=("acceleration", "m/s^2"),
    lineage=("base",),
    channels=("x", "y", "z"),
)


def test_a_header_is_read_back() -> None:
    header = Header(started_ns=5, sequence=7, captured_ns=-3, encoding="jpeg", quality=0.5)
    found = Header.unpacked(header.packed())
    assert math.isnan(found.noise_std)
    assert (found.started_ns, found.sequence, found.captured_ns) == (5, 7, -3)
    assert (found.encoding, found.quality, found.confidence) == ("jpeg", 0.5, 1.0)


def test_claims_of_whole_numbers_and_a_long_health_are_sent() -> None:
    """A sensor may claim a noise of 0 or a quality of 1, which are int."""
    claims = {"noise_std": 0, "quality": 1, "confidence": 1, "health": "no light \ud800" * 10_000}
    found = Header.unpacked(Header(started_ns=5, sequence=7, captured_ns=3, **claims).packed())  # type: ignore[arg-type]
    assert (found.noise_std, found.quality, found.confidence) == (0.0, 1.0, 1.0)
    assert found.health == ("no light ?" * 10_000)[:MAX_HEALTH]


@given(st.binary(max_size=64))
def test_any_other_bytes_are_refused(data: bytes) -> None:
    for read in (Header.unpacked, lambda each: described(each, "imu")):
        with pytest.raises(DataError):
            read(data)


@pytest.mark.parametrize(
    "fields",
    [
        [1, 2, 3, "png", 0.0, 1.0, 1.0, ""],
        [1, -2, 3, "raw", 0.0, 1.0, 1.0, ""],
        [1, 2**62, 3, "raw", 0.0, 1.0, 1.0, ""],
        [1, 2**64 - 1, 3, "raw", 0.0, 1.0, 1.0, ""],
        [1, 2, 2**63, "raw", 0.0, 1.0, 1.0, ""],
        [1, 2, 3, "raw", 0.0, 1.5, 1.0, ""],
        [1, 2, 3, "raw", 0.0, 1.0, 1.0],
        [1, 2, 3, "raw", 0.0, 1.0, 1.0, 5],
        [True, 2, 3, "raw", 0.0, 1.0, 1.0, ""],
        {"sequence": 1},
    ],
)
def test_a_header_of_other_values_is_refused(fields: object) -> None:
    with pytest.raises(DataError):
        Header.unpacked(msgpack.packb(fields))


def test_a_description_has_what_a_configuration_needs() -> None:
    assert described(describe(SPEC, "raw"), "imu") == SPEC


def test_values_of_another_size_are_refused() -> None:
    out = np.zeros(3, np.float32)
    read_raw(np.array([1, 2, 3], np.float32).tobytes(), out)
    assert out.tolist() == [1, 2, 3]
    with pytest.raises(DataError, match="8 bytes: expected 12"):
        read_raw(b"12345678", out)


def test_a_byte_that_is_no_bool_is_refused() -> None:
    out = np.zeros(2, bool)
    read_raw(b"\x01\x00", out)
    assert out.tolist() == [True, False]
    with pytest.raises(DataError, match="no bool"):
        read_raw(b"\x01\x02", out)


@pytest.mark.parametrize("name", ["", "a/b", "*", "a b", "-a", "x" * 65])
def test_a_name_that_is_no_part_of_a_key_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="is no name"):
        key_of("desk", name)


def test_a_picture_fits_its_bytes_by_quality_and_then_by_size(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    smooth = np.add.outer(np.arange(240), np.arange(320))[..., None] * np.array([1, 2, 3]) // 8
    noise = rng.integers(0, 255, (240, 320, 3))
    for picture, max_bytes in ((smooth.astype(np.uint8), 12_000), (noise.astype(np.uint8), 6_000)):
        data = JpegEncoder(max_bytes).encode(picture)
        assert len(data) <= max_bytes
        out = np.zeros_like(picture)
        decode_into(data, out)
        assert abs(float(out.mean()) - float(picture.mean())) < 8
    with pytest.raises(DataError, match="320x240: expected at most 32x24"):
        decode_into(JpegEncoder(100_000).encode(smooth.astype(np.uint8)), np.zeros((24, 32, 3), np.uint8))
    with pytest.raises(DataError, match="cannot be decoded"):
        decode_into(b"\xff\xd8 no picture", out)
    large = rng.integers(0, 255, (1440, 2560, 3), dtype=np.uint8)
    assert len(JpegEncoder(1024).encode(large)) <= 1024
    wide = np.full((1, 70_000, 3), 128, np.uint8)  # a side that JPEG does not have
    out = np.zeros_like(wide)
    decode_into(JpegEncoder(100_000).encode(wide), out)
    assert abs(float(out.mean()) - 128) < 2
    monkeypatch.setattr("sage.sensors.remote.pictures.MAX_HALVINGS", 0)
    with pytest.raises(InputError, match="does not fit 1024 bytes"):
        JpegEncoder(1024).encode(noise.astype(np.uint8))


def test_the_quickest_round_trip_sets_the_offset() -> None:
    offset = ClockOffset()
    assert not offset.is_known
    offset.note(0, 1_000_000 + 50, 100)  # 50 each way: exact
    offset.note(1_000, 1_000_000 + 1_000 + 900, 2_000)  # 900 there, 100 back: off by 400
    assert offset.local(1_000_500) == 500
    assert offset.error_ns == 50


def test_the_newest_reading_is_kept_where_the_link_has_no_order() -> None:
    """As UDP may deliver them; a sender that began again is newer, whatever it counts."""

    class Bytes:
        def __init__(self, data: bytes) -> None:
            self.to_bytes = lambda: data

    class Sample:
        def __init__(self, started_ns: int, sequence: int) -> None:
            self.attachment = Bytes(Header(started_ns=started_ns, sequence=sequence, captured_ns=0).packed())
            self.payload = Bytes(bytes([sequence]))

    context = SensorContext(clock=ManualClock(), epoch_ns=0)
    config = RemoteConfig(
        name="imu", endpoint="udp/127.0.0.1:1", host="h", shape=(1,), dtype="uint8", rate_hz=9
    )
    sensor = RemoteSensor(config, context)
    for started_ns, sequence, kept in ((1, 4, 4), (1, 6, 6), (1, 5, 6), (1, 6, 6), (2, 0, 0)):
        sensor._take(Sample(started_ns, sequence))
        assert sensor._newest is not None
        assert sensor._newest.payload == bytes([kept])
