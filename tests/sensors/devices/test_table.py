from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from sage.mailbox.clock import ManualClock
from sage.sensors.contract import SensorContext, SensorError, SensorUnavailable, SourceExhausted
from sage.sensors.devices.table import TableConfig, TableSensor

CSV = "t,x,y\n10.0,1,2\n10.1,3,4\n10.2,5,6\n10.3,7,8\n"


def make(context: SensorContext, **settings: Any) -> TableSensor:
    return TableSensor(TableConfig.model_validate({"path": "log.csv", "time": "t", **settings}), context)


def opened(context: SensorContext, **settings: Any) -> TableSensor:
    sensor = make(context, **settings)
    sensor.open()
    return sensor


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.csv"
    path.write_text(CSV)
    return path


def test_rows_are_read_when_they_are_due(clock: ManualClock, context: SensorContext, log: Path) -> None:
    sensor = opened(context)
    out = np.zeros(2, dtype=np.float32)
    first = sensor.read_into(out)
    assert first is not None
    assert first.captured_ns == context.epoch_ns
    assert sensor.read_into(out) is None
    clock.advance(250_000_000)
    delivered = []
    while (reading := sensor.read_into(out)) is not None:
        delivered.append((reading.captured_ns - context.epoch_ns, reading.sequence, out.tolist()))
    assert delivered == [(100_000_000, 1, [3.0, 4.0]), (200_000_000, 2, [5.0, 6.0])]
    clock.advance(250_000_000)
    assert sensor.read_into(out) is not None
    with pytest.raises(SourceExhausted):
        sensor.read_into(out)


def test_the_spec_has_columns_rate_and_unit(context: SensorContext, log: Path) -> None:
    spec = make(context, observes="speed", unit="m/s", columns=["y"]).spec
    assert spec.channels == ("y",)
    assert spec.period_ns == 100_000_000
    assert spec.observes == ("speed", "m/s")
    assert spec.is_bounded


def test_a_part_can_be_replayed_on_a_clock_shared_with_others(
    clock: ManualClock, context: SensorContext, log: Path, read_until: Any
) -> None:
    delivered = read_until(opened(context, start_secs=10.1, stop_secs=10.2, time_zero_secs=10.0), clock, 1.0)
    assert [reading.captured_ns - context.epoch_ns for reading, _ in delivered] == [100_000_000, 200_000_000]
    delivered = read_until(opened(context, time_zero_secs=9.0), clock, 2.0)
    assert [values.tolist() for _, values in delivered] == [[1, 2], [3, 4], [5, 6], [7, 8]]


def test_rows_before_time_zero_are_left_out(
    clock: ManualClock, context: SensorContext, log: Path, read_until: Any
) -> None:
    delivered = read_until(opened(context, time_zero_secs=10.15), clock, 1.0)
    assert [reading.captured_ns - context.epoch_ns for reading, _ in delivered] == [50_000_000, 150_000_000]


def test_a_loop_has_no_gap(clock: ManualClock, context: SensorContext, log: Path, read_until: Any) -> None:
    delivered = read_until(opened(context, loop=True), clock, 1.0)
    assert [reading.captured_ns - context.epoch_ns for reading, _ in delivered] == [
        k * 100_000_000 for k in range(11)
    ]
    assert [reading.sequence for reading, _ in delivered] == list(range(11))
    assert delivered[4][1].tolist() == [1, 2]


def test_a_lap_lasts_until_stop_so_that_streams_stay_together(
    clock: ManualClock, context: SensorContext, log: Path, read_until: Any
) -> None:
    delivered = read_until(opened(context, loop=True, stop_secs=10.5), clock, 1.0)
    stamps = [reading.captured_ns - context.epoch_ns for reading, _ in delivered]
    assert stamps == [part * 100_000_000 for part in (0, 1, 2, 3, 5, 6, 7, 8, 10)]


def test_opened_again_it_continues_at_the_row_that_is_due(
    clock: ManualClock, context: SensorContext, log: Path
) -> None:
    sensor = opened(context)
    sensor.close()
    clock.advance(150_000_000)
    sensor.open()
    clock.advance(50_000_000)
    out = np.zeros(2, dtype=np.float32)
    reading = sensor.read_into(out)
    assert reading is not None
    assert (reading.sequence, out.tolist()) == (2, [5.0, 6.0])


def test_a_fast_log_is_thinned(
    clock: ManualClock, context: SensorContext, tmp_path: Path, read_until: Any
) -> None:
    rows = "".join(f"{k * 1000},{k}\n" for k in range(1000))
    (tmp_path / "fast.csv").write_text("us,x\n" + rows)
    sensor = opened(context, path="fast.csv", time="us", time_scale=1e-6, max_rate_hz=50)
    assert sensor.spec.period_ns == 20_000_000
    delivered = read_until(sensor, clock, 2.0)
    assert [int(values[0]) for _, values in delivered] == list(range(0, 1000, 20))


