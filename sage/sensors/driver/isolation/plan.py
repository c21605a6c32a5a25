"""What an isolated sensor's process starts from: its class, its configuration, and where its readings go.

Invariant: a plan is text and all that the process needs; it has no secrets and no code.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from sage.sensors.contract import SensorError


@dataclass(frozen=True, slots=True, kw_only=True)
class IsolationPlan:
    """target: the sensor's class, "module:Class".  config: as its pydantic Config reads it.  records, focus,
    status: names of shared mailboxes.  after_sequence: the last sequence that the loop has read.  parent:
    identity of the loop's process.  spec: the run's, as text; the sensor's must be equal.  calibrations: the
    folder that they are kept in, "" for none.
    """

    target: str
    config: dict[str, Any]
    epoch_ns: int
    base_dir: str
    records: str
    focus: str
    status: str
    producer: int
    after_sequence: int
    parent: int
    spec: str
    calibrations: str = ""

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> IsolationPlan:
        return cls(**json.loads(text))

    @property
    def directory(self) -> Path:
        return Path(self.base_dir)

    def resolve(self) -> Any:
        """The sensor's class."""
        return resolve_target(self.target)


def target_of(kind: type) -> str:
    """The name under which another process imports the class. SensorError when it cannot."""
    target = f"{kind.__module__}:{kind.__qualname__}"
    if kind.__module__ == "__main__" or "<" in kind.__qualname__:
        raise SensorError(
            f"{kind.__qualname__}: isolate needs a class that can be imported: move it into a module of"
            " its own"
        )
    return target


def resolve_target(target: str) -> Any:
    """SensorError when it cannot be imported."""
    module_name, _, path = target.partition(":")
    try:
        found: Any = import_module(module_name)
        for part in path.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise SensorError(f"{target} cannot be imported: {error}: reinstall it") from error
    return found
