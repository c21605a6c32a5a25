"""A model with its task: a folder of config.json, model.safetensors and task.json, or another form of a
model.

Invariant: a loaded task has the model's cells and symbols; the record of its training is passed on unchanged.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sage.durable import write_file
from sage.errors import InputError
from sage.hrm_core.checkpoint.errors import CheckpointError
from sage.hrm_core.checkpoint.hub import fetch
from sage.hrm_core.checkpoint.source import save_pretrained
from sage.hrm_core.config.model import TokenFront
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.solving.engine import SegmentModel
from sage.hrm_core.solving.fit import check_fit
from sage.hrm_core.solving.onnx_model import OnnxModel
from sage.hrm_core.solving.task_card import TASK_NAME, TaskCard, read_card, shipped_folders
from sage.hrm_core.tasks.catalogue import make_task
from sage.hrm_core.tasks.contract import Task

#: (symbols, cells) of the published files, which do not name their task.
_TASK_OF_SHAPE: dict[tuple[int, int], tuple[str, dict[str, Any]]] = {
    (11, 81): ("sudoku", {"size": 9}),
    (6, 900): ("maze", {"size": 30}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """model: in eval mode.  task, card: None if unknown; then there is no verifier and no text form."""

    name: str
    model: SegmentModel
    task: Task | None
    card: TaskCard | None

    def at_side(self, side: int) -> Published:
        """The same weights for grids of `side` rows. InputError for a side outside the card's `sizes`."""
        front, card = self.model.config.front, self.card
        if isinstance(front, TokenFront) and front.seq_len == side**2:
            return self
        if card is None or not isinstance(self.model, HRM):
            raise InputError(f"{self.name}: solves grids of its own size alone: give another model")
        task = make_task(card.task, **card.options_at(side))
        return dataclasses.replace(self, model=self.model.at_side(side), task=task)


def locate(source: str | Path) -> Path:
    """The file or folder of a path, a shipped model's name, or a hub repository. CheckpointError if it is
    none.
    """
    shipped = shipped_folders()
    if Path(source).expanduser().exists() or str(source) not in shipped:
        try:
            return fetch(source)
        except CheckpointError as error:
            names = f" (shipped: {', '.join(shipped)})" if shipped else ""
            raise CheckpointError(f"{error}{names}") from error
    return shipped[str(source)]


def load_published(source: str | Path, *, device: str = "cpu") -> Published:
    """The model, and its task by task.json or by the model's shape. CheckpointError or InputError, in one
    line.
    """
    path = locate(source)
    if (path / "model" / "config.json").is_file():  # the folder of a training run
        path, name = path / "model", path.name
    else:
        name = path.name if path.is_dir() else path.stem
    if path.suffix == ".onnx":
        exported = OnnxModel(path)
        model: SegmentModel = exported
        card = exported.card
    else:
        model = HRM.from_pretrained(path, device=device)
        card = read_card(path) or _guess(model)
    task = None if card is None else make_task(card.task, **card.options)
    if task is not None:
        check_fit(model, task.spec)
    return Published(name=name, model=model, task=task, card=card)


def num_parameters(model: SegmentModel) -> int | None:
    """Number of trained parameters; None for an ONNX file."""
    return sum(each.numel() for each in model.parameters()) if isinstance(model, HRM) else None


def save_published(folder: str | Path, model: HRM, card: TaskCard) -> None:
    """Write the folder that `load_published` reads."""
    check_fit(model, make_task(card.task, **card.options).spec)
    save_pretrained(model, folder)
    write_file(Path(folder) / TASK_NAME, (json.dumps(card.to_plain(), indent=2) + "\n").encode())


def _guess(model: SegmentModel) -> TaskCard | None:
    front = model.config.front
    if not isinstance(front, TokenFront) or (front.vocab_size, front.seq_len) not in _TASK_OF_SHAPE:
        return None
    name, options = _TASK_OF_SHAPE[front.vocab_size, front.seq_len]
    return TaskCard(task=name, options=options)
