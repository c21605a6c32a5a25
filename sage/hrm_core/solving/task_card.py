"""task.json: the task of a model, its options, and the results of its training; and the models shipped with
one.

Invariant: importing this module loads no torch, so that lists and name errors are quick.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sage.hrm_core.checkpoint.errors import CheckpointError

TASK_NAME = "task.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCard:
    """task: its name in the catalogue.  options: the task's.  trained: what training recorded, passed on as
    it is.
    """

    task: str
    options: Mapping[str, Any] = field(default_factory=dict)
    trained: Mapping[str, Any] = field(default_factory=dict)


def shipped_folders() -> dict[str, Path]:
    """Name -> folder of the models that come with the package."""
    root = Path(__file__).resolve().parent.parent / "weights"
    return {path.parent.name: path.parent for path in sorted(root.glob(f"*/{TASK_NAME}"))}


def read_card(path: Path) -> TaskCard | None:
    """task.json in the folder, or beside the file; None without one. CheckpointError where it is not a task
    card.
    """
    path = (path if path.is_dir() else path.parent) / TASK_NAME
    if not path.is_file():
        return None
    try:
        plain = json.loads(path.read_text(encoding="utf-8-sig"))
        return TaskCard(
            task=str(plain["task"]),
            options=dict(plain.get("options", {})),
            trained=dict(plain.get("trained", {})),
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CheckpointError(
            f'{path}: not a task card: {error}: write {{"task": NAME, "options": {{...}}}}'
        ) from error
