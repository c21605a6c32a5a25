"""Settings of the coherence figures."""

from __future__ import annotations

from pydantic import Field, model_validator

from sage.runtime.section import Section


class CoherenceConfig(Section):
    """Coherence figures of each window of ticks, with their values under chance (docs/coherence.md)."""

    window_ticks: int = Field(0, ge=0, le=100_000, description="collected ticks of a window; 0: none")
    every_ticks: int = Field(1, ge=1, le=1000, description="collects one tick in so many")
    num_surrogates: int = Field(99, ge=9, le=9999, description="draws of each null distribution")

    @model_validator(mode="after")
    def _enough_ticks(self) -> CoherenceConfig:
        if 0 < self.window_ticks < 32:
            raise ValueError(f"window_ticks is {self.window_ticks}: give at least 32, or 0 for none")
        return self
