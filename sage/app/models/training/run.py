"""`sage train`: one run in its own folder, from a recipe to a model for `sage solve`.

Layout of a run:  run.json  recipe.json  metrics.jsonl  lock  checkpoints/
model/{config.json, model.safetensors, task.json}  model-last/, likewise
`model` is the best of the run's evaluations by the task's own score, `model-last` the last.
Invariant: nothing is written before the options, the data, the model and the checkpoint have been checked.
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from safetensors import SafetensorError

from sage.app.config.file_lock import exclusive
from sage.app.models.training.from_search import FromSearch, Searched, with_episodes
from sage.app.models.training.recipe import Recipe
from sage.app.terminal.errors import UserError
from sage.errors import SageError

if TYPE_CHECKING:
    from sage.app.trackers.config import TrackerConfig
    from sage.hrm_core.model.hrm import HRM
    from sage.hrm_core.optim.ranks import Ranks
    from sage.hrm_core.tasks.contract import Task
    from sage.hrm_core.training.trainer import TrainResult


#: Written and deleted before a run: more than a file system keeps in reserve inside an inode.
_PROBE_BYTES = 1 << 16
#: A file in the run's folder, locked by the process that trains there.
LOCK_NAME = "lock"
log = structlog.get_logger("sage.app")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainRequest:
    """The options of `sage train` beside the recipe. out: the run's folder; None: a new one in the state
    directory.  start: a model whose training is continued.  from_search: where searches give training rows.
    """

    recipe: Recipe
    start: str | None = None
    from_search: FromSearch | None = None
    data: Path | None = None
    eval_data: Path | None = None
    out: Path | None = None
    state_dir: Path | None = None
    resume: bool = False
    device: str = "auto"
    trackers: tuple[TrackerConfig, ...] = ()
    shows_progress: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    folder: Path
    result: TrainResult
    searched: Searched | None = None


def train(request: TrainRequest) -> Trained:
    """Train to the end, or until a signal. UserError for everything that a user can correct."""
    from sage.app.models.training.building import build_task
    from sage.app.models.training.processes import joined_ranks
    from sage.app.models.training.publishing import check_card, publish
    from sage.app.terminal.waiting import show_waiting
    from sage.hrm_core.training.errors import TrainingDiverged

    with joined_ranks(request.device) as (ranks, device), one_line(request.recipe.name):
        request = _continued(request, ranks)
        folder = _folder(request, ranks)
        is_quiet = ranks.index > 0 or not request.shows_progress
        with show_waiting("preparing data and model", is_quiet=is_quiet):
            task = build_task(request.recipe, request.data, request.eval_data)
            model = first_model(request, task).to(device)
            check_card(request.recipe, model, request.data)
        searched = None
        if request.from_search is not None:
            task, searched = _search(request, task, model, folder, ranks, is_quiet=is_quiet)
        try:
            result = _train(request, task, model, folder, ranks)
        except TrainingDiverged:
            if ranks.index == 0:  # what was good before
                publish(request.recipe, model, folder, request.data)
            raise
        if ranks.index == 0 and not result.is_interrupted:
            publish(request.recipe, model, folder, request.data)
        return Trained(folder=folder, result=result, searched=searched)


def check(request: TrainRequest) -> None:
    """UserError that `train` would raise before its first step, but for those of its folder. Nothing is
    written.
    """
    from sage.app.models.training.building import build_task
    from sage.app.models.training.processes import joined_ranks
    from sage.app.models.training.publishing import check_card
    from sage.hrm_core.training.trainer import Trainer

    with joined_ranks(request.device) as (_, device), one_line(request.recipe.name):
        task = build_task(request.recipe, request.data, request.eval_data)
        model = first_model(request, task).to(device)
        check_card(request.recipe, model, request.data)
        Trainer(model, task, request.recipe.train).check()


def first_model(request: TrainRequest, task: Task) -> HRM:
    """The model of --from, or a new one of the recipe. Where the recipe's has other heads, it is a new one
    with the weights of --from.
    """
    from sage.app.models.training.building import build_model, heads_of, start_model

    recipe, source = request.recipe, request.start
    if source is None:
        return build_model(recipe, task.spec)
    model = start_model(source, task.spec)
    if model.config.heads == heads_of(recipe):
        return model
    return build_model(dataclasses.replace(recipe, start=source), task.spec)


def _search(
    request: TrainRequest, task: Task, model: HRM, folder: Path, ranks: Ranks, *, is_quiet: bool
) -> tuple[Task, Searched]:
    """The task with what searches found among its rows; they run here, once everything else was checked."""
    from sage.app.models.training.from_search import is_collected
    from sage.app.terminal.waiting import show_waiting
    from sage.hrm_core.training.trainer import Trainer

    wanted, source = request.from_search, "--from-search"
    assert wanted is not None
    if request.recipe.is_mixture:
        raise UserError(f"{source}: {request.recipe.name} is a mixture: give a recipe of one task")
    if not is_collected(wanted.source) and not request.resume:
        if ranks.count > 1:
            raise UserError(f"{source}: several processes cannot search: give a folder of episodes")
        if request.start is None and not request.recipe.start:
            raise UserError(
                f"{source}: an untrained model finds little: give a trained one with --from MODEL"
            )
        Trainer(model, task, request.recipe.train).check()
    with show_waiting("searching", is_quiet=is_quiet):
        return with_episodes(wanted, request.recipe, task, model, folder, resumes=request.resume)


def _train(request: TrainRequest, task: Task, model: HRM, folder: Path, ranks: Ranks) -> TrainResult:
    """Check everything, then write the run's files and train."""
    from sage.app.models.training.processes import launch_name
    from sage.app.models.training.progress import ProgressBar
    from sage.app.trackers.opening import open_trackers
    from sage.hrm_core.training.callbacks import Callback
    from sage.hrm_core.training.tracker import ExperimentTracker
    from sage.hrm_core.training.trainer import Trainer

    checkpoints = folder / "checkpoints"
    Trainer(model, task, request.recipe.train, folder=checkpoints).check(request.resume)
    with ExitStack() as stack:
        callbacks: list[Callback] = []
        if ranks.index == 0:
            if request.resume:
                _check_same_rows(request, folder)
            stack.enter_context(_alone(folder))
            sinks = open_trackers(request.trackers, folder, {"recipe": request.recipe.name})
            about = {
                "recipe": dataclasses.asdict(request.recipe),
                "num_processes": ranks.count,
                "launch": launch_name(),
                "from": request.start,
                "from_search": _plain_search(request),
                "files": _plain_files(request),
            }
            tracker = ExperimentTracker(
                request.recipe.name, folder=folder, run_id=folder.name, about=about, sinks=sinks
            )
            callbacks.append(stack.enter_context(tracker))
            if request.shows_progress:
                callbacks.append(stack.enter_context(ProgressBar()))
        trainer = Trainer(model, task, request.recipe.train, folder=checkpoints, callbacks=callbacks)
        return trainer.train(resume=request.resume)


