"""Totality as a sensor: the most active canvases as one vector each.

Invariant: it is a source like any other: what it is worth is its trust. A service that does not answer in
time is a fault, and the driver puts the sensor in quarantine.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from sage.errors import InputError, SageError
from sage.mailbox.tensor_spec import TensorSpec
from sage.related_work.totality.connection import OpenTotality, TotalityPlace, open_totality
from sage.related_work.totality.encoding import encode_canvases
from sage.related_work.totality.read_query import ReadQuery
from sage.related_work.totality.store import TotalityStore
from sage.sensors.config import SensorConfig
from sage.sensors.connections import SharedConnection
from sage.sensors.contract import Reading, SensorContext, SensorError, SensorSpec, SensorUnavailable


class TotalitySensorConfig(TotalityPlace, SensorConfig):
    """num_canvases: rows of a reading.  size: numbers a canvas.  activation_min: of a canvas that is read.

    lineage: the sources that the schemes come from, so that fusion does not count them twice.
    """

    kind: Literal["totality"] = "totality"
    num_canvases: int = Field(4, ge=1, le=256)
    size: int = Field(16, ge=4, le=1024)
    activation_min: float = Field(0.0, ge=0.0, le=1.0)
    period_secs: float = Field(0.2, ge=0.001)
    lineage: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _check_isolate(self) -> TotalitySensorConfig:
        if self.isolate and self.url is None:
            raise InputError("isolate is true, but the store is in the loop's process: give a url")
        return self


class TotalitySensor:
    """confidence: the mean activation of the canvases that were read, times the trust in imagination by how
    it ended, where the store is in this process and has imagined. No reading while there is no canvas.
    """

    Config = TotalitySensorConfig

    def __init__(self, config: TotalitySensorConfig, context: SensorContext) -> None:
        self._config = config
        self._context = context
        self._shared: SharedConnection[OpenTotality] | None = None
        self._due_ns = 0
        self._num_read = 0
        self._query = ReadQuery(
            activation_min=config.activation_min,
            scope="canvases",
            order="activation",
            limit=config.num_canvases,
        )
        self._spec = SensorSpec(
            name=config.name,
            modality="cognitive",
            tensor=TensorSpec(shape=(config.num_canvases, config.size)),
            period_ns=round(config.period_secs * 1e9),
            observes=("canvas", "1"),
            lineage=config.lineage,
            is_bounded=config.url is None,
        )

    @property
    def spec(self) -> SensorSpec:
        return self._spec

    def open(self) -> None:
        if self._shared is not None:
            return
        try:
            self._shared = open_totality(self._config, self._context)
        except (SageError, OSError) as error:
            raise SensorUnavailable(f"{self._spec.name}: {error}") from error
        self._due_ns = self._context.clock.now_ns()

    def read_into(self, out: np.ndarray) -> Reading | None:
        """The canvases as they are now, once a period."""
        if self._shared is None:
            raise SensorError(f"{self._spec.name}: read before open: call open() first")
        now_ns = self._context.clock.now_ns()
        if now_ns < self._due_ns:
            return None
        self._due_ns = max(self._due_ns + self._spec.period_ns, now_ns)
        try:
            reply = self._shared.value.totality.read(self._query)
        except SageError as error:
            self._shared.invalidate()
            raise SensorError(f"{self._spec.name}: {error}") from error
        if not reply.canvases:
            return None
        active = [(each, reply.activations[each.id]) for each in reply.canvases]
        out[:] = encode_canvases(active, self._config.num_canvases, self._config.size)
        store = self._shared.value.totality
        trust = store.endings.trust if isinstance(store, TotalityStore) else math.nan
        reading = Reading(
            captured_ns=now_ns,
            received_ns=self._context.clock.now_ns(),
            sequence=self._num_read,
            confidence=float(np.mean([activation for _, activation in active]))
            * (1.0 if math.isnan(trust) else trust),
        )
        self._num_read += 1
        return reading

    def close(self) -> None:
        if self._shared is not None:
            self._shared.close()
            self._shared = None
