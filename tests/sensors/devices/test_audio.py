import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from sage.mailbox.clock import ManualClock
from sage.sensors.contract import SensorContext, SensorError
from sage.sensors.devices.audio import AudioConfig, AudioSensor

pytest.importorskip("av", reason="sound needs the package av")

TONE = "sine=frequency=1000:sample_rate=16000"


def opened(context: SensorContext, **settings: Any) -> AudioSensor:
    sensor = AudioSensor(AudioConfig.model_validate(settings), context)
    sensor.open()
    return sensor


def joined(delivered: list[Any]) -> np.ndarray:
    return np.concatenate([chunk for _, chunk in delivered])


def test_a_chunk_is_read_when_its_last_sample_is_due(
    clock: ManualClock, context: SensorContext, read_until: Any
) -> None:
    sensor = opened(context, lavfi=TONE, chunk_secs=0.05)
    assert sensor.spec.tensor.shape == (800,)
    assert sensor.spec.is_bounded
    delivered = read_until(sensor, clock, 0.2)
    assert [reading.captured_ns - context.epoch_ns for reading, _ in delivered] == [
        k * 50_000_000 for k in (1, 2, 3, 4)
    ]
    sensor.close()


def test_a_tone_is_whole_across_chunks(clock: ManualClock, context: SensorContext, read_until: Any) -> None:
    sound = joined(read_until(opened(context, lavfi=TONE, chunk_secs=0.03), clock, 0.6))
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)))) ** 2
    peak = int(np.argmax(spectrum))
    assert peak * 16_000 / len(sound) == pytest.approx(1000, abs=2)
    assert spectrum[peak - 3 : peak + 4].sum() / spectrum.sum() > 0.999


def test_it_is_resampled_and_may_have_two_channels(
    clock: ManualClock, context: SensorContext, read_until: Any
) -> None:
    sensor = opened(context, lavfi=TONE, rate_hz=8000, mono=False)
    assert sensor.spec.tensor.shape == (800, 2)
    delivered = read_until(sensor, clock, 0.5)
    assert len(delivered) == 5
    assert 0.05 < np.abs(delivered[2][1]).max() <= 1.0
    sensor.close()


def test_the_incomplete_last_chunk_is_left_out(
    clock: ManualClock, context: SensorContext, read_until: Any
) -> None:
    assert len(read_until(opened(context, lavfi=f"{TONE}:duration=0.35"), clock, 5.0)) == 3


def test_a_microphone_needs_consent() -> None:
    with pytest.raises(ValidationError, match="consent"):
        AudioConfig(device="default")


def test_reading_a_closed_microphone_raises(context: SensorContext) -> None:
    with pytest.raises(SensorError, match="open"):
        AudioSensor(AudioConfig(lavfi=TONE), context).read_into(np.zeros(1600, dtype=np.float32))


def test_a_live_source_is_read_without_a_clock_of_its_own(context: SensorContext, clock: ManualClock) -> None:
    sensor = opened(context, device=TONE, device_format="lavfi", consent=True)
    out = np.zeros(1600, dtype=np.float32)
    assert not sensor.spec.is_bounded
    assert sensor.is_recording
    reading = sensor.read_into(out)
    assert reading is not None
    assert reading.captured_ns == clock.now_ns()
    assert np.abs(out).max() > 0.05
    sensor.close()
    assert not sensor.is_recording


def test_real_sound_starts_at_start_secs(context: SensorContext, recordings: Any, read_until: Any) -> None:
    def play(**settings: Any) -> list[Any]:
        at = ManualClock(context.epoch_ns)
        here = SensorContext(clock=at, epoch_ns=context.epoch_ns, base_dir=recordings)
        delivered: list[Any] = read_until(
            opened(here, path="gopro_max/clip.mp4", rate_hz=48_000, **settings), at, 2.0
        )
        return delivered

    whole, part = play(), play(start_secs=1.0, time_zero_secs=0.0)
    assert len(whole) == 20
    assert part[0][0].captured_ns - context.epoch_ns == 1_100_000_000
    np.testing.assert_allclose(part[3][1], whole[13][1], atol=2e-3)
    assert np.abs(joined(whole)).max() > 0.001


