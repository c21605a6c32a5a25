"""Every task by name: what it is, its options, and how it is made.

Invariant: looking a task up imports nothing heavy; an unknown name or option is an InputError that names the
nearest known.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from typing import Any

from sage.errors import InputError, SageError, pass_on
from sage.hrm_core.tasks.contract import Task
from sage.hrm_core.tasks.options import checked_options


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskKind:
    """about: one line for a list.  config: a dataclass whose fields are the options.  build: from a config to
    a task.  is_searchable: its tasks have the methods of PartialCheck (`sage solve --search`).
    files: the options that name files or folders.
    """

    name: str
    about: str
    config: type
    build: Callable[[Any], Task]
    is_searchable: bool = False
    files: tuple[str, ...] = ()

    @property
    def options(self) -> tuple[str, ...]:
        return tuple(field.name for field in dataclasses.fields(self.config))


#: name -> "module:ATTRIBUTE" of a TaskKind.
_BUILT_IN = {
    "arc": "sage.hrm_core.tasks.kinds:ARC",
    "arc_generated": "sage.hrm_core.tasks.kinds:ARC_GENERATED",
    "brackets": "sage.hrm_core.tasks.kinds:BRACKETS",
    "colouring": "sage.hrm_core.tasks.kinds:COLOURING",
    "diagnosis": "sage.hrm_core.tasks.kinds:DIAGNOSIS",
    "folder": "sage.hrm_core.datasets.kinds:FOLDER",
    "hanoi": "sage.hrm_core.tasks.kinds:HANOI",
    "maze": "sage.hrm_core.tasks.kinds:MAZE",
    "mixture": "sage.hrm_core.training.mixture_kind:MIXTURE",
    "patterns": "sage.hrm_core.tasks.kinds:PATTERNS",
    "sat": "sage.hrm_core.tasks.kinds:SAT",
    "sudoku": "sage.hrm_core.tasks.kinds:SUDOKU",
    "table": "sage.hrm_core.tasks.kinds:TABLE",
    "text": "sage.hrm_core.tasks.kinds:TEXT",
}


@cache
def targets() -> dict[str, str]:
    """Name -> "module:attribute", built-in tasks and entry points of the group `sage.tasks`. Built-in names
    win.
    """
    from importlib.metadata import entry_points

    found = {point.name: point.value for point in entry_points(group="sage.tasks")}
    return dict(sorted({**found, **_BUILT_IN}.items()))


def task_kind(name: str) -> TaskKind:
    """The kind behind a name."""
    known = targets()
    if name not in known:
        raise InputError(f"task {name!r}: unknown: {_nearest(name, known)}")
    module, _, attribute = known[name].partition(":")
    try:
        kind = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"task {name!r}: {known[name]} cannot be imported: {error}: reinstall the package it is from"
        ) from error
    except BaseException as error:  # around a plug-in, whose module may do anything when it is imported
        pass_on(error)
        text = " ".join(str(error).split())
        raise InputError(
            f"task {name!r}: {known[name]} raises {type(error).__name__} when it is imported: {text}: correct"
            " the plug-in"
        ) from error
    if not (isinstance(kind, TaskKind) and dataclasses.is_dataclass(kind.config)):
        raise InputError(
            f"task {name!r}: {known[name]} is {type(kind).__name__}: an entry point of sage.tasks names a"
            " TaskKind, whose config is a dataclass: correct the plug-in"
        )
    return kind


def kind_or_problem(name: str) -> TaskKind | str:
    """For a list: the kind behind a name, or why it cannot be used."""
    try:
        return task_kind(name)
    except SageError as error:
        return str(error)


def make_task(name: str, **options: Any) -> Task:
    """A task with its options; lists, as YAML has them, become tuples."""
    kind = task_kind(name)
    for key in options:
        if key not in kind.options:
            raise InputError(f"task {name}: option {key!r}: unknown: {_nearest(key, kind.options)}")
    try:
        values = checked_options(kind.config, options)
    except InputError as error:
        raise InputError(f"task {name}: {error}") from None
    try:
        return kind.build(kind.config(**values))
    except SageError:
        raise
    except (TypeError, ValueError, LookupError, OverflowError) as error:
        raise InputError(
            f"task {name}: cannot be made with {str(dict(options))[:200]}: {type(error).__name__}: {error}:"
            " correct its options"
        ) from error


def _nearest(name: str, known: Any) -> str:
    close = get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"give one of {', '.join(known)}"
