"""The relay of a remote policy: executes its chunks step by step on an effector of the run.

Invariant: every step is an action of its own that the policy gate decides; after `discard` nothing of a chunk
whose observation is older is executed, whenever its answer arrives.
"""

from __future__ import annotations

import dataclasses
import threading
from typing import Literal

import numpy as np
from pydantic import Field

from sage.errors import InputError
from sage.gr00t_integration.embodiment import load_embodiment
from sage.gr00t_integration.loop.chunks import Align, ChunkBoard, ChunkExecutor
from sage.gr00t_integration.loop.sensor import BOARD
from sage.mailbox.tensor_spec import TensorSpec
from sage.sensors.config import EffectorConfig
from sage.sensors.connections import SharedConnection
from sage.sensors.contract import Action, Effector, EffectorSpec, SensorContext, SensorError


class GrootRelayConfig(EffectorConfig):
    """chunks: name of the sensor of kind `groot`.  drives: name of an effector of the run; "": none.
    embodiment: as of the sensor.  control_hz: steps of a chunk in a second; default: the embodiment's.
    execute_steps: of each chunk; default: all.  blend_steps: between two chunks.
    max_chunk_secs: an older chunk is not executed.  align: whether step 0 of a chunk is at the time of its
    observation, or of its arrival.  rests_when_idle: without a step the rest values are executed, as an
    action of their own: speeds of 0, and a world that advances by actions goes on.
    """

    kind: Literal["groot_relay"] = "groot_relay"
    effect: str = Field("motion", min_length=1)
    target: str = Field("arm", min_length=1)
    chunks: str = Field("groot", min_length=1)
    drives: str = ""
    embodiment: str = "so100"
    control_hz: float | None = Field(None, gt=0, le=10_000)
    execute_steps: int | None = Field(None, ge=1)
    blend_steps: int = Field(4, ge=0)
    max_chunk_secs: float = Field(2.0, gt=0)
    align: Align = "observed"
    rests_when_idle: bool = False


class GrootRelay:
    """After `abort` it holds until it is opened again."""

    Config = GrootRelayConfig

    def __init__(self, config: GrootRelayConfig, context: SensorContext) -> None:
        embodiment = load_embodiment(config.embodiment, context.base_dir)
        self._config = config
        self._context = context
        self._spec = EffectorSpec(
            name=config.name,
            effect=config.effect,
            target=config.target,
            tensor=TensorSpec(shape=(embodiment.action_size,)),
            low=embodiment.action_low,
            high=embodiment.action_high,
            channels=embodiment.action_channels,
            timeout_secs=config.timeout_secs,
        )
        self.executor = ChunkExecutor(
            step_ns=round(1e9 / (config.control_hz or embodiment.control_hz)),
            execute_steps=config.execute_steps or embodiment.action.horizon,
            blend_steps=config.blend_steps,
            max_age_ns=round(config.max_chunk_secs * 1e9),
            align=config.align,
        )
        self._lock = threading.Lock()
        self._board: SharedConnection[ChunkBoard] | None = None
        self._device: Effector | None = None
        self._position = self._spec.limited(self._spec.rest_values())
        self._is_open = False
        self._is_held = False

    @property
    def spec(self) -> EffectorSpec:
        return self._spec

    @property
    def drives(self) -> str:
        return self._config.drives

    def attach(self, device: Effector) -> None:
        own, other = self._spec, device.spec
        if other.tensor.shape != own.tensor.shape or other.choices:
            raise InputError(
                f"{own.name}: {other.name} takes actions of shape {other.tensor.shape}: give an effector that"
                f" takes {own.tensor.shape}, as the embodiment {self._config.embodiment} has"
            )
        low, high = map(max, own.low, other.low), map(min, own.high, other.high)
        self._spec = dataclasses.replace(
            own,
            low=tuple(low),
            high=tuple(high),
            limits=other.limits,
            rest=other.rest,
            needs=other.needs,
            timeout_secs=max(own.timeout_secs, other.timeout_secs),
        )
        self._device = device
        self._position = self._spec.limited(self._spec.rest_values())

    def next_values(self, now_ns: int) -> np.ndarray | None:
        with self._lock:
            if self._board is None:
                self._board = self._context.connections.open((BOARD, self._config.chunks), ChunkBoard)
            values = self.executor.values(self._board.value.newest(), now_ns)
        if values is None and self._config.rests_when_idle:
            values = self._spec.rest_values()
        return None if values is None else values.astype(np.float32)

    def discard(self, now_ns: int) -> None:
        with self._lock:
            self.executor.drop(now_ns)

    def open(self) -> None:
        if self._device is not None:
            self._device.open()
        self._is_open = True
        self._is_held = False

    def apply(self, values: np.ndarray, stamp_ns: int) -> Action:
        """Pass one step to the device; without a device record it."""
        if not self._is_open:
            raise SensorError(f"{self._spec.name}: apply while closed: call open() first")
        self._spec.check(values)
        if self._is_held or not np.isfinite(values).all():
            return Action(spec=self._spec, values=self._position, stamp_ns=stamp_ns, is_held=True)
        within = self._spec.limited(values)
        is_limited = bool((within != values).any())
        if self._device is None:
            self._position = within
            return Action(spec=self._spec, values=within, stamp_ns=stamp_ns, is_limited=is_limited)
        return self._passed_on(self._device, within, stamp_ns, is_limited)

    def abort(self) -> None:
        self._is_held = True
        if self._device is not None:
            self._device.abort()

    def close(self) -> None:
        self._is_open = False
        with self._lock:
            board, self._board = self._board, None
            self.executor.restart()
        if board is not None:
            board.close()
        if self._device is not None:
            self._device.close()

    def _passed_on(self, device: Effector, values: np.ndarray, stamp_ns: int, is_limited: bool) -> Action:
        sent = values.astype(device.spec.tensor.dtype)
        done = device.apply(sent, stamp_ns)
        if not isinstance(done, Action) or not np.isfinite(done.values).all():
            raise SensorError(f"{device.spec.name}: apply returned {done!r}: return what was done")
        self._position = self._spec.limited(done.values.astype(np.float32))
        return Action(
            spec=self._spec,
            values=self._position,
            stamp_ns=stamp_ns,
            is_held=done.is_held,
            is_limited=is_limited or done.is_limited,
        )
