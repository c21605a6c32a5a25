"""The section `diagnosis` of a configuration."""

from __future__ import annotations

from pydantic import Field

from sage.runtime.config import Section


class DiagnosisConfig(Section):
    """Naming the causes of symptoms while a session runs."""

    enabled: bool = True
    every_secs: float = Field(1.0, ge=0.1, le=60, description="time on the loop's clock between two samples")
    model: str = Field("diagnosis", min_length=1, description="a shipped model of the task, or a folder")
    allow_inject: bool = Field(False, description="sage inject may fault this session, for tests")
