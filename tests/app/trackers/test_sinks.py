"""What each tracker receives, by its own package; Prometheus and OpenTelemetry over a real socket."""

from __future__ import annotations

import json
import math
import socket
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from sage.app.terminal.errors import UserError
from sage.app.trackers.config import (
    OtelConfig,
    PrometheusConfig,
    TensorBoardConfig,
    TrackerConfig,
    TrackingConfig,
    TrackioConfig,
    WandbConfig,
)
from sage.app.trackers.opening import check_packages, chosen, open_trackers
from sage.app.trackers.sinks import OtelSink, PrometheusSink

FIGURES = {"loop/tick_ms_p50": 3.5, "sources/imu/trust": 0.75, "sources/imu/surprise": math.nan}


def _send(config: TrackerConfig, folder: Path) -> None:
    [tracker] = open_trackers((config,), folder, {"sage": "0"})
    tracker.log(7, FIGURES)
    tracker.close(60.0)
    assert tracker.notices() == ()
    assert tracker.statistics().num_logged == 1


def test_wandb_writes_files_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    for name in ("CACHE", "CONFIG", "DATA"):
        monkeypatch.setenv(f"WANDB_{name}_DIR", str(tmp_path / name.lower()))
    _send(WandbConfig(project="puzzles"), tmp_path / "run-7")
    wandb.teardown()  # waits for the process of wandb that writes the file
    [log] = tmp_path.glob("run-7/wandb/offline-run-*/run-run-7.wandb")
    content = log.read_bytes()
    assert b"sources/imu/trust" in content
    assert b"puzzles" in content


def test_trackio_keeps_a_local_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("trackio")
    import trackio.utils

    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    monkeypatch.setattr(trackio.utils, "TRACKIO_DIR", tmp_path / "trackio")
    monkeypatch.setattr("trackio.sqlite_storage.TRACKIO_DIR", tmp_path / "trackio")
    _send(TrackioConfig(project="puzzles"), tmp_path / "run-7")
    [path] = (tmp_path / "trackio").glob("*.db")
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT run_name, step, metrics FROM metrics").fetchall()
    connection.close()
    [(run, step, metrics)] = rows
    assert (run, step) == ("run-7", 7)
    assert "sources/imu/trust" in str(metrics)


