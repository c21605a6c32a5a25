"""`sage doctor`: the hardware and software of this machine, and what SAGE chooses for them."""

from __future__ import annotations

import typer

from sage.app.cli.options import JsonOption, StateDirOption


def doctor(state_dir: StateDirOption = None, json_output: JsonOption = False) -> int:
    """Print what is installed, what SAGE chooses, and why. Exit code 1 if something a run needs is
    missing.
    """
    from sage.app.devices.doctor import examine, render
    from sage.app.terminal.logs import only_warnings

    with only_warnings():
        findings = examine(state_dir)
    if json_output:
        import dataclasses
        import json

        typer.echo(json.dumps([dataclasses.asdict(finding) for finding in findings]))
    else:
        render(findings)
    return 0 if all(finding.is_good for finding in findings) else 1
