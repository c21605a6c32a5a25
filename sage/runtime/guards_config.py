"""Settings of the guards of the machine."""

from __future__ import annotations

from pydantic import Field

from sage.runtime.section import Section


class GuardsConfig(Section):
    """Limits of the machine. Beyond one the loop is in CRISIS, with practice, nights and effectors stopped,
    until the figure is back by a tenth of the limit. Not read on a simulated clock.
    """

    every_secs: float = Field(5.0, gt=0, description="between two readings")
    min_free_bytes: int = Field(64 << 20, ge=0, description="on the disk of the state directory; 0: no limit")
    min_available_bytes: int = Field(0, ge=0, description="of memory; 0: no limit")
    max_celsius: float | None = Field(
        None, gt=0, description="of the hottest sensor of the machine; null: no limit"
    )