@pytest.mark.parametrize(("num_channels", "mono"), [(1, True), (2, True), (6, True), (2, False), (6, False)])
def test_channels_at_full_scale_mix_to_full_scale(
    clock: ManualClock, context: SensorContext, read_until: Any, num_channels: int, mono: bool
) -> None:
    wave_form = 0.99 * np.sin(np.arange(8000) * (2 * np.pi * 440 / 16_000))
    frames = np.repeat((wave_form * 32767).astype("<i2")[:, None], num_channels, axis=1)
    with wave.open(str(context.base_dir / "sound.wav"), "wb") as file:
        file.setnchannels(num_channels)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(frames.tobytes())
    sound = joined(read_until(opened(context, path="sound.wav", mono=mono), clock, 0.5))
    assert np.abs(sound).max() == pytest.approx(0.99, abs=2e-3)


def test_overshoot_of_the_resampling_filter_is_clipped(
    clock: ManualClock, context: SensorContext, read_until: Any
) -> None:
    square = "aevalsrc='if(lt(mod(t*100,1),0.5),1,-1)':sample_rate=48000"
    sound = joined(read_until(opened(context, lavfi=square, rate_hz=16_000), clock, 0.5))
    assert np.abs(sound).max() == 1.0


def write_sound(path: Any, samples: np.ndarray, rate_hz: int, codec: str) -> None:
    import av

    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=rate_hz)
        stream.layout = "mono"
        converter = av.AudioResampler(format=stream.codec_context.format, layout="mono", rate=rate_hz)
        for start in range(0, len(samples), 1024):
            pcm = np.round(samples[None, start : start + 1024] * 32767).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(pcm, format="s16", layout="mono")
            frame.sample_rate, frame.pts = rate_hz, start
            for converted in converter.resample(frame):
                container.mux(stream.encode(converted))
        container.mux(stream.encode(None))


@pytest.mark.parametrize("rate_hz", [8000, 16_000, 44_100, 48_000])
def test_resampled_sound_is_played_to_its_last_sample(
    clock: ManualClock, context: SensorContext, tmp_path: Path, read_until: Any, rate_hz: int
) -> None:
    write_sound(tmp_path / "tone.wav", 0.5 * np.sin(np.arange(48_000) * 0.1), 48_000, "pcm_s16le")
    delivered = read_until(opened(context, path=tmp_path / "tone.wav", rate_hz=rate_hz), clock, 3.0)
    assert len(delivered) == 10
    assert delivered[-1][0].captured_ns - context.epoch_ns == 10**9
    assert np.abs(delivered[-1][1][-rate_hz // 100 :]).max() > 0.4


def test_a_file_that_states_a_duration_that_is_too_short_is_played_whole(
    clock: ManualClock, context: SensorContext, tmp_path: Path, read_until: Any
) -> None:
    """The duration of an ADTS file is estimated from the bit rate of its first frames."""
    samples = np.zeros(20 * 16_000)
    samples[: 2 * 16_000] = 0.5 * np.random.default_rng(0).uniform(-1, 1, 2 * 16_000)
    write_sound(tmp_path / "loud.aac", samples, 16_000, "aac")
    sensor = AudioSensor(AudioConfig(path=tmp_path / "loud.aac", chunk_secs=1.0), context)
    sensor.open()
    assert len(read_until(sensor, clock, 30.0)) == 20


def test_a_loop_that_is_shorter_than_a_chunk_is_one_line(
    clock: ManualClock, context: SensorContext, tmp_path: Path
) -> None:
    write_sound(tmp_path / "short.wav", np.zeros(8000), 16_000, "pcm_s16le")
    sensor = opened(context, path=tmp_path / "short.wav", loop=True, chunk_secs=1.0)
    clock.advance(10**9)
    with pytest.raises(SensorError, match=r"the loop of 0 to 0\.5 s has no reading"):
        sensor.read_into(np.zeros(sensor.spec.tensor.shape, dtype=np.float32))
    sensor.close()
