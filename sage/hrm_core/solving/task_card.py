"""task.json: the task of a model, its options, and the results of its training; and the models shipped with
one.

Invariant: importing this module loads no torch, so that lists and name errors are quick.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sage.errors import InputError
from sage.hrm_core.checkpoint.errors import CheckpointError
from sage.user_file import parse_user_json

TASK_NAME = "task.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCard:
    """task: its name in the catalogue.  options: the task's.  trained: what training recorded, passed on as
    it is.
    sizes: the smallest and the largest side of the grids that the weights solve, the task's option `size`
    among them; None: its own alone.
    """

    task: str
    options: Mapping[str, Any] = field(default_factory=dict)
    trained: Mapping[str, Any] = field(default_factory=dict)
    sizes: tuple[int, int] | None = None

    def side_among(self, sides: Sequence[int]) -> int | None:
        """The first of the sides that the weights solve, else the first; None where there is none to
        choose.
        """
        low, high = self.sizes or (1, 0)
        return next((side for side in sides if low <= side <= high), sides[0] if sides else None)

    def options_at(self, side: int) -> dict[str, Any]:
        """The task's options at another side of `sizes`. InputError for a side outside them."""
        low, high = self.sizes or (0, 0)
        if not low <= side <= high:
            known = f"{low}x{low} to {high}x{high}" if self.sizes else "of one size"
            raise InputError(f"the grid is {side}x{side}: the model solves grids {known}: give another model")
        options = {key: value for key, value in self.options.items() if key != "sizes"}
        return {**options, "size": side}

    def to_plain(self) -> dict[str, Any]:
        """The content of task.json; `read_card` reads it."""
        plain = {"task": self.task, "options": dict(self.options), "trained": dict(self.trained)}
        return plain if self.sizes is None else {**plain, "sizes": list(self.sizes)}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> TaskCard:
        """KeyError, TypeError or ValueError where it is not a card."""
        sizes = plain.get("sizes")
        low, high = (None, None) if sizes is None else (int(each) for each in sizes)
        return cls(
            task=str(plain["task"]),
            options=dict(plain.get("options", {})),
            trained=dict(plain.get("trained", {})),
            sizes=None if low is None or high is None else (low, high),
        )


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
        plain = parse_user_json(path.read_text(encoding="utf-8-sig"))
        return TaskCard.from_plain(plain)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CheckpointError(
            f'{path}: not a task card: {error}: write {{"task": NAME, "options": {{...}}}}'
        ) from error
