"""An effector that takes actions and does nothing: to try rules and limits.

Invariant: what it returns as done is finite and within its ranges.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sage.sensors.effectors.vector import VectorConfig, VectorEffector


class NullConfig(VectorConfig):
    kind: Literal["null"] = "null"
    effect: str = Field("null", min_length=1)


class NullEffector(VectorEffector):
    """Nothing is kept. After `abort` it holds until it is opened again."""

    Config = NullConfig
