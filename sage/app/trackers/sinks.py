"""The sinks: what each tracker's package is called with. Each is made, called and closed in one thread.

Names of figures are paths, for example `sources/imu/trust`. Prometheus and OpenTelemetry receive the first
and the last part as the metric's name (`sage_sources_trust`) and what is between as the label `name`.
"""

from __future__ import annotations

import logging
import math
import os
import re
import sys
from collections.abc import Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from sage.app.trackers.config import OtelConfig, PrometheusConfig, TrackioConfig, WandbConfig

#: Time to reach the server in mode online; the sink's thread alone waits.
WANDB_INIT_SECS = 60.0


class WandbSink:
    """A run of Weights & Biases, with its files in the folder."""

    def __init__(self, config: WandbConfig, folder: Path, about: Mapping[str, Any]) -> None:
        wandb: Any = import_module("wandb")
        folder.mkdir(parents=True, exist_ok=True)
        self._run: Any = wandb.init(
            project=config.project,
            name=folder.name,
            id=folder.name,
            dir=str(folder),
            config=dict(about),
            mode=config.mode or os.environ.get("WANDB_MODE") or "offline",
            resume="allow",
            settings=wandb.Settings(silent=True, init_timeout=WANDB_INIT_SECS),
        )

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        self._run.log(dict(figures), step=step)

    def close(self) -> None:
        self._run.finish()


class TrackioSink:
    """A run of trackio in its local database."""

    def __init__(self, config: TrackioConfig, folder: Path, about: Mapping[str, Any]) -> None:
        os.environ.setdefault("TRACKIO_DIR", str(folder / "trackio"))
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        trackio: Any = import_module("trackio")
        _silence("trackio")
        self._run: Any = trackio.init(
            project=config.project,
            name=folder.name,
            config=dict(about),
            resume="allow",
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        self._run.log(_finite(figures), step=step)

    def close(self) -> None:
        _silence("trackio")  # with modules that were imported since
        self._run.finish()


class TensorBoardSink:
    """Event files in FOLDER/tensorboard."""

    def __init__(self, folder: Path) -> None:
        writer: Any = import_module("torch.utils.tensorboard").SummaryWriter
        self._writer = writer(str(folder / "tensorboard"))

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        for name, value in _finite(figures).items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


class PrometheusSink:
    """Gauges in a file that is replaced as a whole at each report, and at /metrics of a port."""

    def __init__(self, config: PrometheusConfig, folder: Path) -> None:
        client: Any = import_module("prometheus_client")
        self._client = client
        self._family: Any = import_module("prometheus_client.core").Metric
        self._registry = client.CollectorRegistry()
        #: (metric, label): its value. Replaced as a whole: the port is read in another thread. A figure that
        #: is not defined any more has no sample; one that is not part of a report keeps its last.
        self._values: dict[tuple[str, str], float] = {}
        self._registry.register(self)
        self._file = config.file or folder / "metrics.prom"
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._server: Any = None
        if config.port is not None:
            self._server, _ = client.start_http_server(config.port, config.host, self._registry)

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        found = {_named(path): value for path, value in _finite(figures).items()}
        undefined = {_named(path) for path, value in figures.items() if not math.isfinite(value)}
        kept = {name: value for name, value in self._values.items() if name not in undefined}
        self._values = {**kept, ("sage_step", ""): float(step), **found}
        self._client.write_to_textfile(str(self._file), self._registry)

    def collect(self) -> list[Any]:
        """For the registry: the families. A figure without a name has no label."""
        families: dict[str, Any] = {}
        for (metric, label), value in self._values.items():
            if metric not in families:
                families[metric] = self._family(metric, metric.replace("_", " "), "gauge")
            families[metric].add_sample(metric, {"name": label} if label else {}, value)
        return list(families.values())

    def close(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()


class OtelSink:
    """Gauges that are exported over OTLP/HTTP once for each report."""

    def __init__(self, config: OtelConfig, folder: Path, about: Mapping[str, Any]) -> None:
        metrics: Any = import_module("opentelemetry.sdk.metrics")
        export: Any = import_module("opentelemetry.sdk.metrics.export")
        resources: Any = import_module("opentelemetry.sdk.resources")
        otlp: Any = import_module("opentelemetry.exporter.otlp.proto.http.metric_exporter")
        # A result or an exception has what failed. Without a handler the SDK's own lines would go to stderr.
        logging.getLogger("opentelemetry").addHandler(logging.NullHandler())
        self._exporter = otlp.OTLPMetricExporter(endpoint=config.endpoint, timeout=config.timeout_secs)
        self._accepted = export.MetricExportResult.SUCCESS
        # A reader that is asked, not one with a clock: each report is sent once, and its result is seen.
        self._reader = export.InMemoryMetricReader()
        resource = resources.Resource.create({"service.name": "sage", "sage.run": folder.name})
        provider = metrics.MeterProvider([self._reader], resource=resource, shutdown_on_exit=False)
        self._meter = provider.get_meter("sage", str(about.get("sage", "")))
        self._observation: Any = import_module("opentelemetry.metrics").Observation
        self._gauges: dict[str, Any] = {}
        #: Of the newest report, by metric and label. A figure that is not defined has no point.
        self._points: dict[str, dict[str, float]] = {}
        self._endpoint = config.endpoint

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        self._points = {}
        for path, value in {**_finite(figures), "step": float(step)}.items():
            metric, label = _named(path)
            self._points.setdefault(metric, {})[label] = value
            if metric not in self._gauges:
                observe = partial(self._observe, metric)
                self._gauges[metric] = self._meter.create_observable_gauge(metric, [observe])
        if self._exporter.export(self._reader.get_metrics_data()) is not self._accepted:
            raise OSError(f"{self._endpoint} was not reached, or did not accept the figures")

    def _observe(self, metric: str, _: Any) -> list[Any]:
        points = self._points.get(metric, {})
        return [self._observation(value, {"name": label} if label else {}) for label, value in points.items()]

    def close(self) -> None:
        self._exporter.shutdown()


def _silence(package: str) -> None:
    """What the package prints is dropped: stdout is that of the command, in all threads."""

    def print_nothing(*_: Any, **__: Any) -> None: ...

    for name, module in list(sys.modules.items()):
        if name == package or name.startswith(f"{package}."):
            vars(module)["print"] = print_nothing


def _finite(figures: Mapping[str, float]) -> dict[str, float]:
    return {name: float(value) for name, value in figures.items() if math.isfinite(value)}


def _named(path: str) -> tuple[str, str]:
    """The metric's name and its label: "sources/imu/trust" -> ("sage_sources_trust", "imu")."""
    first, *middle, last = path.split("/") if "/" in path else ("", path)
    words = [word for word in ("sage", first, last) if word]
    return re.sub(r"[^a-zA-Z0-9_]", "_", "_".join(words)), "/".join(middle)
