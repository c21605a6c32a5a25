"""`sage train --from-search SOURCE`: puzzles are searched, and what is found joins the training rows.

Layout: the episodes are in RUN/episodes; a run that is interrupted while it searches continues there.
Invariant: of SOURCE only puzzles are read, never answers. A resumed run searches nothing: its rows are those
of the folder.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sage.app.terminal.errors import UserError, nearest
from sage.user_file import read_user_text

if TYPE_CHECKING:
    from sage.app.models.training.recipe import Recipe
    from sage.hrm_core.from_search.collecting import Puzzles
    from sage.hrm_core.from_search.episodes import EpisodeFolder
    from sage.hrm_core.model.hrm import HRM
    from sage.hrm_core.tasks.contract import Task

FOLDER = "episodes"
RECIPE_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True, kw_only=True)
class FromSearch:
    """source: a recipe or task, a file of puzzles, or a folder of episodes.  num_puzzles: of a recipe or a
    file, at most.
    calls: model calls of a puzzle at most.  cpu_secs: of all searches together, None: no limit.  share: of
    the training rows.
    """

    source: str
    num_puzzles: int = 256
    calls: int = 240
    cpu_secs: float | None = None
    share: float = 0.5

    def __post_init__(self) -> None:
        for name, flag in (("num_puzzles", "--search-puzzles"), ("calls", "--search-calls")):
            if not 1 <= getattr(self, name) <= 65_536:
                raise UserError(f"{flag} {getattr(self, name)}: give a whole number from 1 to 65536")
        if self.cpu_secs is not None and not self.cpu_secs > 0:
            raise UserError(f"--search-cpu-seconds {self.cpu_secs:g}: give a number above 0")
        if not 0 < self.share <= 1:
            raise UserError(f"--search-share {self.share:g}: give a share above 0, to 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Searched:
    """num_puzzles: searched; num_solved of them, num_plain by one plain pass.  num_rows: training rows that
    were found; num_dead of them without a solution.
    """

    num_puzzles: int
    num_solved: int
    num_plain: int
    num_calls: int
    cpu_secs: float
    num_rows: int
    num_dead: int


def with_episodes(
    wanted: FromSearch, recipe: Recipe, task: Task, model: HRM, run: Path, *, resumes: bool
) -> tuple[Task, Searched]:
    """The task with the episodes among its rows. Searches first, unless SOURCE or the run has them."""
    from sage.hrm_core.from_search.episode_task import EpisodeTask, Shares
    from sage.hrm_core.from_search.episodes import DEAD, EpisodeFolder

    folder = EpisodeFolder(run / FOLDER)
    if is_collected(wanted.source):
        folder = EpisodeFolder(Path(wanted.source).expanduser())
        _check_task(folder, task)
    elif not resumes:
        _collect(wanted, recipe, task, model, folder)
    found, figures = folder.read_all()
    searched = Searched(
        num_puzzles=sum(each.num_puzzles for each in figures),
        num_solved=sum(each.num_solved for each in figures),
        num_plain=sum(each.num_plain for each in figures),
        num_calls=sum(each.num_calls for each in figures),
        cpu_secs=round(sum(each.cpu_secs for each in figures), 1),
        num_rows=len(found),
        num_dead=int((found.kind == DEAD).sum()),
    )
    return EpisodeTask(task, found, Shares(episodes=wanted.share)), searched


def is_collected(source: str) -> bool:
    """Whether SOURCE is a folder that an earlier search wrote."""
    from sage.hrm_core.from_search.episodes import EpisodeFolder

    return EpisodeFolder(Path(source).expanduser()).exists


def read_puzzles(wanted: FromSearch, recipe: Recipe, task: Task) -> Puzzles:
    """The puzzles of a recipe, a task or a file, without those that the run is evaluated on. UserError."""
    from sage.hrm_core.from_search.collecting import not_held_out

    given = Path(wanted.source).expanduser()
    if given.is_dir():
        raise UserError(
            f"--from-search {wanted.source}: a folder without episodes: give one that has a source.json"
        )
    is_text = given.is_file() and given.suffix not in RECIPE_SUFFIXES
    found = _of_file(given, wanted, recipe, task) if is_text else _of_recipe(wanted, recipe, task)
    return not_held_out(task, found, recipe.train.eval_examples)


def _of_recipe(wanted: FromSearch, recipe: Recipe, task: Task) -> Puzzles:
    from sage.app.config.names import shipped_recipes
    from sage.app.models.training.building import build_task
    from sage.app.models.training.recipe import find_recipe
    from sage.hrm_core.from_search.collecting import puzzles_of
    from sage.hrm_core.tasks.catalogue import targets

    known = {*targets(), *shipped_recipes()}
    is_own_file = wanted.source not in known
    if is_own_file and Path(wanted.source).suffix not in RECIPE_SUFFIXES:
        raise UserError(
            f"--from-search {wanted.source}: no such recipe, task, file or folder:"
            f" {nearest(wanted.source, known)}"
        )
    other = find_recipe(None, wanted.source) if is_own_file else find_recipe(wanted.source, None)
    if other.is_mixture:
        raise UserError(f"--from-search {wanted.source}: a mixture: give a recipe of one task")
    source = build_task(other)
    for name in ("name", "vocab_size", "seq_len"):
        ours, theirs = getattr(task.spec, name), getattr(source.spec, name)
        if ours != theirs:
            raise UserError(
                f"--from-search {wanted.source}: {name} is {theirs}, of {recipe.name} {ours}: give puzzles of"
                " the same task and size"
            )
    return puzzles_of(source, wanted.num_puzzles, seed=recipe.train.seed)


def _of_file(path: Path, wanted: FromSearch, recipe: Recipe, task: Task) -> Puzzles:
    import numpy as np

    from sage.errors import InputError
    from sage.hrm_core.from_search.collecting import Puzzles
    from sage.hrm_core.tasks.puzzle_text import split_puzzles

    encode: Any = getattr(task, "encode", None)
    if encode is None:
        raise UserError(f"--from-search {path}: task {task.spec.name} has no text form: give a recipe")
    rows: list[np.ndarray] = []
    for number, text in enumerate(split_puzzles(recipe.tasks[0].name, read_user_text(path)), start=1):
        if len(rows) == wanted.num_puzzles:
            break
        try:
            rows.append(encode(text))
        except InputError as error:
            raise UserError(f"--from-search {path}: puzzle {number}: {error}") from error
    inputs = np.array(rows, np.int32).reshape(len(rows), task.spec.seq_len)
    return Puzzles(inputs=inputs, puzzle_ids=np.full(len(rows), -1, np.int32), name=path.name)


def _collect(wanted: FromSearch, recipe: Recipe, task: Task, model: HRM, folder: EpisodeFolder) -> None:
    from sage.hrm_core.from_search.collecting import collect
    from sage.hrm_core.solving.settings import SolveSettings

    puzzles = read_puzzles(wanted, recipe, task)
    if not len(puzzles):
        raise UserError(f"--from-search {wanted.source}: no puzzles, or only held-out ones: give others")
    is_training = model.training
    model.eval()
    try:
        collect(
            model,
            task,
            puzzles,
            folder,
            SolveSettings(search=wanted.calls, seed=recipe.train.seed),
            origin=_digest(model),
            max_cpu_secs=wanted.cpu_secs,
        )
    finally:
        model.train(is_training)


def _check_task(folder: EpisodeFolder, task: Task) -> None:
    found = folder.source().get("task")
    if found != task.spec.name:
        raise UserError(
            f"--from-search {folder.path}: its task is {found}, this run trains {task.spec.name}: give"
            " episodes of the same task"
        )


def _digest(model: HRM) -> str:
    """blake2b-128 of the weights, by name."""
    found = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(model.state_dict().items()):
        found.update(name.encode())
        found.update(tensor.detach().float().cpu().numpy().tobytes())
    return found.hexdigest()
