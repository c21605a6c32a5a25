"""`sage status`, `pause`, `resume`, `estop`, `arm`, `stop`, `reload`, `snapshot`, `night`: what a person asks
of a running session.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from sage.app.cli.options import JsonOption, StateDirArgument, command_group

#: A snapshot of a large model takes long to write.
SNAPSHOT_REPLY_SECS = 90.0


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


def stop(
    state_dir: StateDirArgument = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Return at once.")] = False,
    json_output: JsonOption = False,
) -> None:
    """End the session after the current tick, with a snapshot, and wait until it has ended."""
    from sage.app.config.state_dir import wait_unlocked

    result = _asked(state_dir, "stop")
    if not no_wait:
        wait_unlocked(_folder(state_dir))
    text = "stopping" if no_wait else "stopped"
    _print(result | {"has_ended": not no_wait}, json_output, lambda given: text)


def reload(state_dir: StateDirArgument = None, json_output: JsonOption = False) -> None:
    """Read the configuration file again and apply the settings that may change while it runs."""

    def as_text(given: dict[str, Any]) -> str:
        lines = [f"{key} is now {value}" for key, value in given["changed"].items()] or ["nothing changed"]
        if given["refused"]:
            lines.append(f"restart for: {', '.join(given['refused'])}")
        return "\n".join(lines)

    _print(_asked(state_dir, "reload"), json_output, as_text)


def snapshot(state_dir: StateDirArgument = None, json_output: JsonOption = False) -> None:
    """Write a snapshot now; it is on the disk when the command returns."""
    result = _asked(state_dir, "snapshot", reply_secs=SNAPSHOT_REPLY_SECS)
    _print(result, json_output, lambda given: f"a snapshot of tick {given['tick']:,} is on the disk")


night = command_group("Start or stop a night, the part of sleep that trains.")


@night.command("start")
def night_start(state_dir: StateDirArgument = None, json_output: JsonOption = False) -> None:
    """Start a night now, before it is due; it is skipped where there is too little to learn from."""
    _print(_asked(state_dir, "night", action="start"), json_output, lambda given: "a night is due now")


@night.command("stop")
def night_stop(state_dir: StateDirArgument = None, json_output: JsonOption = False) -> None:
    """End the night in progress without a result; the weights stay as they are."""
    _print(_asked(state_dir, "night", action="stop"), json_output, lambda given: "the night has ended")


def _print(result: dict[str, Any], json_output: bool, as_text: Callable[[dict[str, Any]], str]) -> None:
    typer.echo(json.dumps(result, allow_nan=False) if json_output else as_text(result))


def _asked(
    state_dir: StateDirArgument, verb: str, *, reply_secs: float | None = None, **fields: Any
) -> dict[str, Any]:
    from sage.app.control.client import REPLY_SECS, ask

    return ask(_folder(state_dir), verb, reply_secs=reply_secs or REPLY_SECS, **fields)


def _folder(state_dir: StateDirArgument) -> Path:
    from sage.app.config.state_dir import default_state_dir

    return (state_dir or default_state_dir()).expanduser()
