"""Puzzles that a user gives, the models that solve them, and the answers as text.

Invariant: an error in a puzzle, a model or a setting is one UserError, raised before torch is imported where
the names, the file or the size are enough to find it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from math import isqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sage.app.config.names import check_model, check_name
from sage.app.terminal.errors import UserError, nearest, user_errors
from sage.app.terminal.figures import number
from sage.app.terminal.logs import only_warnings
from sage.errors import InputError
from sage.user_file import decode_user_text, read_user_text

if TYPE_CHECKING:
    from sage.hrm_core.solving.inference import Answer, Guess, HRMInference
    from sage.hrm_core.solving.published import Published
    from sage.hrm_core.solving.solutions import Solution
    from sage.hrm_core.tasks.contract import Task

_GAP = "     "
#: A name with one of these endings is a file's; a puzzle never has a slash.
_SUFFIXES = (
    ".txt",
    ".sdk",
    ".sdm",
    ".sud",
    ".ss",
    ".csv",
    ".tsv",
    ".json",
    ".jsonl",
    ".md",
    ".cnf",
    ".col",
    ".dat",
)
_LONGEST_NAME = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Solved:
    """An answer with the model that gave it."""

    task: str
    inference: HRMInference
    answer: Answer

    @property
    def is_verified(self) -> bool:
        return self.answer.solution.is_verified


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A puzzle of several that cannot be solved, and why."""

    task: str
    puzzle: str
    error: str

    @property
    def is_verified(self) -> bool:
        return False


def read_puzzle(given: str) -> str:
    """The text itself, a file's, or stdin's for "-". UserError where it is the name of a file that is
    missing.
    """
    if given == "-":
        return _read_stdin()
    if "\n" in given or len(given) > _LONGEST_NAME or "\0" in given:
        return given
    path = Path(given)
    is_name = "/" in given or given.startswith("~") or given.lower().endswith(_SUFFIXES)
    try:
        if path.is_dir() and is_name:
            raise UserError(f"{given}: a folder: give a file with a puzzle, or the puzzle itself")
        if path.is_file() or (is_name and not given.lstrip().startswith(("[", "{"))):
            return read_user_text(path.expanduser())
    except FileNotFoundError:
        raise UserError(f"{given}: no such file: give a file with a puzzle, or the puzzle itself") from None
    except OSError as error:
        if is_name:
            raise UserError(
                f"{given}: {(error.strerror or str(error)).lower()}: give a readable file"
            ) from error
    return given


def _read_stdin() -> str:
    binary = getattr(sys.stdin, "buffer", None)
    return sys.stdin.read() if binary is None else decode_user_text(binary.read(), "standard input")


def solve_puzzle(
    task: str, puzzle: str, *, checkpoint: str | None, device: str, options: Mapping[str, Any]
) -> Solved:
    """Load the model and answer one puzzle. options: fields of SolveSettings."""
    answer = next(solve_puzzles(task, [puzzle], checkpoint=checkpoint, device=device, options=options))
    assert isinstance(answer, Solved)
    return answer


def solve_puzzles(
    task: str, puzzles: Sequence[str], *, checkpoint: str | None, device: str, options: Mapping[str, Any]
) -> Iterator[Solved | Refused]:
    """The answers one by one, in order. UserError where no puzzle can be solved, or the only one is wrong."""
    check_task(task)
    if checkpoint is not None:
        check_model(checkpoint)
    loaded: dict[str | Path, HRMInference] = {}

    def load(source: str | Path) -> HRMInference:
        if source not in loaded:
            loaded[source] = _load(task, source, device=device, options=options)
        return loaded[source]

    for puzzle in puzzles:
        with only_warnings(), user_errors(f"solve {task}"):
            try:
                source = shipped_model(task, puzzle) if checkpoint is None else checkpoint
                if source not in loaded:
                    check_puzzle(source, puzzle)
                inference = load(source).for_puzzle(puzzle)
                answer: Solved | Refused = Solved(
                    task=task, inference=inference, answer=inference.solve_one(puzzle)
                )
            except InputError as error:
                if len(puzzles) == 1:
                    raise
                answer = Refused(task=task, puzzle=puzzle, error=str(error))
        yield answer


def check_task(task: str) -> None:
    """UserError where the name is not a task's; a model's name is reported as one."""
    from sage.hrm_core.solving.task_card import read_card, shipped_folders
    from sage.hrm_core.tasks.catalogue import targets

    if task in targets():
        return
    folder = shipped_folders().get(task)
    card = None if folder is None else read_card(folder)
    if card is not None:
        raise UserError(f"{task} is a model, not a task: give {card.task}, with --checkpoint {task}")
    check_name("task", task)
    raise UserError(f"task {task!r}: unknown: {nearest(task, targets())}")


