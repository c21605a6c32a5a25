"""What an environment's process starts from: its class and its configuration.

Invariant: a plan is text; it has no secrets and no code.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sage.sensors.driver.isolation.plan import resolve_target


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentPlan:
    """target: the environment's class, "module:Class".  config: as its pydantic Config reads it.
    parent: identity of the loop's process.
    """

    target: str
    config: dict[str, Any]
    epoch_ns: int
    base_dir: str
    parent: int

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> EnvironmentPlan:
        return cls(**json.loads(text))

    @property
    def directory(self) -> Path:
        return Path(self.base_dir)

    def resolve(self) -> Any:
        """The environment's class. SensorError when it cannot be imported."""
        return resolve_target(self.target)
