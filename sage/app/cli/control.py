"""`sage status`, `pause`, `resume`, `estop`, `arm`: what a person asks of a running session."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from sage.app.cli.options import JsonOption, StateDirArgument


def status(state_dir: StateDirArgument = None, json_output: JsonOption = False) -> None:
    """Show the running session: state, ticks, sources, and effectors that are held."""
    from sage.app.control.status_text import as_text

    result = _asked(state_dir, "status")
    typer.echo(json.dumps(result, allow_nan=False) if json_output else as_text(result))


def pause(state_dir: StateDirArgument = None) -> None:
    """Stop ticking after the current tick, with effectors held, until `sage resume`."""
    result = _asked(state_dir, "pause")
    typer.echo("paused: run `sage resume` to continue" if result["has_changed"] else "it was paused already")


def resume(state_dir: StateDirArgument = None) -> None:
    """Continue after `sage pause`."""
    result = _asked(state_dir, "resume")
    typer.echo("resumed" if result["has_changed"] else "it was not paused")


def estop(
    state_dir: StateDirArgument = None,
    reason: Annotated[str, typer.Option("--reason", help="For the audit log.")] = "",
) -> int:
    """Stop every effector now, also while a tick hangs. Only `sage arm` ends it, not a restart.

    Exit code 1 when an effector did not stop.
    """
    result = _asked(state_dir, "estop", reason=reason)
    typer.echo(f"stopped: {', '.join(result['stopped']) or 'there is no effector'}")
    for name, problem in result["failed"].items():
        typer.echo(f"sage: {name}: {problem}: cut its power", err=True)
    if result["problem"]:
        typer.echo(f"sage: {result['problem']}", err=True)
    return 1 if result["failed"] or result["problem"] else 0


def arm(state_dir: StateDirArgument = None) -> None:
    """Let effectors act again, after `sage estop` or a crash."""
    result = _asked(state_dir, "arm")
    typer.echo(f"armed: {', '.join(result['armed'])}" if result["armed"] else "no effector was held")


def _asked(state_dir: StateDirArgument, verb: str, **fields: Any) -> dict[str, Any]:
    from sage.app.config.state_dir import default_state_dir
    from sage.app.control.client import ask

    return ask((state_dir or default_state_dir()).expanduser(), verb, **fields)
