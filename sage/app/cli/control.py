"""`sage status`, `pause`, `resume`, `estop`, `arm`: what a person asks of a running session."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any

import typer

from sage.app.cli.options import JsonOption, StateDirArgument


def status(state_dir: StateDirArgument = None, json_output: JsonOption = False) -> None:
    """Show the running session: state, ticks, sources, and effectors that are held."""
    from sage.app.control.status_text import as_text

    result = _asked(state_dir, "status")
    _print(result, json_output, as_text)


def pause(state_dir: StateDirArgument = None, json_output: JsonOption = False) -> None:
    """Stop ticking after the current tick, with effectors held, until `sage resume`."""
    changed, already = "paused: run `sage resume` to continue", "it was paused already"
    result = _asked(state_dir, "pause")
    _print(result, json_output, lambda given: changed if given["has_changed"] else already)


def resume(state_dir: StateDirArgument = None, json_output: JsonOption = False) -> None:
    """Continue after `sage pause`."""
    result = _asked(state_dir, "resume")
    _print(result, json_output, lambda given: "resumed" if given["has_changed"] else "it was not paused")


def estop(
    state_dir: StateDirArgument = None,
    reason: Annotated[str, typer.Option("--reason", help="For the audit log.")] = "",
    json_output: JsonOption = False,
) -> int:
    """Stop every effector now, also while a tick hangs. Only `sage arm` ends it, not a restart.

    Exit code 1 when an effector did not stop.
    """
    result = _asked(state_dir, "estop", reason=reason)
    _print(
        result, json_output, lambda given: f"stopped: {', '.join(given['stopped']) or 'there is no effector'}"
    )
    for name, problem in result["failed"].items():
        typer.echo(f"sage: {name}: {problem}: cut its power", err=True)
    if result["problem"]:
        typer.echo(f"sage: {result['problem']}", err=True)
    return 1 if result["failed"] or result["problem"] else 0


def arm(state_dir: StateDirArgument = None, json_output: JsonOption = False) -> None:
    """Let effectors act again, after `sage estop` or a crash."""
    result = _asked(state_dir, "arm")
    _print(
        result,
        json_output,
        lambda given: f"armed: {', '.join(given['armed'])}" if given["armed"] else "no effector was held",
    )


def _print(result: dict[str, Any], json_output: bool, as_text: Callable[[dict[str, Any]], str]) -> None:
    typer.echo(json.dumps(result, allow_nan=False) if json_output else as_text(result))


def _asked(state_dir: StateDirArgument, verb: str, **fields: Any) -> dict[str, Any]:
    from sage.app.config.state_dir import default_state_dir
    from sage.app.control.client import ask

    return ask((state_dir or default_state_dir()).expanduser(), verb, **fields)
