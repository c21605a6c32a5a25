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
from sage.related_work.totality.connection import (
    OpenTotality,
    Totality,
    TotalityPlace,
    note_failure,
    open_totality,
)
from sage.related_work.totality.content import MAX_OPS
from sage.related_work.totality.encoding import encode_canvases
from sage.related_work.totality.imagining import Imagining
from sage.related_work.totality.messages import MAX_COUNT, OpCall
from sage.related_work.totality.read_query import ReadQuery
from sage.related_work.totality.store import TotalityStore
from sage.sensors.config import SensorConfig
from sage.sensors.connections import SharedConnection
from sage.sensors.contract import Reading, SensorContext, SensorError, SensorSpec, SensorUnavailable


class TotalitySensorConfig(TotalityPlace, SensorConfig):
    """num_canvases: rows of a reading.  size: numbers a canvas.  activation_min: of a canvas that is read.

    lineage: the sources that the schemes come from, so that fusion does not count them twice.
    imagine: operations that make one canvas, within the budget of the loop's ticks; none: it only reads.
    imagine_secs: from one round of imagination to the next.  imagine_count: canvases of a round.
    imagine_gain: of a canvas, beside the reward of a right answer to a puzzle.
    """

    kind: Literal["totality"] = "totality"
    num_canvases: int = Field(4, ge=1, le=256)
    size: int = Field(16, ge=4, le=1024)
    activation_min: float = Field(0.0, ge=0.0, le=1.0)
    period_secs: float = Field(0.2, ge=0.001)
    lineage: tuple[str, ...] = ()
    imagine: tuple[OpCall, ...] = Field((), max_length=MAX_OPS)
    imagine_secs: float = Field(1.0, ge=0.001)
    imagine_count: int = Field(1, ge=1, le=MAX_COUNT)
    imagine_gain: float = Field(0.5, ge=0.0)

    @model_validator(mode="after")
    def _check_isolate(self) -> TotalitySensorConfig:
        if self.isolate and self.url is None:
            raise InputError("isolate is true, but the store is in the loop's process: give a url")
        if self.imagine and self.url is not None:
            raise InputError("imagine is given with url: imagination in the loop needs its store: remove url")
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
        self._work_name = f"{config.name}.imagine"
        self._imagining: Imagining | None = None
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
        try:
            self._imagining = self._offered(self._shared.value.totality)
        except InputError as error:
            self.close()
            raise SensorUnavailable(f"{self._spec.name}: imagine: {error}") from error

    def _offered(self, store: Totality) -> Imagining | None:
        """The work that is posted, None where there is none. InputError for operations that do not exist."""
        config = self._config
        if not config.imagine or not isinstance(store, TotalityStore):
            return None
        imagining = Imagining(
            store,
            config.imagine,
            count=config.imagine_count,
            period_ns=round(config.imagine_secs * 1e9),
            gain=config.imagine_gain,
        )
        self._context.work.post(self._work_name, imagining)
        return imagining

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
            note_failure(self._config, self._shared)
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
        if self._imagining is not None:
            self._context.work.withdraw(self._work_name, self._imagining)
            self._imagining = None
        if self._shared is not None:
            self._shared.close()
            self._shared = None
