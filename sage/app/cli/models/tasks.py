"""`sage tasks`: what there is to learn and to solve, with the options of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from sage.app.cli.options import JsonOption

if TYPE_CHECKING:
    from sage.hrm_core.tasks.catalogue import TaskKind


def tasks(
    name: Annotated[
        str | None, typer.Argument(metavar="TASK", help="One of them, with what its options mean.")
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """List the tasks and their options, as recipes name them: `task: {name: sudoku, size: 4}`."""
    import json

    from sage.app.config.names import check_name
    from sage.app.config.registry import plugins
    from sage.app.terminal.errors import UserError, nearest
    from sage.errors import SageError
    from sage.hrm_core.tasks.catalogue import task_kind

    origins = {kind: plugin.origin for kind, plugin in plugins("tasks").items()}
    if name is not None and name not in origins:
        check_name("task", name)
        raise UserError(f"tasks {name}: no such task: {nearest(name, origins)}")
    try:
        kinds = [task_kind(each) for each in ([name] if name else origins)]
    except SageError as error:
        raise UserError(f"tasks: {error}") from error
    if json_output:
        typer.echo(json.dumps([_plain(kind, origins[kind.name]) for kind in kinds]))
    elif name is not None:
        typer.echo(_at_length(kinds[0], origins[name]))
    else:
        typer.echo("\n".join(_in_short(kinds)))


def _in_short(kinds: list[TaskKind]) -> list[str]:
    width = max(len(kind.name) for kind in kinds)
    lines = []
    for kind in kinds:
        options = ", ".join(f"{key}={_shown(value)}" for key, value in _defaults(kind).items())
        searchable = " (searchable)" if kind.is_searchable else ""
        lines += [f"{kind.name:<{width}}  {kind.about}{searchable}", f"{'':<{width}}  {options}"]
    return lines


def _at_length(kind: TaskKind, origin: str) -> str:
    """The options one a line, then the words of the config itself."""
    import inspect

    defaults = _defaults(kind)
    width = max(map(len, defaults), default=0)
    lines = [f"{kind.name}: {kind.about} ({origin})"]
    lines += ["searchable: `sage solve --search` applies"] if kind.is_searchable else []
    lines += [""]
    lines += [f"  {key:<{width}}  {_shown(value)}" for key, value in defaults.items()]
    return "\n".join([*lines, "", inspect.getdoc(kind.config) or ""]).rstrip()


def _plain(kind: TaskKind, origin: str) -> dict[str, Any]:
    return {
        "name": kind.name,
        "about": kind.about,
        "origin": origin,
        "options": _defaults(kind),
        "is_searchable": kind.is_searchable,
    }


def _defaults(kind: TaskKind) -> dict[str, Any]:
    """Option -> default; None where there is none or it must be given."""
    from dataclasses import MISSING, fields

    found = {}
    for field in fields(kind.config):
        made = field.default_factory() if field.default_factory is not MISSING else field.default
        found[field.name] = None if made is MISSING else made
    return found


def _shown(value: Any) -> str:
    import json

    return json.dumps(value)
