"""The parts that the app builds and passes to the loop.

Invariant: no type here is a concrete sensor, effector or plug-in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from sage.mailbox.clock import Clock
from sage.mailbox.contract import Peripheral
from sage.memory.stores.recall import RecallStore
from sage.runtime.prediction.predictor import ScoredListener
from sage.runtime.report import Instrument
from sage.runtime.sleep.dreaming import Dreamer
from sage.runtime.sleep.guards import MachineLimits, NoLimits
from sage.runtime.solving.stream import PuzzleStream
from sage.runtime.tick.effects import EffectLog
from sage.runtime.tick.measurements import PlannedGroup
from sage.sensors.board import Board
from sage.sensors.budgeted_work import WorkBoard
from sage.sensors.contract import Effector
from sage.sensors.driver.sensor_driver import SensorDriver
from sage.sensors.latest import LatestReadings
from sage.sensors.limits import EffectorSettings
from sage.sensors.relay import Relay


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopInputs:
    """The constructor argument of Loop.

    drivers: one for each source, all publishing to `records`.  recall: the store that a memory sensor reads.
    directory: the working directory of sleep.  device: of the model and L-memory.
    streams: one for each puzzle environment.
    relays: effectors whose actions come from plug-ins; not in `effectors`.  latest: what sensors watch.
    board: that of the sensors' contexts.
    effector_settings: of the run's configuration, by effector.  effect_log: of decisions and outcomes.
    work: what devices offer to the budget of a tick.
    dreamer: of nights that begin with dreams.
    measurements: groups of sources that are fused; the estimate of each is one of the drivers.
    machine: figures that the guards limit.
    """

    clock: Clock
    drivers: Sequence[SensorDriver]
    records: Peripheral
    recall: RecallStore
    directory: Path
    device: torch.device
    effectors: Sequence[Effector] = ()
    instruments: Sequence[Instrument] = ()
    on_scored: ScoredListener | None = None
    streams: Sequence[PuzzleStream] = ()
    board: Board | None = None
    effector_settings: Mapping[str, EffectorSettings] = field(default_factory=dict)
    effect_log: EffectLog | None = None
    relays: Sequence[Relay] = ()
    latest: LatestReadings = field(default_factory=LatestReadings)
    work: WorkBoard = field(default_factory=WorkBoard)
    dreamer: Dreamer | None = None
    measurements: Sequence[PlannedGroup] = ()
    machine: MachineLimits = field(default_factory=NoLimits)
