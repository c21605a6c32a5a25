"""Opening the trackers of a session or a training run.

Invariant: a package that is missing is one UserError with the command that installs it, before anything runs.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from sage.app.terminal.errors import UserError
from sage.app.trackers.background import BackgroundSink
from sage.app.trackers.config import (
    OtelConfig,
    PrometheusConfig,
    TensorBoardConfig,
    TrackerConfig,
    TrackioConfig,
    WandbConfig,
    default_of,
)
from sage.hrm_core.training.tracker import Sink

#: Of each kind: the module that must be found, and the extra that installs it.
_NEEDS = {
    "wandb": ("wandb", "wandb"),
    "trackio": ("trackio", "trackio"),
    "tensorboard": ("tensorboard", "tensorboard"),
    "prometheus": ("prometheus_client", "prometheus"),
    "otel": ("opentelemetry.exporter.otlp.proto.http", "otel"),
}


def chosen(
    configured: Sequence[TrackerConfig], names: Sequence[str], *, option: str = "--track"
) -> tuple[TrackerConfig, ...]:
    """The configured trackers and those named by the option, which have their defaults; each kind once.
    UserError for an unknown name.
    """
    found = {each.kind: each for each in configured}
    for text in names:
        for name in filter(None, text.split(",")):
            try:
                entry = default_of(name)
            except ValueError as error:
                raise UserError(f"{option}: {error}") from None
            found.setdefault(entry.kind, entry)
    return tuple(found.values())


def check_packages(configs: Sequence[TrackerConfig], *, option: str = "tracking.to") -> None:
    """UserError for the first tracker whose package is not installed."""
    for config in configs:
        module, extra = _NEEDS[config.kind]
        if not _is_installed(module):
            raise UserError(f"{option}: {config.kind} is not installed: pip install 'sage-runtime[{extra}]'")


def open_trackers(
    configs: Sequence[TrackerConfig], folder: Path, about: Mapping[str, Any]
) -> list[BackgroundSink]:
    """Trackers that open in their own threads. folder: of the session or run; its name is the run's name.
    about: facts of the run, for those that take some. UserError for a missing package.
    """
    check_packages(configs)
    return [BackgroundSink(each.kind, partial(_make, each, folder, dict(about))) for each in configs]


def _make(config: TrackerConfig, folder: Path, about: Mapping[str, Any]) -> Sink:
    from sage.app.trackers import sinks

    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(config, WandbConfig):
        return sinks.WandbSink(config, folder, about)
    if isinstance(config, TrackioConfig):
        return sinks.TrackioSink(config, folder, about)
    if isinstance(config, TensorBoardConfig):
        return sinks.TensorBoardSink(folder)
    if isinstance(config, PrometheusConfig):
        return sinks.PrometheusSink(config, folder)
    assert isinstance(config, OtelConfig)
    return sinks.OtelSink(config, folder, about)


def _is_installed(module: str) -> bool:
    """Without importing it: a package may take seconds."""
    top = module.partition(".")[0]
    if sys.modules.get(top, "") is None:
        return False
    try:
        return module in sys.modules or importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False
