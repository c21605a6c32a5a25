"""Small worlds for the runtime's tests: two sources of five channels, a model of a few thousand weights,
stretches to learn.

Invariant: everything is drawn from a seed; equal calls give equal tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from sage.app.config.sage_config import SageConfig, build_config
from sage.app.config.yaml_file import YamlDocument
from sage.app.session.build import Run, build_run
from sage.hrm_core.observation.model import ObservationModel
from sage.mailbox.clock import Clock, ManualClock
from sage.mailbox.tensor_spec import TensorSpec
from sage.memory.windows.window import Window
from sage.runtime.channels.layout import Layout
from sage.runtime.config import ModelSection
from sage.runtime.report import Instrument
from sage.runtime.tick.reasoner import build_model
from sage.sensors.contract import SensorSpec

DIMS = (2, 3)
NUM_TICKS = 9


@pytest.fixture(scope="session")
def spec() -> Callable[..., SensorSpec]:
    def make(name: str, size: int = 2, **changed: object) -> SensorSpec:
        given = {"modality": "physical", "period_ns": 50_000_000, "observes": ("position", "m")} | changed
        return SensorSpec(name=name, tensor=TensorSpec(shape=(size,)), **given)

    return make


@pytest.fixture(scope="session")
def layout(spec: Callable[..., SensorSpec]) -> Layout:
    return Layout.of([spec(name, size) for name, size in zip("ab", DIMS)])


@pytest.fixture(scope="session")
def section() -> ModelSection:
    return ModelSection(hidden_size=16, num_heads=2, H_cycles=1, L_cycles=1)


@pytest.fixture
def model(layout: Layout, section: ModelSection) -> ObservationModel:
    return build_model(layout, 0, section, seed=0)


@pytest.fixture(scope="session")
def stretches(layout: Layout, section: ModelSection) -> Callable[..., Window]:
    """`num` stretches of x' = keep x + noise: for keep -0.8 nine tenths of the next change can be told from
    x; the skip is 0.
    """
    initial = build_model(layout, 0, section, seed=0).initial_carry(1, torch.device("cpu"))

    def lived(num: int, seed: int = 0, *, keep: float = -0.8) -> Window:
        generator = np.random.default_rng(seed)
        size = sum(DIMS)
        x = [generator.normal(0, 1, (num, size))]
        for _ in range(NUM_TICKS):
            x.append(keep * x[-1] + np.sqrt(1 - keep**2) * generator.normal(0, 1, (num, size)))
        values = torch.tensor(np.stack(x, axis=1), dtype=torch.float32)  # (B, T + 2, C)
        per_source = torch.ones(num, NUM_TICKS, len(DIMS))
        nothing = torch.zeros(num, NUM_TICKS, size)
        return Window(
            values=values[:, 1:], deltas=values.diff(dim=1), skip=nothing, cross=nothing.clone(),
            present=per_source > 0, fresh=per_source > 0, age_secs=0 * per_source, weight=per_source,
            action=torch.zeros(num, NUM_TICKS, 0), reward=torch.full((num, NUM_TICKS), torch.nan),
            z_H=initial.z_H.repeat(num, 1, 1), z_L=initial.z_L.repeat(num, 1, 1),
            start_tick=torch.arange(num), start_time_ns=torch.arange(num) * 1_000_000_000,
        )  # fmt: skip

    return lived


@pytest.fixture(scope="session")
def settings() -> Callable[..., SageConfig]:
    """A small run on made-up sources; sections are replaced whole."""

    def make(num_sources: int = 2, **sections: object) -> SageConfig:
        sensors: list[dict[str, object]] = [
            {"kind": "synthetic", "name": f"s{index}", "shape": [2], "rate_hz": 20, "seed": index}
            for index in range(num_sources)
        ]
        data = {
            "sensors": [*sensors, {"kind": "memory", "name": "recall"}],
            "model": {"hidden_size": 16, "num_heads": 2, "H_cycles": 1, "L_cycles": 1},
            "sleep": {"enabled": False, "examined_fraction": 0.3, "block_secs": 1},
            "practice": {"every_ticks": 8, "batch_size": 2},
            "budget": {"segments": 1},
            "memory": {"num_experiences": 64, "num_recall": 64, "num_transitions": 256},
        } | sections
        return build_config(YamlDocument(data=data, source="test.yaml"))

    return make


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    """Builds and opens a run on a manual clock, or the one given; closes it after the test."""
    runs: list[Run] = []

    def build(
        config: SageConfig, *, clock: Clock | None = None, instruments: tuple[Instrument, ...] = ()
    ) -> Run:
        run = build_run(config, clock or ManualClock(), directory=tmp_path / "sleep", instruments=instruments)
        runs.append(run)
        run.open()
        return run

    yield build
    for run in runs:
        run.close()
