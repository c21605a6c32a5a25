"""Which model, which task: what was typed, as pairs to be judged.

Invariant: a pair fits: the task uses the model's symbols; otherwise a UserError or InputError is raised.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sage.app.config.names import check_model
from sage.app.terminal.errors import UserError

if TYPE_CHECKING:
    from sage.hrm_core.solving.engine import SegmentModel
    from sage.hrm_core.solving.published import Published
    from sage.hrm_core.tasks.contract import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """label: what was typed, and of a mixture the part."""

    label: str
    published: Published
    task: Task

    @property
    def model(self) -> SegmentModel:
        return self.published.model


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """task: a task's name, or of a mixture a part's; None where the model's folder has it.  data: puzzles
    in a file.
    """

    task: str | None = None
    options: Mapping[str, Any]
    data: Path | None = None
    device: str = "cpu"
    state_dir: Path | None = None


def pairs_of(source: str, wanted: Wanted) -> list[Judged]:
    """A model with its task; of a mixture's, one for each part."""
    from sage.hrm_core.solving.fit import check_fit
    from sage.hrm_core.solving.published import load_published
    from sage.hrm_core.training.mixture import MixtureTask

    found = []
    for name in sources_of(source, wanted.state_dir):
        published = load_published(model_folder(name), device=wanted.device)
        task = _task(name, published, wanted)
        if isinstance(task, MixtureTask):
            found += [
                Judged(label=f"{name}: {part}", published=published, task=each)
                for part, each in _parts(task, wanted.task)
            ]
        else:
            check_fit(published.model, task.spec)
            found.append(Judged(label=name, published=published, task=task))
    return found


def check_sources(sources: Iterable[str]) -> None:
    """UserError where one is not the name of a model or a task, a path or a hub repository. Imports no
    torch."""
    from sage.hrm_core.tasks.catalogue import targets

    for source in sources:
        if source not in targets():
            check_model(source)


def sources_of(source: str, state_dir: Path | None) -> tuple[str, ...]:
    """What was typed; of a task's name, the shipped models of it and the newest run in the state
    directory.
    """
    from sage.hrm_core.solving.task_card import read_card, shipped_folders
    from sage.hrm_core.tasks.catalogue import targets

    shipped = shipped_folders()
    if source not in targets() or source in shipped or Path(source).exists():
        return (source,)
    named = [
        name
        for name, folder in shipped.items()
        if (card := read_card(folder)) is not None and card.task == source
    ]
    runs = [run for run in _runs(state_dir) if _tasks_of(run) == [source]]
    if runs:
        named.append(str(max(runs, key=lambda run: run.stat().st_mtime)))
    if not named:
        raise UserError(
            f"eval {source}: no model of this task is shipped and none was trained here: give a run's folder"
        )
    return tuple(named)


def model_folder(source: str) -> str:
    """A run's model; or what was typed."""
    run = Path(source).expanduser()
    if (run / "checkpoints").is_dir() or (run / "recipe.json").is_file():
        if not (run / "model").is_dir():
            raise UserError(
                f"{source}: a run that has not ended: finish it with sage train ... --out {source} --resume"
            )
        return str(run / "model")
    return source


def _task(source: str, published: Published, wanted: Wanted) -> Task:
    from sage.app.models.training.data import load_data, reads_second_file
    from sage.hrm_core.tasks.catalogue import make_task

    card, data = published.card, wanted.data
    is_part = card is not None and card.task == "mixture"
    name = card.task if card is not None and (is_part or wanted.task is None) else wanted.task
    if name is None and data is not None and data.is_dir() and (data / "test" / "dataset.json").is_file():
        name = "folder"  # a built data set describes itself
    if name is None:
        raise UserError(f"{source}: has no task.json: give --task NAME")
    options = {**(card.options if card is not None and name == card.task else {}), **wanted.options}
    if data is not None:
        return load_data(name, data, options, data if reads_second_file(name, data) else None)
    if published.task is not None and not wanted.options and card is not None and name == card.task:
        return published.task
    return make_task(name, **options)


def _parts(mixture: Any, wanted: str | None) -> Iterator[tuple[str, Task]]:
    """The parts by name; a second one of the same task is `NAME#2`."""
    names: list[str] = []
    chosen = 0
    for index, part in enumerate(mixture.parts):
        own = part.task.spec.name
        names.append(own)
        label = own if names.count(own) == 1 else f"{own}#{names.count(own)}"
        if wanted in (None, "mixture", own, label):
            chosen += 1
            yield label, mixture.only(index)
    if not chosen:
        raise UserError(
            f"--task {wanted}: the model was trained on {', '.join(dict.fromkeys(names))}: give one of them"
        )


def _runs(state_dir: Path | None) -> list[Path]:
    from sage.app.config.state_dir import default_state_dir

    root = (state_dir or default_state_dir()) / "training"
    return [path.parent for path in root.glob("*/recipe.json") if (path.parent / "model").is_dir()]


def _tasks_of(run: Path) -> list[str]:
    try:
        return [part["name"] for part in json.loads((run / "recipe.json").read_text())["tasks"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []
