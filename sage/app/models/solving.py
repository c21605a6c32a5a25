"""A puzzle that a person gave, the model that fits it, and the answer as they read it.

Invariant: whatever is wrong with the puzzle, the model or a setting is one UserError.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import isqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sage.app.terminal.errors import UserError
from sage.app.terminal.figures import number
from sage.errors import InputError

if TYPE_CHECKING:
    from sage.hrm_core.solving.inference import Answer, HRMInference
    from sage.hrm_core.solving.published import Published
    from sage.hrm_core.tasks.contract import Task

_GAP = "     "


@dataclass(frozen=True, slots=True, kw_only=True)
class Solved:
    """An answer with the model that gave it."""

    task: str
    inference: HRMInference
    answer: Answer

    @property
    def is_verified(self) -> bool:
        return self.answer.solution.is_verified


def read_puzzle(given: str) -> str:
    """The text itself, a file's, or stdin's for "-"."""
    if given == "-":
        return sys.stdin.read()
    if not os.path.isfile(given):
        if given.endswith(".txt") or given.startswith(("/", "./", "~")):
            raise UserError(f"{given}: no such file: give a file that holds the puzzle, or the puzzle itself")
        return given
    try:
        return Path(given).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{given}: cannot be read as text: {error}: give a file that holds one puzzle"
        ) from error


def solve_puzzle(
    task: str, puzzle: str, *, checkpoint: str | None, device: str, options: Mapping[str, Any]
) -> Solved:
    """Load the model and answer. options: fields of SolveSettings."""
    with only_warnings(), wrong_is_theirs(f"solve {task}"):
        from sage.hrm_core.solving.inference import HRMInference
        from sage.hrm_core.solving.settings import SolveSettings

        settings = SolveSettings(**options)
        published = find_model(task, puzzle, checkpoint, device=device)
        fallback = None if published.task is not None else _task_of_size(task, published)
        inference = HRMInference(published, task=fallback, settings=settings)
        return Solved(task=task, inference=inference, answer=inference.solve_one(puzzle))


def find_model(task: str, puzzle: str, checkpoint: str | None, *, device: str) -> Published:
    """The checkpoint, or the shipped model of that task that takes as many cells as the puzzle has."""
    from sage.hrm_core.solving.published import load_published, read_card, shipped_folders
    from sage.hrm_core.tasks.catalogue import task_kind

    task_kind(task)
    if checkpoint is not None:
        published = load_published(checkpoint, device=device)
        if published.card is not None and published.card.task != task:
            raise InputError(
                f"{checkpoint} was trained on {published.card.task}: give its task, or another --checkpoint"
            )
        return published
    folders = [
        path
        for path in shipped_folders().values()
        if (card := read_card(path)) is not None and card.task == task
    ]
    if not folders:
        raise InputError("no model of this task is shipped: give one with --checkpoint")
    symbols = "".join(puzzle.split())
    lengths = {
        len(symbols),
        len(puzzle.replace("\n", "")),
        len(symbols) - sum(map(symbols.count, "|-+")),
    }  # drawn lines
    by_cells = {_num_cells(folder): folder for folder in folders}
    fitting = [folder for cells, folder in by_cells.items() if cells in lengths]
    return load_published(fitting[0] if fitting else by_cells[max(by_cells)], device=device)


def show_answer(solved: Solved, *, is_json: bool) -> str:
    """One JSON document; or the puzzle beside the answer, and a line on what it cost and is worth."""
    if is_json:
        return json.dumps(
            {"task": solved.task, "model": solved.inference.name, **solved.answer.to_plain()}, allow_nan=False
        )
    solution, inference = solved.answer.solution, solved.inference
    puzzle = inference.render(inference.encode(solved.answer.puzzle)).splitlines()
    answer = [] if solution.is_abstained else inference.render(solution.cells).splitlines()
    width = max(map(len, puzzle))
    drawn = [
        f"{left:<{width}}{_GAP}{right}".rstrip() for left, right in zip(puzzle, answer or [""] * len(puzzle))
    ]
    return "\n".join([*drawn, "", _verdict(solved)])


def _remedy(solved: Solved) -> str:
    """More effort; and what the model says of its own limits, where it says anything."""
    card = solved.inference.card
    limits = "" if card is None else str(card.trained.get("limits", "")).rstrip(".")
    return "more --segments or --tries may help" + (f"; this model: {limits}" if limits else "")


def _verdict(solved: Solved) -> str:
    solution = solved.answer.solution
    if solution.is_abstained:
        said = f"no answer: none that the rules accept was found ({_remedy(solved)})"
    elif solution.is_verified:
        said = "solved, checked by the rules"
    else:
        said = f"not solved: this answer breaks the rules ({_remedy(solved)})"
    cost = "1 segment" if solution.num_segments == 1 else f"{solution.num_segments} segments"
    if solution.num_segments_spent != solution.num_segments:
        cost += f" in try {solution.attempt + 1}, {solution.num_segments_spent} in all"
    return (
        f"{said}; {cost}; the model's own confidence {number(solution.confidence)}; {solved.inference.name}"
    )


@contextmanager
def only_warnings() -> Iterator[None]:
    """Log lines to stderr, and only those that matter: an answer is all that somebody asked for."""
    import logging

    import structlog

    from sage.app.terminal.logs import log_to_stderr

    was_configured, before = structlog.is_configured(), structlog.get_config()
    log_to_stderr()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    try:
        yield
    finally:
        # configured with its own defaults it would count as configured, and libraries would log to stdout
        if was_configured:
            structlog.configure(**before)
        else:
            structlog.reset_defaults()


@contextmanager
def wrong_is_theirs(what: str) -> Iterator[None]:
    """Mistakes in what was given, and devices that are not there, as one line of `what`."""
    try:
        yield
    except (ValueError, ImportError) as error:
        raise UserError(f"{what}: {error}") from error
    except (RuntimeError, AssertionError) as error:
        if "CUDA" in str(error) or "device" in str(error):
            raise UserError(f"{what}: {str(error).splitlines()[0]}: give --device cpu") from error
        raise


def _task_of_size(task: str, published: Published) -> Task:
    """The task as large as the model, where the checkpoint names none."""
    from sage.hrm_core.config.model import TokenFront
    from sage.hrm_core.tasks.catalogue import make_task, task_kind

    front = published.model.config.front
    assert isinstance(front, TokenFront)
    return make_task(task, **({"size": isqrt(front.seq_len)} if "size" in task_kind(task).options else {}))


def _num_cells(folder: Path) -> int:
    return int(json.loads((folder / "config.json").read_text())["front"]["seq_len"])
