"""`sage doctor`: what this machine offers and what SAGE chooses on it, with the reason."""

from __future__ import annotations

import typer

from sage.app.cli.options import JsonOption, StateDirOption


def doctor(state_dir: StateDirOption = None, json_output: JsonOption = False) -> int:
    """Say what was found, what was chosen and why. Exit 1 if something a run needs is missing."""
    from sage.app.devices.doctor import examine, render

    findings = examine(state_dir)
    if json_output:
        import dataclasses
        import json

        typer.echo(json.dumps([dataclasses.asdict(finding) for finding in findings]))
    else:
        render(findings)
    return 0 if all(finding.is_good for finding in findings) else 1
