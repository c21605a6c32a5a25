import gc
import os
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog
from pydantic import ValidationError

from sage.errors import InputError
from sage.mailbox.clock import ManualClock
from sage.sensors.contract import SensorContext, SensorError, SensorUnavailable
from sage.sensors.devices.audio import AudioConfig, AudioSensor
from sage.sensors.devices.video import VideoConfig, VideoSensor

pytest.importorskip("av", reason="pictures need the package av")

TEST_PICTURE = "testsrc2=size=32x24:rate=10"


def opened(context: SensorContext, **settings: Any) -> VideoSensor:
    sensor = VideoSensor(VideoConfig.model_validate(settings), context)
    sensor.open()
    return sensor


def offsets_ms(context: SensorContext, delivered: list[Any]) -> list[int]:
    return [round((reading.captured_ns - context.epoch_ns) / 1e6) for reading, _ in delivered]


def test_a_generated_video_plays_at_its_own_rate(
    clock: ManualClock, context: SensorContext, read_until: Any
) -> None:
    sensor = opened(context, lavfi=TEST_PICTURE)
    assert sensor.spec.tensor.shape == (24, 32, 3)
    assert sensor.spec.tensor.dtype == "uint8"
    assert sensor.spec.period_ns == 100_000_000
    assert sensor.spec.is_bounded
    delivered = read_until(sensor, clock, 0.5)
    assert offsets_ms(context, delivered) == [0, 100, 200, 300, 400, 500]
    assert [reading.sequence for reading, _ in delivered] == list(range(6))
    assert delivered[0][1].std() > 10
    assert (delivered[0][1] != delivered[5][1]).any()
    sensor.close()


def test_frames_are_scaled_and_thinned(clock: ManualClock, context: SensorContext, read_until: Any) -> None:
    sensor = opened(context, lavfi="testsrc2=size=64x48:rate=30", width=16, height=8, rate_hz=20)
    delivered = read_until(sensor, clock, 1.0)
    assert delivered[0][1].shape == (8, 16, 3)
    assert len(delivered) == 21
    sensor.close()


def test_the_end_of_a_generator_is_the_end(
    clock: ManualClock, context: SensorContext, read_until: Any
) -> None:
    sensor = opened(context, lavfi=f"{TEST_PICTURE}:duration=0.5")
    assert len(read_until(sensor, clock, 60.0)) == 5
    assert clock.now_ns() - context.epoch_ns < 1_000_000_000
    sensor.close()


