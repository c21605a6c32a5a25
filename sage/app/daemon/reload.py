"""Which settings may change while a session runs, and what a changed configuration means for them.

Invariant: a setting that is not RELOADABLE keeps its value until the next start, and is named in the outcome.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sage.app.config.sage_config import SageConfig

#: Key paths; one of a section stands for all of its keys.
RELOADABLE = (
    "tick",
    "budget.practice_steps",
    "sleep.enabled",
    "sleep.first_after_secs",
    "sleep.every_secs",
    "sleep.timeout_secs",
    "sleep.num_steps",
    "sleep.batch_size",
    "sleep.learning_rate",
    "sleep.min_examined",
    "sleep.trains",
    "max_resident_bytes",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reloaded:
    """config: that of before, with the changes that are allowed.  changed: their new values, by key path.
    refused: key paths whose new values need a restart.
    """

    config: SageConfig
    changed: dict[str, Any]
    refused: tuple[str, ...]


def reloaded(before: SageConfig, after: SageConfig) -> Reloaded:
    """Take from `after` what may change. state_dir is not compared: it does not change the run."""
    old, new = dict(_leaves(before)), dict(_leaves(after))
    differing = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
    changed = {key: new[key] for key in differing if _may_change(key) and key in new}
    refused = tuple(key for key in differing if key not in changed)
    return Reloaded(config=_replaced(before, after, changed), changed=changed, refused=refused)


def _leaves(config: SageConfig) -> Iterator[tuple[str, Any]]:
    def walk(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
        if isinstance(value, dict) and value:
            for key, inner in value.items():
                yield from walk(f"{prefix}.{key}" if prefix else key, inner)
        else:
            yield prefix, value

    yield from walk("", config.model_dump(mode="json", exclude={"state_dir"}))


def _may_change(key: str) -> bool:
    return any(key == allowed or key.startswith(f"{allowed}.") for allowed in RELOADABLE)


def _replaced(before: SageConfig, after: SageConfig, changed: dict[str, Any]) -> SageConfig:
    """Of sections and their keys; values are taken from `after`, validated already."""
    top: dict[str, Any] = {}
    for key in changed:
        section, _, field = key.partition(".")
        if not field:
            top[section] = getattr(after, section)
            continue
        current = top.get(section, getattr(before, section))
        top[section] = current.model_copy(update={field: getattr(getattr(after, section), field)})
    return before.model_copy(update=top)
