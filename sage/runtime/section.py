"""The base of the loop's settings."""

from __future__ import annotations

from pydantic import ConfigDict

from sage.sensors.time_limits import TimeLimited


class Section(TimeLimited):
    """A part of the configuration. Frozen; unknown keys, infinity and NaN are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, allow_inf_nan=False)
