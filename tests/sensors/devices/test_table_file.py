"""Tables as people have them: quotes, delimiters, decimal commas, and times with and without a unit."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from sage.mailbox.clock import ManualClock
from sage.sensors.contract import SensorContext, SensorUnavailable
from sage.sensors.devices.table import TableConfig, TableSensor

pytestmark = pytest.mark.filterwarnings("error")
Rows = list[tuple[int, list[float]]]


def replay(folder: Path, name: str = "log.csv", **settings: Any) -> Rows:
    """(ms since the start, values) of every row."""
    clock = ManualClock()
    config = TableConfig.model_validate({"path": name, "time": "t", **settings})
    sensor = TableSensor(config, SensorContext(clock=clock, epoch_ns=0, base_dir=folder))
    sensor.open()
    clock.advance(3_600_000_000_000)
    out = np.zeros(sensor.spec.tensor.shape, dtype=np.float32)
    rows: Rows = []
    while len(rows) < 3:
        reading = sensor.read_into(out)
        assert reading is not None
        rows.append((reading.captured_ns // 1_000_000, out.tolist()))
    return rows


def refusal(folder: Path, name: str = "log.csv", **settings: Any) -> str:
    with pytest.raises(SensorUnavailable) as caught:
        replay(folder, name, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


PLAIN: Rows = [(0, [1.5, 2.0]), (50, [3.5, 4.0]), (100, [5.5, 6.0])]


@pytest.mark.parametrize(
    "text",
    [
        "t,a,b\n0,1.5,2\n0.05,3.5,4\n0.1,5.5,6\n",
        "t;a;b\n0;1.5;2\n0.05;3.5;4\n0.1;5.5;6\n",
        "t;a;b\n0;1,5;2\n0,05;3,5;4\n0,1;5,5;6\n",
        "t\ta\tb\n0\t1,5\t2\n0,05\t3,5\t4\n0,1\t5,5\t6\n",
        "t|a|b\n0|1.5|2\n0.05|3.5|4\n0.1|5.5|6\n",
        '# device 7, "\n\n\nt , a , b,\n\n0 , 1.5, 2,\n 0.05,3.5,4,\n\n0.1,5.5,6,\n',
        "t,a,b\r0,1.5,2\r0.05,3.5,4\r0.1,5.5,6\r",
        "\ufefft,a,b\r\n0,1.5,2\r\n0.05,3.5,4\r\n0.1,5.5,6\r\n",
        '"t","a","b"\n"0","1.5","2"\n"0.05","3.5","4"\n"0.1","5.5","6"\n',
        ",t,a,b\n0,0,1.5,2\n1,0.05,3.5,4\n2,0.1,5.5,6\n",  # pandas' index has no name
    ],
    ids=["comma", "semicolon", "decimal comma", "tab", "bar", "comment", "cr", "bom", "quotes", "index"],
)
def test_one_table_in_every_form(tmp_path: Path, text: str) -> None:
    (tmp_path / "log.csv").write_text(text, newline="")
    assert replay(tmp_path) == PLAIN


@pytest.mark.parametrize("empty", ["", "n/a", "NaN"])
def test_an_empty_cell_beside_quoted_commas_moves_no_column(tmp_path: Path, empty: str) -> None:
    (tmp_path / "log.csv").write_text(
        f't,place,a\n0,"Lab 2, 99, east",20\n0.05, "Lab 2, 99, east",{empty}\n0.1,"Lab 2, 99, east",22\n'
    )
    rows = replay(tmp_path, columns=["a"], missing="hold")
    assert rows == [(0, [20.0]), (50, [20.0]), (100, [22.0])]
    assert "row 2, column 'a' holds" in refusal(tmp_path, columns=["a"])


def test_truth_values_are_0_and_1(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("t,a\n0,true\n1,False\n2,TRUE\n")
    assert [values for _, values in replay(tmp_path)] == [[1.0], [0.0], [1.0]]


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        ("t,a,a\n0,1,2\n", {}, "2 columns are named 'a'"),
        ('t,a\n0,"1,100"\n', {}, "the digits of 1,100 are in groups"),
        ('t,a\n0,"1,100"\n1,7\n', {"missing": "hold"}, "the digits of 1,100 are in groups"),
        ("t;a\n0;1.234,5\n", {}, "the digits of 1.234,5 are in groups"),
        ("t;a\n0;1,234\n", {}, "1,234 can be 1.234 or 1234: set `decimal: ','`"),
        ("t;a\n0;1,2\n1;1.2\n", {}, "set `decimal`"),
        ("t,a\n0,1_0\n", {}, "holds '1_0', which is no number"),
        ("t,a\n0,0x10\n", {}, "holds '0x10', which is no number"),
        ('t,a\n0,"1\n', {}, "not a CSV"),
        pytest.param(f"{'x' * 140_000},a\n0,1\n", {}, "not a CSV: field larger than", id="long name"),
        ("t,a\n0,1,2\n", {}, "row 1 has 3 cells, the header 2"),
        ("t,a\n[s],[m]\n0,1\n", {}, "column 't' holds '[s]'"),
        ("t,a\n0,1e300\n", {}, "1e+300, too large for float32"),
        ("t,a\n1e300,1\n", {}, "over 292 years"),
        ("t,a\n1e300,1\n", {"time_scale": 1e10}, "over 292 years"),
        ("t,a\n1711846799000,1\n", {}, "milliseconds since 1970: set `time_scale: 1e-3`"),
        ("t,a\n1711846799000000,1\n", {}, "microseconds since 1970: set `time_scale: 1e-6`"),
        ("t,a\n1711846799123456789,1\n", {}, "nanoseconds since 1970: set `time_scale: 1e-9`"),
        ("t,a\n2024-03-31T00:59:59,1\n", {"time_scale": 1.0}, "remove `time_scale`"),
        ("t,a\n2024-02-31T00:59:59,1\n", {}, "is not a date and time"),
        ("t,a\n1066-10-14,1\n", {}, "give a year from 1679"),
        ("t,a\n2024-01-01T00:00Z,1\n2024-01-01T00:01,1\n", {}, "some have none"),
        ("t,a\n2024-01-01,1\n,1\n", {}, "row 2, column 't' holds no number"),
        ("\n", {}, "has no header"),
    ],
)
def test_a_cell_is_never_given_another_value(
    tmp_path: Path, text: str, settings: dict[str, Any], message: str
) -> None:
    (tmp_path / "log.csv").write_text(text)
    assert message in refusal(tmp_path, **settings)


def test_an_ambiguous_comma_is_read_as_the_config_says(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("t;a\n0;1,234\n1;5,678\n2;9,012\n")
    rows = replay(tmp_path, decimal=",", delimiter=";")
    assert [values for _, values in rows] == [[pytest.approx(v)] for v in (1.234, 5.678, 9.012)]


def test_another_encoding_is_refused_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_bytes("t,température\n0,1\n".encode("latin-1"))
    assert "not UTF-8 at byte 6: save it as UTF-8" in refusal(tmp_path)


MOMENTS = ["2024-03-31T00:59:59", "2024-03-31T00:59:59.050", "2024-03-31T00:59:59.100000"]


@pytest.mark.parametrize("end", ["", "Z", "+02:00", "-0530"])
def test_iso_times_are_read(tmp_path: Path, end: str) -> None:
    rows = "".join(f"{moment}{end},{place}\n" for place, moment in enumerate(MOMENTS))
    (tmp_path / "log.csv").write_text("t,a\n" + rows)
    assert replay(tmp_path) == [(0, [0.0]), (50, [1.0]), (100, [2.0])]


def test_an_offset_from_utc_is_applied(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(
        "t,a\n2024-03-31T00:00:00+01:00,0\n2024-03-31 01:00:00+01:30,1\n2024-03-30T23:31Z,2\n"
    )
    assert [ms for ms, _ in replay(tmp_path)] == [0, 30 * 60_000, 31 * 60_000]


def test_nanoseconds_since_1970_are_exact(tmp_path: Path) -> None:
    start = 1_711_846_799_123_456_789
    text = "".join(f"{start + step},1\n" for step in (0, 1, 2))
    (tmp_path / "log.csv").write_text("t,a\n" + text)
    np.savez(tmp_path / "log.npz", t=np.array([start, start + 1, start + 2]), a=np.ones(3))
    for name in ("log.csv", "log.npz"):
        config = TableConfig.model_validate({"path": name, "time": "t", "time_scale": 1e-9})
        sensor = TableSensor(config, SensorContext(clock=ManualClock(), epoch_ns=0, base_dir=tmp_path))
        assert sensor.spec.period_ns == 1


@pytest.mark.parametrize("dtype", ["datetime64[ms]", "datetime64[us]", "datetime64[ns]", "timedelta64[ms]"])
def test_numpy_times_keep_their_unit(tmp_path: Path, dtype: str) -> None:
    start = 1_711_846_799_000 if dtype.startswith("d") else 0
    times = (np.array([0, 50, 100]) + start).astype(f"{dtype[:-4]}[ms]").astype(dtype)
    np.savez(tmp_path / "log.npz", t=times, a=np.arange(3.0), b=np.array([True, False, True]))
    assert replay(tmp_path, "log.npz") == [(0, [0.0, 1.0]), (50, [1.0, 0.0]), (100, [2.0, 1.0])]


def test_a_row_without_a_time_is_refused_or_left_out(tmp_path: Path) -> None:
    times = np.array(["2024-01-01T00:00:00.000", "NaT", "2024-01-01T00:00:00.050", "2024-01-01T00:00:01"])
    np.savez(tmp_path / "log.npz", t=times.astype("datetime64[ms]"), a=np.arange(4.0))
    assert "row 2, column 't' holds no number" in refusal(tmp_path, "log.npz")
    expected = [(0, [0.0]), (50, [2.0]), (1000, [3.0])]
    assert replay(tmp_path, "log.npz", missing="drop") == expected
    assert replay(tmp_path, "log.npz", missing="hold") == expected


@pytest.mark.parametrize(
    ("arrays", "settings", "message"),
    [
        ({"t": np.zeros(3), "a": np.zeros((3, 2))}, {}, "a has shape (3, 2)"),
        ({"t": np.zeros(3), "a": np.zeros(2)}, {}, "a has shape (2,)"),
        ({"x": np.zeros(3), "a": np.zeros(3)}, {}, "give one of x, a"),
        ({"t": np.zeros(3), "a": np.array(["x", "y", "z"])}, {}, "column 'a' holds <U1"),
        ({"t": np.array([1, 2, 3], "timedelta64[Y]"), "a": np.zeros(3)}, {}, "give a unit up to weeks"),
        ({"d": np.zeros((3, 3)), "d__cols": np.array(["t", "a", "a"])}, {}, "2 columns are named 'a'"),
        ({"d": np.zeros((3, 3)), "d__cols": np.array(["t", "a"])}, {}, "d has shape (3, 3) for 2 names"),
        ({"d": np.zeros((3, 3))}, {}, "no array d__cols"),
    ],
)
def test_arrays_that_are_no_table_are_refused(
    tmp_path: Path, arrays: dict[str, Any], settings: dict[str, Any], message: str
) -> None:
    np.savez(tmp_path / "log.npz", **arrays)
    assert message in refusal(tmp_path, "log.npz", **settings)


def test_one_array_under_the_name_of_an_archive_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((3, 2)))
    (tmp_path / "log.npz").write_bytes(buffer.getvalue())
    assert "np.savez" in refusal(tmp_path, "log.npz")


@pytest.mark.parametrize("suffix", ["npz", "parquet"])
@pytest.mark.parametrize(
    "data", [b"", b"PK\3\4 half of an archive", b"PAR1 half of a table PAR1", b"\0" * 64]
)
def test_a_damaged_file_is_refused(tmp_path: Path, suffix: str, data: bytes) -> None:
    pytest.importorskip("pyarrow")
    (tmp_path / f"log.{suffix}").write_bytes(data)
    assert "cannot be read as a table" in refusal(tmp_path, f"log.{suffix}")


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("kind", ["timestamp", "zoned", "duration"])
def test_parquet_times_keep_their_unit(tmp_path: Path, unit: str, kind: str) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    types = {
        "timestamp": pyarrow.timestamp(unit),
        "zoned": pyarrow.timestamp(unit, tz="Europe/Berlin"),
        "duration": pyarrow.duration(unit),
    }
    a_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    times = pyarrow.array([1_711_846_799 * a_second + step * a_second for step in range(3)], types[kind])
    columns = {"t": times, "a": pyarrow.array([1, None, 3]), "b": pyarrow.array([True, False, True])}
    parquet.write_table(pyarrow.table(columns), tmp_path / "log.parquet")
    rows = replay(tmp_path, "log.parquet", missing="hold")
    assert rows == [(0, [1.0, 1.0]), (1000, [1.0, 0.0]), (2000, [3.0, 1.0])]
    assert "remove `time_scale`" in refusal(tmp_path, "log.parquet", missing="hold", time_scale=1e-3)


def test_parquet_columns_without_numbers_are_refused_by_name(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    texts = pyarrow.array(["x", "y", "z"])
    for column in (texts, texts.dictionary_encode(), pyarrow.array([[1], [2], [3]])):
        parquet.write_table(pyarrow.table({"t": [0.0, 1.0, 2.0], "a": column}), tmp_path / "log.parquet")
        assert "column 'a' holds" in refusal(tmp_path, "log.parquet")
    parquet.write_table(pyarrow.table({"t": MOMENTS, "a": [0.0, 1.0, 2.0]}), tmp_path / "log.parquet")
    assert replay(tmp_path, "log.parquet") == [(0, [0.0]), (50, [1.0]), (100, [2.0])]


def test_a_column_named_twice_in_the_config_is_refused() -> None:
    with pytest.raises(ValidationError, match="name each column once"):
        TableConfig(path=Path("log.csv"), time="t", columns=("a", "a"))