def check_puzzle(source: str | Path, puzzle: str) -> None:
    """InputError where the task of a shipped model refuses the puzzle; the model is not loaded for it.
    Puzzles of other models are checked after loading.
    """
    from sage.hrm_core.solving.task_card import read_card, shipped_folders
    from sage.hrm_core.tasks.catalogue import make_task

    folder = source if isinstance(source, Path) else shipped_folders().get(source)
    card = None if folder is None else read_card(folder)
    if card is not None:
        task: Any = make_task(card.task, **card.options)
        side = None if card.sizes is None else card.side_among(task.sides(puzzle))
        if side is not None:
            task = make_task(card.task, **card.options_at(side))
        encode = getattr(task, "encode", None)
        if encode is not None:
            encode(puzzle)


def shipped_model(task: str, puzzle: str) -> Path:
    """The folder of the shipped model of that task with as many cells as the puzzle. InputError names the
    sizes.
    """
    from sage.hrm_core.solving.task_card import read_card, shipped_folders

    folders = [
        folder
        for folder in shipped_folders().values()
        if (card := read_card(folder)) is not None and card.task == task
    ]
    if not folders:
        raise InputError("no model of this task is shipped: give one with --checkpoint")
    usual = [folder for folder in folders if not _is_chosen_by_name(folder)]
    by_cells = {cells: folder for folder in usual for cells in _all_cells(folder)}
    found = next((by_cells[cells] for cells in _possible_cells(task, puzzle) if cells in by_cells), None)
    if found is None:
        raise InputError(_no_size(puzzle, sorted(by_cells)))
    return found


def _possible_cells(task: str, puzzle: str) -> list[int]:
    """Numbers of cells that the text may have, the likeliest first."""
    lines = puzzle.split("\n")
    if task == "sudoku":
        return [len(puzzle)]
    if task == "maze":
        from sage.hrm_core.tasks.maze.text import sides_of

        return [side**2 for side in sides_of(puzzle)]
    return [len("".join(puzzle.split())), len("".join(lines))]


def _no_size(puzzle: str, cells: Sequence[int]) -> str:
    lines = puzzle.split("\n")
    num_cells, sides = sum(map(len, lines)), [isqrt(each) for each in cells]
    sizes = ", ".join(f"{side}x{side}" for side in sides)
    side = isqrt(num_cells)
    if side * side == num_cells and len(lines) in (1, side) and side > 1:
        return (
            f"no shipped model has {side}x{side} cells: shipped sizes are {sizes}: give a model with"
            " --checkpoint"
        )
    if len(lines) > 1:
        width = max(map(len, lines))
        return f"the puzzle has {len(lines)} lines of up to {width} cells: give a square of {sizes}"
    counts = " or ".join(f"{side * side} ({side}x{side})" for side in sides)
    return f"the puzzle has {num_cells} cells: give {counts}"


def _load(task: str, source: str | Path, *, device: str, options: Mapping[str, Any]) -> HRMInference:
    """A model of that task. UserError for a setting out of range, or a model of another task."""
    from sage.app.models.training.processes import chosen_device
    from sage.hrm_core.solving.inference import HRMInference
    from sage.hrm_core.solving.published import load_published
    from sage.hrm_core.solving.settings import SolveSettings

    try:
        SolveSettings(**_with_defaults(options, is_searchable="chains" in options))
    except InputError as error:
        raise UserError(f"solve {task}: {error}") from None
    published = load_published(source, device=str(chosen_device(device)))
    if published.card is not None and published.card.task != task:
        raise UserError(
            f"solve {task}: {source} is a model of {published.card.task}: give that task, or another"
            " --checkpoint"
        )
    fallback = None if published.task is not None else _task_of_size(task, published)
    inference = HRMInference(published, task=fallback)
    if options.get("search") and not inference.is_searchable:
        raise UserError(
            f"solve {task}: --search {options['search']}: the task has no check of partial answers: leave"
            " --search out"
        )
    inference.settings = SolveSettings(**_with_defaults(options, is_searchable=inference.is_searchable))
    return inference


def _with_defaults(options: Mapping[str, Any], *, is_searchable: bool) -> dict[str, Any]:
    """The usual search where a task can be searched and no search is given; 64 segments without a search."""
    from sage.hrm_core.solving.settings import USUAL_SEARCH

    chosen = dict(options)
    if "search" not in options and is_searchable:
        chosen = {**USUAL_SEARCH, **options}
    return {"max_segments": 16 if chosen.get("search") else 64, **chosen}


