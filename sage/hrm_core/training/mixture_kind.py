"""The mixture as a kind of task in the catalogue, so that its model can be loaded and evaluated like any
other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from sage.errors import InputError
from sage.hrm_core.tasks.catalogue import TaskKind, make_task
from sage.hrm_core.training.mixture import MixtureTask, Part, Vocabulary


@dataclass(frozen=True, slots=True, kw_only=True)
class MixtureConfig:
    """tasks: mappings of name, weight (default 1) and the task's options.

    vocabulary: "joined" (the same number is the same symbol) or "offset" (each task has its own range).
    """

    tasks: tuple[Mapping[str, Any], ...] = ()
    vocabulary: str = "joined"

    def __post_init__(self) -> None:
        for each in self.tasks:
            is_named = isinstance(each, Mapping) and isinstance(each.get("name"), str)
            if not is_named:
                raise InputError(f"tasks: {each!r}: give name: and the task's own options")


def build_mixture(config: MixtureConfig) -> MixtureTask:
    parts = [Part(task=_made(each), weight=float(each.get("weight", 1.0))) for each in config.tasks]
    return MixtureTask(parts, vocabulary=cast(Vocabulary, config.vocabulary))


def _made(given: Mapping[str, Any]) -> Any:
    return make_task(
        given["name"], **{key: value for key, value in given.items() if key not in ("name", "weight")}
    )


MIXTURE = TaskKind(
    name="mixture", about="several tasks in one model", config=MixtureConfig, build=build_mixture
)
