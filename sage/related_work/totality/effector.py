"""Writing from the loop: an action becomes a scheme, where the SNARC gate of the store lets it in.

Invariant: an action that the gate refuses is held, and nothing is written. A slot that the loop writes is
`inferred`: it comes from the model, not from a measurement.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from sage.errors import SageError
from sage.related_work.totality.connection import (
    OpenTotality,
    TotalityPlace,
    note_failure,
    open_totality,
)
from sage.related_work.totality.content import Slot
from sage.related_work.totality.messages import Affect, SchemeDraft, WriteRequest
from sage.sensors.connections import SharedConnection
from sage.sensors.contract import Action, SensorContext, SensorError, SensorUnavailable
from sage.sensors.effectors.vector import VectorConfig, VectorEffector

#: valence, arousal, coping.
NUM_AFFECT = 3


class TotalityEffectorConfig(TotalityPlace, VectorConfig):
    """The first three channels are valence, arousal and coping (-1..1; the last two are scaled to 0..1),
    the others the slots `feature_1` ... of the scheme, rounded to `digits`.

    label: of the schemes.  trust: in what the loop writes, 0..1.
    """

    kind: Literal["totality_writer"] = "totality_writer"
    effect: str = Field("cognitive", min_length=1)
    target: str = Field("totality", min_length=1)
    timeout_secs: float = Field(1.0, gt=0)
    size: int = Field(8, ge=NUM_AFFECT + 1, le=64)
    num_steps: Literal[0] = 0
    dtype: Literal["float32"] = "float32"
    low: Literal[-1] = -1
    high: Literal[1] = 1
    label: str = Field("episode", min_length=1, max_length=64)
    trust: float = Field(0.8, ge=0.0, le=1.0)
    digits: int = Field(1, ge=0, le=6)


class TotalityEffector(VectorEffector):
    """Each action that the gate lets in is a new scheme of the store."""

    Config = TotalityEffectorConfig

    def __init__(self, config: TotalityEffectorConfig, context: SensorContext) -> None:
        super().__init__(config, context)
        self._config = config
        self._context = context
        self._shared: SharedConnection[OpenTotality] | None = None
        self._is_broken = False

    def open(self) -> None:
        if self._is_broken:
            self._give_back()
        if self._shared is None:
            try:
                self._shared = open_totality(self._config, self._context)
            except (SageError, OSError) as error:
                raise SensorUnavailable(f"{self._spec.name}: {error}") from error
        super().open()

    def close(self) -> None:
        super().close()
        self._give_back()

    def _give_back(self) -> None:
        shared, self._shared = self._shared, None
        self._is_broken = False
        if shared is not None:
            shared.close()

    def _done(self, values: np.ndarray, stamp_ns: int) -> Action:
        action = super()._done(values, stamp_ns)
        if action.is_held or self._write(action.values):
            return action
        return Action(spec=self._spec, values=self._position, stamp_ns=stamp_ns, is_held=True)

    def _write(self, values: np.ndarray) -> bool:
        """Whether the gate let it in."""
        assert self._shared is not None
        valence, arousal, coping = (float(value) for value in values[:NUM_AFFECT])
        affect = Affect(valence=valence, arousal=(arousal + 1.0) / 2.0, coping=(coping + 1.0) / 2.0)
        slots = tuple(
            Slot(name=f"feature_{at}", value=round(float(value), self._config.digits), binding="inferred")
            for at, value in enumerate(values[NUM_AFFECT:], start=1)
        )
        scheme = SchemeDraft(label=self._config.label, slots=slots, activation=affect.arousal)
        request = WriteRequest(schemes=(scheme,), mode="append", trust=self._config.trust, affect=affect)
        try:
            return bool(self._shared.value.totality.write(request).committed)
        except SageError as error:
            self._is_broken = note_failure(self._config, self._shared)
            raise SensorError(f"{self._spec.name}: {error}") from error
