"""Settings of dreams of a body (docs/memory.md)."""

from __future__ import annotations

from pydantic import Field

from sage.runtime.section import Section


class DreamsConfig(Section):
    """Practice in perturbed copies of the environments, at the start of a night."""

    ticks: int = Field(0, ge=0, le=10_000_000, description="of practice in a night; 0: no dreams")
    perturbation: float = Field(
        0.2, ge=0, le=1, description="how far an environment is from the real one, as its kind defines it"
    )
    weight: float = Field(
        0.5, gt=0, lt=1, description="of dreamed experience: factor of the learning rate of practice"
    )
    num_examined: int = Field(
        20, ge=4, le=10_000, description="episodes in an unperturbed copy, before and after the night"
    )
    max_cpu_secs: float = Field(120.0, gt=0, description="of the dreamed practice; it ends then")