def test_npz_and_parquet_give_the_same_as_csv(
    context: SensorContext, log: Path, tmp_path: Path, read_until: Any
) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    values = np.array([[10.0, 1, 2], [10.1, 3, 4], [10.2, 5, 6], [10.3, 7, 8]])
    np.savez(tmp_path / "log.npz", flight=values, flight__cols=np.array(["t", "x", "y"]), other=values[:1])
    parquet.write_table(
        pyarrow.table({name: values[:, k] for k, name in enumerate("txy")}), tmp_path / "log.parquet"
    )

    def delivered(**settings: Any) -> list[tuple[int, list[float]]]:
        at = ManualClock(context.epoch_ns)
        here = SensorContext(clock=at, epoch_ns=context.epoch_ns, base_dir=tmp_path)
        readings = read_until(opened(here, **settings), at, 1.0)
        return [(reading.captured_ns, row.tolist()) for reading, row in readings]

    assert delivered() == delivered(path="log.npz", key="flight") == delivered(path="log.parquet")
    assert len(delivered()) == 4


def test_a_missing_cell_is_an_error_that_names_it_or_is_held_or_dropped(
    clock: ManualClock, context: SensorContext, tmp_path: Path, read_until: Any
) -> None:
    (tmp_path / "log.csv").write_text("t,x,y\n0,,2\n0.1,3,4\n0.2,n/a,6\n0.3,7,\n")
    with pytest.raises(SensorUnavailable, match=r"row 1, column 'x' holds no number \(3 such cells\)"):
        make(context)
    here = ManualClock(context.epoch_ns)
    held = read_until(
        opened(SensorContext(clock=here, epoch_ns=context.epoch_ns, base_dir=tmp_path), missing="hold"),
        here,
        1.0,
    )
    assert [values.tolist() for _, values in held] == [[3, 4], [3, 6], [7, 6]]
    dropped = read_until(opened(context, missing="drop"), clock, 1.0)
    assert [values.tolist() for _, values in dropped] == [[3, 4]]


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        (CSV, {"path": "gone.csv"}, "no such file"),
        (CSV, {"path": "log.txt"}, ".parquet"),
        (CSV, {"time": "T"}, "no column 'T': it has t, x, y"),
        (CSV, {"columns": ["z"]}, "no column 'z'"),
        (CSV, {"key": "flight"}, "key"),
        (CSV, {"start_secs": 50}, "its time is 10 to 10.3 s"),
        ("t,x\n2,1\n1,2\n", {}, "goes back at row 2"),
        ("t,x\n", {}, "no rows"),
        ("t\n1\n", {}, "nothing to observe"),
        ("", {}, "has no header"),
        ("t,x,y\n1,2\n", {}, "row 1 has 2 cells, the header 3"),
        ("t,x\n,1\n,2\n", {"missing": "drop"}, "no row is left"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_an_error_in_a_table_is_one_line(
    context: SensorContext, tmp_path: Path, text: str, settings: dict[str, Any], message: str
) -> None:
    (tmp_path / "log.csv").write_text(text)
    with pytest.raises(SensorUnavailable) as caught:
        make(context, **settings)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_npz_without_names_or_with_many_arrays_is_refused(context: SensorContext, tmp_path: Path) -> None:
    np.savez(tmp_path / "log.npz", a=np.zeros((2, 2)), b=np.zeros((2, 2)))
    with pytest.raises(SensorUnavailable, match="one of a, b"):
        make(context, path="log.npz")
    with pytest.raises(SensorUnavailable, match="a__cols"):
        make(context, path="log.npz", key="a")


def test_stop_before_start_is_refused_by_the_config() -> None:
    with pytest.raises(ValidationError, match="stop_secs"):
        TableConfig(path=Path("log.csv"), time="t", start_secs=2, stop_secs=1)


def test_reading_a_closed_table_raises(context: SensorContext, log: Path) -> None:
    with pytest.raises(SensorError, match="open"):
        make(context).read_into(np.zeros(2, dtype=np.float32))


@pytest.mark.parametrize(
    ("path", "settings", "num_columns", "rate_hz"),
    [
        (
            "px4/sample_ulg.npz",
            {"key": "sensor_combined_0", "time": "timestamp", "time_scale": 1e-6, "max_rate_hz": 50},
            16,
            50,
        ),
        (
            "px4/sample_ulg.npz",
            {"key": "vehicle_attitude_0", "time": "timestamp", "time_scale": 1e-6},
            7,
            83.3,
        ),
        ("xio/sensor_data.csv", {"time": "Time (s)"}, 9, 99.2),
        ("gopro_max/GYRO.csv", {"time": "t"}, 3, 197.8),
        ("gopro_max/GPS5.csv", {"time": "t"}, 5, 18.0),
    ],
)
def test_real_recordings_replay(
    clock: ManualClock,
    context: SensorContext,
    recordings: Path,
    read_until: Any,
    path: str,
    settings: dict[str, Any],
    num_columns: int,
    rate_hz: float,
) -> None:
    here = SensorContext(clock=clock, epoch_ns=context.epoch_ns, base_dir=recordings)
    sensor = opened(here, path=path, **settings)
    assert 1e9 / sensor.spec.period_ns == pytest.approx(rate_hz, rel=0.01)
    delivered = read_until(sensor, clock, 3.0)
    stamps = np.array([reading.captured_ns for reading, _ in delivered])
    assert len(delivered) > 2.5 * rate_hz
    assert (np.diff(stamps) >= 0).all()
    assert delivered[0][1].shape == (num_columns,)
    assert np.isfinite([values for _, values in delivered]).all()
