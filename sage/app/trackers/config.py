"""Settings of trackers, as entries of the configuration's list `tracking.to`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from sage.runtime.config import Section

Kind = Literal["wandb", "trackio", "tensorboard", "prometheus", "otel"]
KINDS: tuple[Kind, ...] = ("wandb", "trackio", "tensorboard", "prometheus", "otel")


class WandbConfig(Section):
    """Weights & Biases. mode: offline writes files for `wandb sync`; online needs a network and a key."""

    kind: Literal["wandb"] = "wandb"
    project: str = Field("sage", min_length=1)
    mode: Literal["offline", "online"] | None = Field(
        None, description="null: the environment's WANDB_MODE, else offline"
    )


class TrackioConfig(Section):
    """trackio: a local database, read by `trackio show`."""

    kind: Literal["trackio"] = "trackio"
    project: str = Field("sage", min_length=1)


class TensorBoardConfig(Section):
    """TensorBoard event files in the folder of the session or run."""

    kind: Literal["tensorboard"] = "tensorboard"


class PrometheusConfig(Section):
    """Prometheus text: a file that is replaced at each report, a port with /metrics, or both."""

    kind: Literal["prometheus"] = "prometheus"
    file: Path | None = Field(None, description="null: metrics.prom in the folder of the session or run")
    port: int | None = Field(None, ge=1, le=65535, description="null: no port is opened")
    host: str = Field("127.0.0.1", min_length=1)


class OtelConfig(Section):
    """OpenTelemetry metrics over OTLP/HTTP."""

    kind: Literal["otel"] = "otel"
    endpoint: str = Field("http://127.0.0.1:4318/v1/metrics", pattern=r"^https?://.+")
    timeout_secs: float = Field(5.0, gt=0, le=60, description="of one request")


TrackerConfig = Annotated[
    WandbConfig | TrackioConfig | TensorBoardConfig | PrometheusConfig | OtelConfig,
    Field(discriminator="kind"),
]


class TrackingConfig(Section):
    """Trackers of a session, all at once, and how often they receive figures."""

    every_secs: float = Field(10.0, gt=0, le=3600, description="time on the loop's clock between two reports")
    to: tuple[TrackerConfig, ...] = ()

    @model_validator(mode="after")
    def _one_of_each(self) -> TrackingConfig:
        kinds = [each.kind for each in self.to]
        if len(set(kinds)) < len(kinds):
            raise ValueError(f"tracking.to has {max(kinds, key=kinds.count)} twice: give each kind once")
        return self


def default_of(kind: str) -> TrackerConfig:
    """The entry of a kind with its defaults. ValueError for an unknown kind."""
    makers = {
        "wandb": WandbConfig,
        "trackio": TrackioConfig,
        "tensorboard": TensorBoardConfig,
        "prometheus": PrometheusConfig,
        "otel": OtelConfig,
    }
    if kind not in makers:
        raise ValueError(f"{kind} is no tracker: give one of {', '.join(KINDS)}")
    made: TrackerConfig = makers[kind]()
    return made
