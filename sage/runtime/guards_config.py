"""Settings of the guards of the machine."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from sage.runtime.section import Section


class GuardsConfig(Section):
    """Limits of the machine. Beyond one the loop is in CRISIS, with practice, nights and effectors stopped,
    until the figure is back by a tenth of the limit. The budget of segments and practice shrinks before: from
    10 degrees below `max_celsius` on, and from 90% of `max_watts` on, which leads to no crisis. Not read on a
    simulated clock.
    """

    every_secs: float = Field(5.0, gt=0, description="between two readings")
    min_free_bytes: int = Field(64 << 20, ge=0, description="on the disk of the state directory; 0: no limit")
    min_available_bytes: int = Field(0, ge=0, description="of memory; 0: no limit")
    max_celsius: float | None = Field(
        None, gt=0, description="of the hottest sensor of the machine; null: no limit"
    )
    max_watts: float | None = Field(None, gt=0, description="of the board; null: no limit")
    sysfs_root: Path = Field(Path("/sys"), description="where sysfs is mounted (another place in tests)")
