"""Exports of recordings: names of columns and files that would be equal, types of values, damage."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from sage.app.cli.main import invoke
from sage.app.recording.channels import reading_channel
from sage.app.recording.export import Format, export_recording
from sage.app.recording.mcap_sink import McapSink, RunRecord
from sage.app.terminal.errors import UserError
from sage.mailbox.tensor_spec import TensorSpec
from sage.sensors.contract import Reading, SensorSpec
from sage.sensors.recordings.codec import encode_reading, form_of, keys_of

pytest.importorskip("mcap", reason="pip install 'sage-runtime[recording]'")


def spec_of(name: str, dtype: str, channels: tuple[str, ...]) -> SensorSpec:
    tensor = TensorSpec(shape=(len(channels),), dtype=dtype)
    return SensorSpec(
        name=name, modality="physical", tensor=tensor, period_ns=5, observes=("air", "1"), channels=channels
    )


def record(path: Path, sources: list[tuple[SensorSpec, list[int]]], *, damaged: bool = False) -> None:
    """A recording with one reading of each source."""
    sink = McapSink(path, RunRecord(run={"start_ns": "1000"}, effectors=(), config="name: a\n"))
    for spec, values in sources:
        channel = sink.add_channel(reading_channel(spec, form_of(spec)))
        reading = Reading(captured_ns=0, received_ns=0, sequence=7, quality=0.5)
        array = np.array(values, dtype=spec.tensor.dtype)
        message = encode_reading(
            array, reading, form=form_of(spec), keys=keys_of(spec), frame=spec.name, stamp_ns=0
        )
        if damaged:
            del message["noise_std"]
        data = json.dumps(message).encode()
        sink.write(channel, data, log_ns=2000, publish_ns=2000, sequence=0)
    sink.close({})


def only_row(path: Path) -> dict[str, str]:
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            [row] = csv.DictReader(file)
        return row
    parquet = pytest.importorskip("pyarrow.parquet", reason="pip install 'sage-runtime[parquet]'")
    [plain] = parquet.read_table(path).to_pylist()
    return {name: str(value) for name, value in plain.items()}


@pytest.mark.parametrize("file_format", ["csv", "parquet"])
def test_a_channel_with_the_name_of_another_column_has_its_own_values(
    tmp_path: Path, file_format: Format
) -> None:
    spec = spec_of("air", "int32", ("quality", "dust", "sequence", "dust"))
    record(tmp_path / "run.mcap", [(spec, [41, 42, 43, 44])])
    [file] = export_recording(tmp_path / "run.mcap", tmp_path / "out", file_format)
    row = only_row(file)
    assert (row["quality"], row["sequence"], row["received_ns"]) == ("0.5", "7", "2000")
    assert [row[name] for name in ("quality_2", "dust", "sequence_2", "dust_2")] == ["41", "42", "43", "44"]


def test_sources_with_names_that_make_one_file_name_have_files_of_their_own(tmp_path: Path) -> None:
    names = ("left/arm", "left_arm", "ü" * 128)
    record(tmp_path / "run.mcap", [(spec_of(name, "int32", ("a",)), [at]) for at, name in enumerate(names)])
    files = export_recording(tmp_path / "run.mcap", tmp_path / "out", "csv")
    assert [file.name for file in files[:2]] == ["source.left_arm.csv", "source.left_arm_2.csv"]
    assert [only_row(file)["a"] for file in files] == ["0", "1", "2"]


@pytest.mark.parametrize(("dtype", "value"), [("bool", 1), ("int64", -(2**63)), ("float64", 3)])
def test_values_of_every_type_are_exported(tmp_path: Path, dtype: str, value: int) -> None:
    record(tmp_path / "run.mcap", [(spec_of("a", dtype, ("value",)), [value])])
    for file_format in ("csv", "parquet"):
        [file] = export_recording(tmp_path / "run.mcap", tmp_path / "out", file_format)  # type: ignore[arg-type]
        assert only_row(file)["value"] == str(np.dtype(dtype).type(value))


def test_a_message_that_lacks_a_field_is_one_line_and_leaves_the_file_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "source.a.csv").write_text("an earlier export\n")
    record(tmp_path / "run.mcap", [(spec_of("a", "int32", ("value",)), [1])], damaged=True)
    with pytest.raises(UserError, match=r"'noise_std'.*sage recording check"):
        export_recording(tmp_path / "run.mcap", out, "csv")
    assert (out / "source.a.csv").read_text() == "an earlier export\n"
    assert len(list(out.iterdir())) == 1
    arguments = ["recording", "export", str(tmp_path / "run.mcap"), "--out", str(out), "--format", "csv"]
    assert invoke(arguments) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("side", [2, 3, 4])
def test_the_size_of_a_picture_is_that_of_its_bytes(tmp_path: Path, side: int) -> None:
    """Not of their text, which is padded to whole groups of three."""
    tensor = TensorSpec(shape=(side, side), dtype="uint8")
    spec = SensorSpec(name="a", modality="physical", tensor=tensor, period_ns=5, observes=("light", "1"))
    record(tmp_path / "run.mcap", [(spec, np.zeros((side, side)).tolist())])
    [file] = export_recording(tmp_path / "run.mcap", tmp_path / "out", "csv")
    assert only_row(file)["num_bytes"] == str(side * side)


@pytest.mark.parametrize(
    ("metadata", "ending"),
    [({}, {}), ({"sage.spec": "{"}, {}), ({"sage.spec": "[]"}, {}), ({}, {"num_ticks": "3\x1b[2J"})],
)
def test_a_file_of_another_program_is_described_without_its_control_characters(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], metadata: dict[str, str], ending: dict[str, str]
) -> None:
    path = tmp_path / "other.mcap"
    with path.open("wb") as file:
        writer = pytest.importorskip("mcap.writer").Writer(file)
        writer.start()
        schema = writer.register_schema("air\x1b[2J", "jsonschema", b"{}")
        channel = writer.register_channel("/a\x1b]0;title\x07b", "json", schema, metadata)
        writer.add_message(channel, 1, b"{}", 1)
        writer.add_metadata("sage.run", {"name": "c\x1b[31m"})
        if ending:
            writer.add_metadata("sage.end", ending)
        writer.finish()
    assert invoke(["recording", "info", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "/a?]0;title?b" in shown
    assert all(character.isprintable() or character == "\n" for character in shown)