def _plain_search(request: TrainRequest) -> dict[str, object] | None:
    return None if request.from_search is None else dataclasses.asdict(request.from_search)


def _plain_files(request: TrainRequest) -> dict[str, dict[str, str]]:
    """Option -> path and SHA-256 of the file or folder that it names."""
    from sage.hrm_core.tasks.address import sha256_of

    named = {"--data": request.data, "--eval-data": request.eval_data}
    return {
        option: {"path": str(path.absolute()), "sha256": sha256_of(path)}
        for option, path in named.items()
        if path is not None
    }


def _check_same_files(request: TrainRequest, folder: Path, saved: Mapping[str, Mapping[str, str]]) -> None:
    """UserError where the run was trained on files of other content. A file may have moved."""
    from sage.app.models.training.data import reads_second_file

    ours = _plain_files(request)
    options = ["--data"]
    # elsewhere earlier versions took the option and read no such file
    if any(reads_second_file(part.name, request.data) for part in request.recipe.tasks):
        options.append("--eval-data")
    for option in options:
        before, now = saved.get(option, {}), ours.get(option, {})
        if before.get("sha256") != now.get("sha256"):
            was = f"with {option} {before['path']}" if before else f"without {option}"
            if before and now:
                was += f", and {now['path']} has another content"
            remedy = "give the same" if before else "leave it out"
            raise UserError(f"--resume: {folder}: the run was trained {was}: {remedy}")


