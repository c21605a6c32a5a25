"""Coherence figures in the store, their summaries, and `sage coherence`."""

from __future__ import annotations

import json
import math
import sqlite3

import pytest
from typer.testing import CliRunner

from sage.app.cli.main import app
from sage.app.config.state_dir import STORE_NAME
from sage.app.report.coherence import summarize
from sage.app.session.synthetic import SyntheticSession
from sage.app.store.export import export_session
from sage.app.store.metrics_store import MetricsStore
from sage.app.store.schema import MODEL_COLUMNS, POSTURE_COLUMNS
from sage.runtime.coherence.rows import CoherenceRow


def row(tick: int, value: float, z: float = math.nan, metric: str = "rep.cka") -> CoherenceRow:
    return CoherenceRow(
        metric=metric,
        modules="z_H,z_L",
        tick=tick,
        time_ns=tick * 10,
        num=64,
        value=value,
        null_mean=0.1,
        z=z,
    )


ROWS = (row(64, 0.5, 3.0), row(64, math.nan, metric="info.tc"), row(128, 0.7, -1.0))


def played(store: MetricsStore, rows: tuple[CoherenceRow, ...] = ROWS, **facts: object) -> str:
    session = store.begin_session(**facts)
    writer = store.instrument(session)
    SyntheticSession(num_ticks=20).play(writer)
    writer.on_coherence(rows)
    assert writer.flush()
    return session


def test_rows_come_back_as_they_were_written(store) -> None:
    session = played(store)
    assert [str(each) for each in store.coherence(session)] == [str(ROWS[1]), str(ROWS[0]), str(ROWS[2])]
    assert store.coherence(played(store, ())) == ()


def test_a_store_of_schema_version_3_is_upgraded(tmp_path) -> None:
    path = tmp_path / "metrics.sqlite"
    with MetricsStore(path, flush_secs=0.01) as store:
        session = played(store)
    with sqlite3.connect(path) as connection:
        for column in (*POSTURE_COLUMNS, *MODEL_COLUMNS):  # of later versions
            connection.execute(f"ALTER TABLE ticks DROP COLUMN {column.name}")
        for table in ("coherence", "episodes", "boards"):
            connection.execute(f"DROP TABLE {table}")
        connection.execute("PRAGMA user_version = 3")
    connection.close()
    with MetricsStore(path, must_exist=True, flush_secs=0.01) as store:
        assert store.coherence(session) == ()
        assert len(store.coherence(played(store))) == 3


def test_a_summary_leaves_out_undefined_windows() -> None:
    cka = next(each for each in summarize(ROWS) if each.metric == "rep.cka")
    assert (cka.num_windows, cka.last, cka.mean_z, cka.share_beyond_2) == (2, 0.7, 1.0, 0.5)
    assert cka.mean == pytest.approx(0.6)
    undefined = next(each for each in summarize(ROWS) if each.metric == "info.tc")
    assert undefined.num_windows == 0
    assert math.isnan(undefined.mean)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_an_export_has_the_figures(store, tmp_path, suffix: str) -> None:
    session = store.session(played(store))
    files = export_session(store, session, tmp_path / f"out{suffix}")
    if suffix == ".parquet":
        import pyarrow.parquet as pq

        assert pq.read_table(files[-1]).num_rows == 3
    else:
        assert files[-1].read_text().count("rep.cka") == 2


@pytest.fixture
def state_dir(tmp_path):
    with MetricsStore(tmp_path / STORE_NAME, flush_secs=0.01) as store:
        played(store, name="one")
        played(store, (row(64, 0.25, 1.0),), name="two")
        played(store, (), name="none")
    return tmp_path


def call(*arguments: str, state_dir) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["coherence", *arguments, "--state-dir", str(state_dir)])
    return result.exit_code, result.output


def test_one_session_is_printed_and_two_are_compared(state_dir) -> None:
    code, text = call("one", state_dir=state_dir)
    assert code == 0
    assert "rep.cka (z_H,z_L)" in text
    assert "0.70" in text
    code, text = call("one", "two", state_dir=state_dir)
    assert code == 0
    assert "0.60" in text
    assert "0.25" in text
    code, text = call("one", "two", "--json", state_dir=state_dir)
    document = json.loads(text)
    assert document["two"][0]["mean"] == 0.25
    assert document["one"][0]["mean"] is None


@pytest.mark.parametrize(
    ("arguments", "message"), [(["none"], "has no coherence figures"), (["nothing"], "is not in")]
)
def test_a_session_without_figures_is_refused_in_one_line(state_dir, arguments, message) -> None:
    result = CliRunner().invoke(app, ["coherence", *arguments, "--state-dir", str(state_dir)])
    assert result.exit_code != 0
    assert message in str(result.exception or result.output)
