"""A loop on a manual clock with a camera, an arm of two joints, a policy sensor and its relay."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sage.app.config.sage_config import build_config
from sage.app.config.yaml_file import YamlDocument
from sage.app.session.relays import check_watched, take_relays
from sage.gr00t_integration.embodiment import Embodiment, load_embodiment
from sage.gr00t_integration.loop.relay import GrootRelay, GrootRelayConfig
from sage.gr00t_integration.loop.sensor import GrootConfig, GrootSensor
from sage.mailbox.clock import ManualClock
from sage.mailbox.hub import Hub
from sage.mailbox.tensor_spec import TensorSpec
from sage.runtime.inputs import LoopInputs
from sage.runtime.loop import Loop
from sage.runtime.report import TickReport
from sage.runtime.tick.memory_writer import recall_store
from sage.sensors.config import SensorConfig
from sage.sensors.contract import Effector, Reading, Sensor, SensorContext, SensorSpec
from sage.sensors.driver.sensor_driver import SensorDriver
from sage.sensors.effectors.recording import RecordingConfig, RecordingEffector

TICK_NS = 50_000_000
TINY = """
name: tiny
control_hz: 20
video: {views: {front: [6, 8]}}
state: {dims: {arm: 2}}
action: {horizon: 8, keys: {arm: {dim: 2, low: -1, high: 1}}}
language: annotation.human.task_description
"""


@pytest.fixture
def tiny(tmp_path: Path) -> Embodiment:
    (tmp_path / "tiny.yaml").write_text(TINY)
    return load_embodiment("tiny.yaml", tmp_path)


class Bounded(GrootSensor):
    """Read on the loop's thread, so that a tick's readings are there when it ends."""

    @property
    def spec(self) -> SensorSpec:
        return dataclasses.replace(super().spec, is_bounded=True)


class Probe:
    """A source that returns what a function gives, once a tick."""

    Config = SensorConfig

    def __init__(
        self, name: str, shape: tuple[int, ...], dtype: str, clock: ManualClock, read: Callable[[], Any]
    ) -> None:
        self._clock = clock
        self._read = read
        self._last_ns = -1
        self._num = 0
        self.spec = SensorSpec(
            name=name,
            modality="physical",
            tensor=TensorSpec(shape=shape, dtype=dtype),
            period_ns=TICK_NS,
            observes=("position", "1"),
            is_bounded=True,
        )

    def open(self) -> None: ...

    def read_into(self, out: np.ndarray) -> Reading | None:
        now_ns = self._clock.now_ns()
        if now_ns == self._last_ns:
            return None
        self._last_ns = now_ns
        out[...] = self._read()
        self._num += 1
        return Reading(captured_ns=now_ns, received_ns=now_ns, sequence=self._num - 1)

    def close(self) -> None: ...


class Rig:
    """`tick` advances 50 ms and runs one tick; with `waits` a request is answered before the next tick.

    arm: records what it does.  reports: of every tick.
    """

    def __init__(
        self, folder: Path, address: str, *, rules: Any = None, log: Any = None, **changed: Any
    ) -> None:
        relay_settings = changed.pop("relay", {})
        self.clock = ManualClock(1_000_000_000)
        self.reports: list[TickReport] = []
        self.sensors: list[GrootSensor] = []
        context = SensorContext(clock=self.clock, epoch_ns=self.clock.now_ns(), base_dir=folder)
        self.arm = RecordingEffector(RecordingConfig(name="arm", size=2), context)
        self.hub = Hub(self.clock)
        records = self.hub.peripheral("records", capacity=4096)
        config = GrootConfig(
            address=address, embodiment="tiny.yaml", video={"front": "camera"}, state={"arm": "joints"},
            request_hz=20, timeout_secs=changed.pop("timeout_secs", 10.0), backoff_secs=0.1, **changed,
        )  # fmt: skip
        self.relay = GrootRelay(
            GrootRelayConfig(embodiment="tiny.yaml", drives="arm", **relay_settings), context
        )

        def groot() -> Sensor:
            self.sensors.append(Bounded(config, context))
            return self.sensors[-1]

        makes: list[tuple[Callable[[], Sensor], SensorConfig]] = [
            (lambda: Probe("camera", (6, 8, 3), "uint8", self.clock, lambda: 7), SensorConfig(kind="a")),
            (lambda: Probe("joints", (2,), "float32", self.clock, self.position), SensorConfig(kind="a")),
            (groot, config),
        ]
        drivers = [
            SensorDriver(
                make,
                config=settings,
                peripheral=records,
                focus=self.hub.focus(make().spec.name, slots=4, slot_bytes=4096),
                clock=self.clock,
                producer=index,
            )
            for index, (make, settings) in enumerate(makes)
        ]
        effectors: list[Effector] = [self.arm, self.relay]
        settings: dict[str, Any] = {}
        relays = take_relays(effectors, settings)
        check_watched(context.latest, [driver.spec.name for driver in drivers])
        rule = {"decision": "allow", "effect": "motion", "target": "arm", "reason": "test"}
        run_config = build_config(
            YamlDocument(
                data={
                    "model": {"hidden_size": 16, "num_heads": 2, "H_cycles": 1, "L_cycles": 1},
                    "sleep": {"enabled": False},
                    "budget": {"segments": 1},
                    "practice": {"every_ticks": 1000},
                    "policy": {"rules": [rule] if rules is None else rules},
                },
                source="test.yaml",
            )
        )
        self.loop = Loop(
            run_config,
            LoopInputs(
                clock=self.clock,
                drivers=drivers,
                records=records,
                recall=recall_store(run_config.memory),
                directory=folder / "sleep",
                device=torch.device("cpu"),
                effectors=effectors,
                effector_settings=settings,
                effect_log=log,
                relays=relays,
                latest=context.latest,
            ),
        )
        self.driver = drivers[2]
        self.loop.open()

    def position(self) -> Any:
        actions = self.arm.actions
        return actions[-1].done.values if actions else np.zeros(2)

    @property
    def sensor(self) -> GrootSensor:
        return self.sensors[-1]

    @property
    def status(self) -> str:
        return self.driver.statistics().status

    @property
    def last_error(self) -> str:
        return self.driver.statistics().last_error

    def tick(self, num: int = 1, *, waits: bool = True) -> None:
        for _ in range(num):
            worker = self.sensor.worker
            if waits and worker is not None:
                assert worker.wait_idle(20)
            self.clock.advance(TICK_NS)
            self.reports.append(self.loop.tick())

    def moves(self) -> int:
        """Steps that the arm has done."""
        return sum(not each.done.is_held for each in self.arm.actions)

    def close(self) -> None:
        self.loop.close()
        self.hub.close()


@pytest.fixture
def rig(tmp_path: Path, tiny: Embodiment) -> Iterator[Callable[..., Rig]]:
    """Makes loops that are closed at the end of the test."""
    rigs: list[Rig] = []

    def make(address: str, **changed: Any) -> Rig:
        rigs.append(Rig(tmp_path, address, **changed))
        return rigs[-1]

    yield make
    for each in rigs:
        each.close()