def test_one_time_axis_is_shared_through_time_zero(
    clock: ManualClock, context: SensorContext, read_until: Any
) -> None:
    delivered = read_until(
        opened(context, lavfi=TEST_PICTURE, start_secs=0.3, time_zero_secs=0.1), clock, 0.45
    )
    assert offsets_ms(context, delivered) == [200, 300, 400]
    delivered = read_until(opened(context, lavfi=TEST_PICTURE, start_secs=0.3, stop_secs=0.5), clock, 1.0)
    assert offsets_ms(context, delivered) == []  # all of it lies behind the clock by now


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "one of path, device or lavfi"),
        ({"lavfi": TEST_PICTURE, "path": "a.mp4"}, "one of path, device or lavfi"),
        ({"device": "/dev/video0"}, "consent"),
        ({"lavfi": TEST_PICTURE, "loop": True}, "loop"),
        ({"path": "a.mp4", "start_secs": 2, "stop_secs": 1}, "stop_secs"),
    ],
)
def test_an_error_in_a_config_is_reported(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        VideoConfig.model_validate(settings)


def test_a_missing_file_and_a_wrong_generator_are_one_line(context: SensorContext) -> None:
    with pytest.raises(SensorUnavailable, match=r"gone\.mp4: no such file"):
        opened(context, path="gone.mp4")
    with pytest.raises(SensorUnavailable, match="check `lavfi`"):
        opened(context, lavfi="no_such_filter=1")
    (context.base_dir / "text.mp4").write_text("this is no film")
    with pytest.raises(SensorUnavailable, match="FFmpeg"):
        opened(context, path="text.mp4")
    with pytest.raises(SensorUnavailable, match="no video stream"):
        opened(context, lavfi="sine=frequency=440")


def test_without_the_package_the_remedy_is_named(
    context: SensorContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(SensorUnavailable, match="pip install"):
        opened(context, lavfi=TEST_PICTURE)


def test_a_camera_that_is_not_there_is_unavailable_and_was_never_on(context: SensorContext) -> None:
    sensor = VideoSensor(VideoConfig(device="/dev/video_none", consent=True), context)
    assert not sensor.spec.is_bounded
    with structlog.testing.capture_logs() as logs, pytest.raises(SensorUnavailable, match="plugged in"):
        sensor.open()
    assert not sensor.is_recording
    assert logs == []


def test_a_camera_logs_when_it_records_and_when_it_ends(context: SensorContext) -> None:
    # A generator takes the camera's place behind the same door.
    config = VideoConfig(device=TEST_PICTURE, device_format="lavfi", consent=True, width=32, height=24)
    sensor = VideoSensor(config, context)
    out = np.zeros((24, 32, 3), dtype=np.uint8)
    with structlog.testing.capture_logs() as logs:
        sensor.open()
        assert sensor.is_recording
        readings = [sensor.read_into(out) for _ in range(3)]
        sensor.close()
        sensor.close()
    assert [entry["event"] for entry in logs] == ["recording starts", "recording ends"]
    assert {entry["log_level"] for entry in logs} == {"warning"}
    assert [reading.sequence for reading in readings if reading is not None] == [0, 1, 2]
    assert not sensor.is_recording


#: (a, b, c, d) of a display matrix, and where the picture's quarters are then: from RGBW as stored.
TURNS = {
    "as stored": ((1, 0, 0, 1), "RG/BW"),
    "a quarter right": ((0, 1, -1, 0), "BR/WG"),
    "upside down": ((-1, 0, 0, -1), "WB/GR"),
    "a quarter left": ((0, -1, 1, 0), "GW/RB"),
    "mirrored": ((-1, 0, 0, 1), "GR/WB"),
    "transposed": ((0, 1, 1, 0), "RB/GW"),
}
COLORS = {"R": (255, 0, 0), "G": (0, 255, 0), "B": (0, 0, 255), "W": (255, 255, 255)}


def write_video(path: Path, matrix: tuple[float, ...]) -> None:
    """Two frames of 64 x 48, red, green, blue and white quarters, with a display matrix."""
    import av

    picture = np.zeros((48, 64, 3), dtype=np.uint8)
    for place, color in enumerate("RGBW"):
        top, left = 24 * (place // 2), 32 * (place % 2)
        picture[top : top + 24, left : left + 32] = COLORS[color]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 64, 48, "yuv420p", 10**7
        for _ in range(2):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    data = bytearray(path.read_bytes())
    start = data.index(b"tkhd") + 44  # the matrix in a track header of version 0
    a, b, c, d = (round(value * 65536) for value in matrix)
    data[start : start + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(bytes(data))


@pytest.mark.parametrize(("matrix", "expected"), TURNS.values(), ids=TURNS.keys())
def test_a_video_is_turned_as_players_show_it(
    context: SensorContext, matrix: tuple[int, ...], expected: str
) -> None:
    write_video(context.base_dir / "video.mp4", matrix)
    sensor = opened(context, path="video.mp4")
    assert sensor.spec.tensor.shape == ((48, 64, 3) if matrix[0] else (64, 48, 3))
    out = np.zeros(sensor.spec.tensor.shape, dtype=np.uint8)
    while sensor.read_into(out) is None:
        pass
    sensor.close()
    height, width = out.shape[:2]
    centers = [[out[height * y // 4, width * x // 4].astype(int) for x in (1, 3)] for y in (1, 3)]
    seen = "/".join(
        "".join(min(COLORS, key=lambda name: np.abs(COLORS[name] - pixel).sum()) for pixel in row)
        for row in centers
    )
    assert seen == expected


def test_the_size_of_a_turned_video_is_that_of_the_turned_frame(context: SensorContext) -> None:
    write_video(context.base_dir / "video.mp4", (0, 1, -1, 0))
    sensor = opened(context, path="video.mp4", width=24, height=32)
    assert sensor.spec.tensor.shape == (32, 24, 3)
    out = np.zeros((32, 24, 3), dtype=np.uint8)
    while sensor.read_into(out) is None:
        pass
    assert out[4, 18, 0] > 200  # red at the upper right
    sensor.close()


def test_a_video_turned_by_another_angle_is_refused(context: SensorContext) -> None:
    write_video(context.base_dir / "video.mp4", (0.7, 0.7, -0.7, 0.7))
    with pytest.raises(SensorUnavailable, match="no multiple of a quarter turn"):
        opened(context, path="video.mp4")


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        (VideoSensor, VideoConfig(name="v", lavfi="testsrc2=size=16x12:rate=5")),
        (AudioSensor, AudioConfig(name="a", lavfi="sine=frequency=440")),
    ],
)
def test_a_closed_source_leaves_no_decoder_thread(context: SensorContext, kind: Any, config: Any) -> None:
    """Without the garbage collector, which would end them sometime."""
    threads = Path("/proc/self/task")
    gc.disable()
    try:
        before = len(list(threads.iterdir()))
        sensor = kind(config, context)
        sensor.open()
        out = np.zeros(sensor.spec.tensor.shape, dtype=sensor.spec.tensor.dtype)
        context.clock.advance(1_000_000_000)  # type: ignore[attr-defined]
        assert sensor.read_into(out) is not None
        if len(os.sched_getaffinity(0)) > 1:  # with one processor nothing is decoded on a thread
            assert len(list(threads.iterdir())) > before
        sensor.close()
        assert len(list(threads.iterdir())) == before
    finally:
        gc.enable()


def test_reading_a_closed_video_raises(context: SensorContext) -> None:
    sensor = VideoSensor(VideoConfig(lavfi=TEST_PICTURE), context)
    with pytest.raises(SensorError, match="open"):
        sensor.read_into(np.zeros((24, 32, 3), dtype=np.uint8))


def test_a_real_video_plays_in_time_and_the_same_each_time(
    context: SensorContext, recordings: Any, read_until: Any
) -> None:
    def play(**settings: Any) -> list[Any]:
        at = ManualClock(context.epoch_ns)
        here = SensorContext(clock=at, epoch_ns=context.epoch_ns, base_dir=recordings)
        sensor = opened(here, path="gopro_max/clip.mp4", width=32, height=24, **settings)
        delivered: list[Any] = read_until(sensor, at, 1.5)
        sensor.close()
        return delivered

    one, two = play(), play()
    assert len(one) == 45
    np.testing.assert_array_equal([frame for _, frame in one], [frame for _, frame in two])
    assert offsets_ms(context, one)[:4] == [0, 33, 67, 100]
    # A part begins where the whole has it, though decoding starts at the key frame before.
    part = play(start_secs=1.0, time_zero_secs=0.0)
    assert offsets_ms(context, part)[0] == 1001
    np.testing.assert_array_equal(part[0][1], one[30][1])


def test_a_real_video_loops_on_the_clock(
    context: SensorContext, recordings: Any, clock: ManualClock, read_until: Any
) -> None:
    here = SensorContext(clock=clock, epoch_ns=context.epoch_ns, base_dir=recordings)
    sensor = opened(
        here,
        path="gopro_max/clip.mp4",
        width=32,
        height=24,
        rate_hz=10,
        start_secs=1.0,
        stop_secs=1.5,
        loop=True,
    )
    delivered = read_until(sensor, clock, 1.2)
    stamps = offsets_ms(context, delivered)
    assert [stamp - 500 for stamp in stamps if 500 <= stamp < 1000] == [
        stamp for stamp in stamps if stamp < 500
    ]
    assert len(delivered) == 12
    sensor.close()


def write_frames(path: Path, *, rate_hz: int = 10, first: int = 0, **options: str) -> None:
    """10 frames, from number `first` on."""
    import av

    with av.open(str(path), "w", options=options) as container:
        stream: Any = container.add_stream("mpeg4", rate=rate_hz)
        stream.width, stream.height, stream.pix_fmt = 32, 24, "yuv420p"
        for number in range(10):
            frame = av.VideoFrame.from_ndarray(np.full((24, 32, 3), 20 * number, np.uint8), format="rgb24")
            frame.pts = first + number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def test_the_first_frame_is_played_where_the_start_of_the_file_is_rounded_up(
    clock: ManualClock, context: SensorContext, tmp_path: Path, read_until: Any
) -> None:
    """A container states its start in microseconds, here 1.466667 s for 1.4666666 s."""
    write_frames(tmp_path / "start.ts", rate_hz=30, first=2)
    assert len(read_until(opened(context, path=tmp_path / "start.ts"), clock, 2.0)) == 10


def test_a_file_without_a_duration_is_played_and_looped_with_stop_secs_only(
    clock: ManualClock, context: SensorContext, tmp_path: Path, read_until: Any
) -> None:
    """As programs that record live write it."""
    path = tmp_path / "live.mkv"
    write_frames(path, live="1")
    assert len(read_until(opened(context, path=path), clock, 3.0)) == 10
    with pytest.raises(InputError, match="states no duration: give stop_secs"):
        VideoSensor(VideoConfig(path=path, loop=True), context)
    sensor = opened(context, path=path, loop=True, stop_secs=0.95)
    read_until(sensor, clock, 2.5)
    sensor.close()


@pytest.mark.parametrize(
    "settings", [{"start_secs": 5.0}, {"start_secs": 0.8, "stop_secs": 0.5, "time_zero_secs": 0.0}]
)
def test_a_loop_that_ends_before_it_begins_is_one_line(
    context: SensorContext, tmp_path: Path, settings: dict[str, Any]
) -> None:
    write_frames(tmp_path / "second.mp4")
    with pytest.raises(InputError, match="of a lap that ends at"):
        VideoSensor(
            VideoConfig.model_validate({"path": tmp_path / "second.mp4", "loop": True, **settings}), context
        )
