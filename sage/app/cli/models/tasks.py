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
    from sage.hrm_core.tasks.catalogue import kind_or_problem

    origins = {kind: plugin.origin for kind, plugin in plugins("tasks").items()}
    if name is not None and name not in origins:
        check_name("task", name)
        raise UserError(f"tasks {name}: no such task: {nearest(name, origins)}")
    kinds = {each: kind_or_problem(each) for each in ([name] if name else origins)}
    if name is not None and isinstance(kinds[name], str):
        raise UserError(f"tasks: {kinds[name]}")
    if json_output:
        plain = [_plain(each, kind, origins[each]) for each, kind in kinds.items()]
        typer.echo(json.dumps(plain, default=str))
    elif name is not None:
        typer.echo(_at_length(name, kinds[name], origins[name]))
    else:
        typer.echo("\n".join(_in_short(kinds)))


def _in_short(kinds: dict[str, TaskKind | str]) -> list[str]:
    """A task that cannot be used is a line with the reason."""
    width = max(map(len, kinds))
    lines = []
    for name, kind in kinds.items():
        if isinstance(kind, str):
            lines.append(f"{name:<{width}}  {kind}")
            continue
        options = ", ".join(f"{key}={_shown(value)}" for key, value in _defaults(kind).items())
        searchable = " (searchable)" if kind.is_searchable else ""
        lines += [f"{name:<{width}}  {kind.about}{searchable}", f"{'':<{width}}  {options}"]
    return lines


def _at_length(name: str, kind: Any, origin: str) -> str:
    """The options one a line, then the words of the config itself."""
    import inspect

    defaults = _defaults(kind)
    width = max(map(len, defaults), default=0)
    lines = [f"{name}: {kind.about} ({origin})"]
    lines += ["searchable: `sage solve --search` applies"] if kind.is_searchable else []
    lines += [""]
    lines += [f"  {key:<{width}}  {_shown(value)}" for key, value in defaults.items()]
    return "\n".join([*lines, "", inspect.getdoc(kind.config) or ""]).rstrip()


def _plain(name: str, kind: TaskKind | str, origin: str) -> dict[str, Any]:
    """about: of a task that cannot be used, the reason."""
    return {
        "name": name,
        "about": kind if isinstance(kind, str) else kind.about,
        "origin": origin,
        "is_usable": not isinstance(kind, str),
        "options": {} if isinstance(kind, str) else _defaults(kind),
        "is_searchable": not isinstance(kind, str) and kind.is_searchable,
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

    return json.dumps(value, default=str)
