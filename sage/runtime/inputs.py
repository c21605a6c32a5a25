"""What the loop stands on and did not build: the one type that the app hands over.

Invariant: nothing in it names a concrete sensor, effector or plug-in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from sage.mailbox.clock import Clock
from sage.mailbox.contract import Peripheral
from sage.memory.stores.recall import RecallStore
from sage.runtime.prediction.predictor import ScoredListener
from sage.runtime.report import Instrument
from sage.sensors.contract import Effector
from sage.sensors.driver.sensor_driver import SensorDriver


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopInputs:
    """What the loop is handed: it builds none of it and names none of it.

    drivers: one a source, all publishing to `records`.  recall: what a recalling sensor among them reads
    from.
    directory: where sleep works.  device: chosen once, by the app.
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