def _check_same_rows(request: TrainRequest, folder: Path) -> None:
    """UserError where the run in `folder` was trained on other tasks, with other options, on other files, or
    from other searches.
    """
    keys = ("tasks", "vocabulary")
    try:
        run = json.loads((folder / "run.json").read_text())
        saved = {**{key: run["recipe"].get(key) for key in keys}, "from_search": run.get("from_search")}
        files = run.get("files")  # runs of earlier versions do not state them
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(
            f"--resume: {folder / 'run.json'}: cannot be read ({error}): restore it, or start a new run"
        ) from error
    ours = json.loads(json.dumps(dataclasses.asdict(request.recipe)))
    ours["from_search"] = _plain_search(request)
    for key in saved:
        if saved[key] != ours[key]:
            raise UserError(
                f"--resume: {folder}: {key} is {json.dumps(saved[key])} in the run and"
                f" {json.dumps(ours[key])} here: resume with the same"
            )
    if files is not None:
        _check_same_files(request, folder, files)


def _continued(request: TrainRequest, ranks: Ranks) -> TrainRequest:
    """With `resume`, where the torchrun that began the run of the folder starts its processes again: one of
    them, or a machine, has failed.
    """
    from sage.app.models.training.processes import launch_name

    out, launch = request.out, launch_name()
    if out is None or launch is None or request.resume:
        return request
    if not ranks.any(_has_run(out) and _launch_of(out) == launch):
        return request
    if ranks.index == 0:
        log.warning("torchrun started the run again: it continues from its last checkpoint", folder=str(out))
    return dataclasses.replace(request, resume=True)


def _launch_of(folder: Path) -> str | None:
    """Of the torchrun that began or resumed the run in `folder`; None without one, or of an earlier
    version.
    """
    try:
        name = json.loads((folder / "run.json").read_text()).get("launch")
    except (OSError, ValueError, AttributeError, RecursionError):
        return None
    return name if isinstance(name, str) else None


def _has_run(folder: Path) -> bool:
    return (folder / "checkpoints" / "last").is_file()


def _folder(request: TrainRequest, ranks: Ranks) -> Path:
    """The run's folder. UserError where it holds a run that is not to be resumed, or cannot be written."""
    from sage.app.config.state_dir import default_state_dir
    from sage.hrm_core.training.tracker import make_run_id

    if request.out is None:
        if request.resume:
            raise UserError("--resume: no run given: give its folder with --out DIR")
        if ranks.count > 1:
            raise UserError("--out: missing: several processes need one folder for the run: give --out DIR")
        root = request.state_dir or default_state_dir()
        return root / "training" / make_run_id(request.recipe.name)
    has_run = _has_run(request.out)
    if request.resume and not has_run:
        raise UserError(f"--resume: {request.out} contains no checkpoint: omit --resume to start a run there")
    if has_run and not request.resume:
        raise UserError(
            f"--out {request.out}: contains a run: continue it with --resume, or give another folder"
        )
    if request.out.exists() and not request.out.is_dir():
        raise UserError(f"--out {request.out}: is a file: give a folder")
    _check_writable(request.out)
    return request.out


def _check_writable(folder: Path) -> None:
    """UserError where no file can be written in `folder`, or in the nearest folder above it that exists."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.is_dir())
    try:
        with tempfile.TemporaryFile(dir=existing) as file:
            file.write(bytes(_PROBE_BYTES))
    except OSError as error:
        raise UserError(
            f"--out {folder}: cannot write there: {error.strerror}: give another folder"
        ) from error


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """While it is entered, no other process trains in the folder. UserError where one does."""
    folder.mkdir(parents=True, exist_ok=True)
    refusal = f"--out {folder}: another process trains there: wait for it, or give another folder"
    with exclusive(folder / LOCK_NAME, refusal):
        yield


@contextmanager
def one_line(name: str) -> Iterator[None]:
    """Errors that a user can correct, as one line each."""
    from sage.hrm_core.training.errors import ResumeError

    try:
        yield
    except UserError:
        raise
    except ResumeError as error:
        raise UserError(f"--resume: {error}") from error
    except SageError as error:
        raise UserError(f"{name}: {error}") from error
    except SafetensorError as error:
        raise UserError(f"{name}: cannot write the output: {error}") from error