def test_tensorboard_reads_what_was_written(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    _send(TensorBoardConfig(), tmp_path)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    [trust] = events.Scalars("sources/imu/trust")
    assert (trust.step, trust.value) == (7, 0.75)
    assert "sources/imu/surprise" not in events.Tags()["scalars"]  # NaN


def test_prometheus_text_is_in_a_file_and_at_a_port(tmp_path: Path) -> None:
    pytest.importorskip("prometheus_client")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    [tracker] = open_trackers((PrometheusConfig(port=port),), tmp_path, {})
    tracker.log(7, FIGURES)
    while not tracker.statistics().num_logged:
        assert tracker.statistics().problem == ""
    text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read().decode()
    tracker.close()
    assert text == (tmp_path / "metrics.prom").read_text()
    assert 'sage_sources_trust{name="imu"} 0.75' in text
    assert "sage_loop_tick_ms_p50 3.5" in text
    assert 'name=""' not in text
    assert "surprise" not in text


def test_a_figure_that_is_not_defined_any_more_is_no_figure(tmp_path: Path) -> None:
    pytest.importorskip("prometheus_client")
    sink = PrometheusSink(PrometheusConfig(), tmp_path)
    sink.log(1, {"sources/imu/trust": 0.9, "nights/gain": 0.5})
    sink.log(2, {"sources/imu/trust": math.nan})
    text = (tmp_path / "metrics.prom").read_text()
    assert "imu" not in text
    assert "sage_nights_gain 0.5" in text
    assert "sage_step 2" in text


class _Collector(BaseHTTPRequestHandler):
    bodies: list[bytes]

    def do_POST(self) -> None:
        self.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[HTTPServer]:
    _Collector.bodies = []
    server = HTTPServer(("127.0.0.1", 0), _Collector)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_collector_receives_gauges(collector: HTTPServer, tmp_path: Path) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

    endpoint = f"http://127.0.0.1:{collector.server_port}/v1/metrics"
    _send(OtelConfig(endpoint=endpoint), tmp_path / "run-7")
    [body] = _Collector.bodies
    [resource] = ExportMetricsServiceRequest.FromString(body).resource_metrics
    [scope] = resource.scope_metrics
    points = {metric.name: metric.gauge.data_points[0] for metric in scope.metrics}
    assert points["sage_sources_trust"].as_double == 0.75
    assert points["sage_sources_trust"].attributes[0].value.string_value == "imu"
    assert points["sage_step"].as_double == 7
    assert "sage_sources_surprise" not in points


def test_a_collector_receives_no_figure_that_is_not_defined_any_more(
    collector: HTTPServer, tmp_path: Path
) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

    endpoint = f"http://127.0.0.1:{collector.server_port}/v1/metrics"
    sink = OtelSink(OtelConfig(endpoint=endpoint), tmp_path / "run-7", {})
    for step, trust in enumerate((0.9, math.nan)):
        sink.log(step, {"sources/imu/trust": trust, "loop/load": float(step)})
    sink.close()
    [resource] = ExportMetricsServiceRequest.FromString(_Collector.bodies[-1]).resource_metrics
    [scope] = resource.scope_metrics
    points = {
        metric.name: [point.as_double for point in metric.gauge.data_points] for metric in scope.metrics
    }
    assert points == {"sage_loop_load": [1.0], "sage_step": [1.0]}


def test_an_absent_collector_is_counted_and_delays_nothing(tmp_path: Path) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    [tracker] = open_trackers((OtelConfig(endpoint="http://127.0.0.1:9/", timeout_secs=0.2),), tmp_path, {})
    tracker.log(7, FIGURES)
    tracker.close(60.0)
    assert tracker.statistics().num_dropped == 1
    assert "127.0.0.1:9" in tracker.notices()[0]


@pytest.mark.parametrize("kind", ["trackio", "otel"])
def test_a_tracker_prints_nothing_of_its_own(kind: str, tmp_path: Path) -> None:
    """In a process of its own, with no collector: what packages print is said once, before a test begins."""
    pytest.importorskip("trackio" if kind == "trackio" else "opentelemetry.exporter.otlp.proto.http")
    code = f"""
from pathlib import Path
from sage.app.terminal.logs import log_to_stderr
from sage.app.trackers.config import OtelConfig, TrackioConfig
from sage.app.trackers.opening import open_trackers
log_to_stderr()
otel = OtelConfig(endpoint="http://127.0.0.1:9/", timeout_secs=2)
config = TrackioConfig() if {kind!r} == "trackio" else otel
[tracker] = open_trackers([config], Path({str(tmp_path)!r}) / "run-7", {{}})
for step in range(2):
    tracker.log(step, {{"loop/load": 1.0}})
tracker.close(60.0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    events = [json.loads(line)["event"] for line in done.stderr.splitlines()]
    assert events == ([] if kind == "trackio" else ["tracker failed", "figures not tracked"])


def test_names_add_to_what_is_configured_each_kind_once() -> None:
    found = chosen((WandbConfig(project="mine"),), ["wandb,otel", "tensorboard"])
    assert [each.kind for each in found] == ["wandb", "otel", "tensorboard"]
    assert found[0] == WandbConfig(project="mine")
    with pytest.raises(UserError, match="--track: mlflow is no tracker: give one of wandb, "):
        chosen((), ["mlflow"])
    with pytest.raises(ValueError, match="twice"):
        TrackingConfig(to=(WandbConfig(), WandbConfig()))


@pytest.mark.parametrize("kind", ["wandb", "trackio", "tensorboard", "prometheus", "otel"])
def test_a_missing_package_is_one_line(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("wandb", "trackio", "tensorboard", "prometheus_client", "opentelemetry"):
        monkeypatch.setitem(sys.modules, module, None)  # as if it could not be imported
    with pytest.raises(
        UserError, match=rf"tracking.to: {kind} is not installed: pip install 'sage-runtime\[{kind}\]'"
    ):
        check_packages(chosen((), [kind]))