def show_answers(answers: Sequence[Solved | Refused]) -> str:
    """One JSON document: an object for one puzzle, a list for several."""
    plain = [
        (
            {"task": each.task, "puzzle": each.puzzle, "error": each.error}
            if isinstance(each, Refused)
            else {"task": each.task, "model": each.inference.name, **each.answer.to_plain()}
        )
        for each in answers
    ]
    return json.dumps(plain[0] if len(plain) == 1 else plain, allow_nan=False)


def show_answer(solved: Solved | Refused) -> str:
    """The puzzle beside the answer, and a line with the outcome and its cost."""
    if isinstance(solved, Refused):
        return f"{solved.puzzle}\n\nnot solved: {solved.error}"
    solution, inference = solved.answer.solution, solved.inference
    puzzle = inference.render(inference.encode(solved.answer.puzzle)).splitlines()
    answer = [] if solution.is_abstained else inference.render(solution.cells).splitlines()
    width = max(map(len, puzzle))
    drawn = [
        f"{left:<{width}}{_GAP}{right}".rstrip() for left, right in zip_longest(puzzle, answer, fillvalue="")
    ]
    return "\n".join([*drawn, "", _verdict(solved), *_guesses(solved)])


def _guesses(solved: Solved) -> list[str]:
    """A line with the choices that led the search to a valid answer; none where there were none."""
    guesses = solved.answer.guesses if solved.is_verified else ()
    if not guesses:
        return []
    return ["guesses: " + ", ".join(_place(guess) for guess in guesses)]


def _place(guess: Guess) -> str:
    if guess.row is None:
        return f"cell {guess.cell} symbol {guess.symbol}"
    return f"row {guess.row} column {guess.column} is {guess.text}"


def _remedy(solved: Solved) -> str:
    """More effort, and the model's known limits where its card has them."""
    card = solved.inference.card
    limits = "" if card is None else str(card.trained.get("limits", "")).rstrip(".")
    trace = solved.answer.solution.trace
    effort = "more --segments or --tries"
    if solved.inference.is_searchable:
        has_calls_left = trace is not None and trace.calls < trace.budget
        is_timed = has_calls_left and solved.inference.settings.search_seconds is not None
        effort = "a larger --search-seconds" if is_timed else "a larger --search"
    return f"{effort} may help" + (f"; this model: {limits}" if limits else "")


def _verdict(solved: Solved) -> str:
    solution = solved.answer.solution
    if solution.is_verified:
        settings = solved.inference.settings
        way = " by learned deduction" if settings.chains else " by search"
        by_search = way if solution.attempt >= settings.tries else ""
        outcome = f"solved{by_search}, checked by the rules"
    elif solution.outcome == "no_solution":
        outcome = "no solution: the search followed every choice that the rules allow"
    elif solution.is_abstained:
        outcome = f"no answer: no try gave one that follows the rules ({_remedy(solved)})"
    else:
        outcome = f"not solved: this answer breaks the rules ({_remedy(solved)})"
    about = f"confidence {number(solution.confidence)}; model {solved.inference.name}"
    return f"{outcome}; {_cost(solution)}; {about}"


def _cost(solution: Solution) -> str:
    trace = solution.trace
    if trace is not None:
        calls = f"{trace.calls} model {'call' if trace.calls == 1 else 'calls'} of at most {trace.budget}"
        depth = len(trace.guesses) if solution.is_verified else trace.depth
        return f"{calls}, depth {depth}; {solution.num_segments_spent} segments in all"
    cost = "1 segment" if solution.num_segments == 1 else f"{solution.num_segments} segments"
    if solution.num_segments_spent != solution.num_segments:
        cost += f" in try {solution.attempt + 1}, {solution.num_segments_spent} in all"
    return cost


def _task_of_size(task: str, published: Published) -> Task:
    """The task at the model's size, for a checkpoint without a task."""
    from sage.hrm_core.config.model import TokenFront
    from sage.hrm_core.tasks.catalogue import make_task, task_kind

    front = published.model.config.front
    assert isinstance(front, TokenFront)
    return make_task(task, **({"size": isqrt(front.seq_len)} if "size" in task_kind(task).options else {}))


def _is_chosen_by_name(folder: Path) -> bool:
    """Whether the model's card says that it is used where --checkpoint names it, and only there."""
    from sage.hrm_core.solving.task_card import read_card

    card = read_card(folder)
    return card is not None and card.trained.get("chosen") == "by name"


def _all_cells(folder: Path) -> list[int]:
    """Numbers of cells of the puzzles that a shipped model solves."""
    from sage.hrm_core.solving.task_card import read_card

    card = read_card(folder)
    if card is not None and card.sizes is not None:
        return [side**2 for side in range(card.sizes[0], card.sizes[1] + 1)]
    return [int(json.loads((folder / "config.json").read_text())["front"]["seq_len"])]
