"""Exports hold every tick, with types, and refuse unknown formats."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import sqlite3

import pytest

from sage.app.session.synthetic import SyntheticSession
from sage.app.store.export import export_session
from sage.app.terminal.errors import UserError
from sage.runtime.report import Event, TickReport


def test_csv_and_jsonl_hold_every_tick(store, tmp_path, record):
    session = record(store, SyntheticSession(num_ticks=60))
    ticks, sleeps, events, _ = export_session(store, store.session(session), tmp_path / "out" / "run.csv")
    with ticks.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 60
    assert rows[0]["coherence"] == ""
    assert float(rows[59]["imu.trust"]) > 0.5
    assert "accepted" in sleeps.read_text()
    assert "quarantine" in events.read_text()
    (lines,) = export_session(store, store.session(), tmp_path / "run.jsonl")
    parsed = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [line["type"] for line in parsed].count("tick") == 60
    assert parsed[1]["sources"]["imu"]["status"] == "running"
    assert parsed[0]["type"] == "session"


def test_an_infinite_figure_is_null_in_json(store, tmp_path):
    writer = store.instrument(store.begin_session())
    (item,) = (each for each in SyntheticSession(num_ticks=1).items() if isinstance(each, TickReport))
    sources = (dataclasses.replace(each, surprise=math.inf) for each in item.facts.sources)
    writer.on_tick(dataclasses.replace(item, facts=dataclasses.replace(item.facts, sources=tuple(sources))))
    assert writer.flush(20)
    (lines,) = export_session(store, store.session(), tmp_path / "run.jsonl")
    (tick,) = (each for each in map(json.loads, lines.read_text().splitlines()) if each["type"] == "tick")
    assert tick["sources"]["imu"]["surprise"] is None


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_an_interrupted_export_leaves_the_files_of_the_one_before(
    store, tmp_path, record, monkeypatch, suffix
):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    session = store.session(record(store, SyntheticSession(num_ticks=60)))
    export_session(store, session, tmp_path / f"run{suffix}")
    before = {each.name: each.read_bytes() for each in tmp_path.iterdir()}

    def interrupt(_: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(store, "coherence", interrupt)
    store.instrument(session.id).on_event(Event(kind="later", tick=60))
    assert store.instrument(session.id).flush()
    with pytest.raises(KeyboardInterrupt):
        export_session(store, session, tmp_path / f"run{suffix}")
    of_export = [
        each for each in tmp_path.iterdir() if each.name.startswith("run") or each.suffix == ".partial"
    ]
    assert {each.name: each.read_bytes() for each in of_export} == {
        name: content for name, content in before.items() if name.startswith("run")
    }


def test_a_damaged_page_is_one_line(store, tmp_path, record):
    session = store.session(record(store, SyntheticSession(num_ticks=20)))
    store.close()
    with sqlite3.connect(store.path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'ticks'").fetchone()
        (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    with store.path.open("r+b") as file:
        file.seek((page - 1) * page_bytes)
        file.write(b"\xff" * page_bytes)
    with pytest.raises(UserError, match="malformed"):
        export_session(store, session, tmp_path / "ticks.csv")


def test_parquet_reads_back_with_its_types(store, tmp_path, record):
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    session = record(store, SyntheticSession(num_ticks=60))
    table = parquet.read_table(export_session(store, store.session(session), tmp_path / "run.parquet")[0])
    assert table.num_rows == 60
    assert str(table.schema.field("imu.trust").type) == "double"
    assert math.isclose(sum(table["imu.num_fresh"].to_pylist()), 20)


def test_an_export_to_an_unknown_format_lists_the_known_ones(store, tmp_path, record):
    session = record(store, SyntheticSession(num_ticks=2))
    with pytest.raises(UserError, match=r"\.parquet, \.csv or \.jsonl"):
        export_session(store, store.session(session), tmp_path / "run.xlsx")
