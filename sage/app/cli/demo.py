"""`sage demo`: every capability in under two minutes."""

from __future__ import annotations

from typing import Annotated

import typer

from sage.app.cli.options import JsonOption


def demo(
    quick: Annotated[bool, typer.Option("--quick", help="The shortest form of each step.")] = False,
    json_output: JsonOption = False,
) -> int:
    """Solve, train, write text, share frames between processes, run the loop and sleep.

    Each step prints its result and its cost. Exit code 1 if a step failed.
    """
    import json
    from dataclasses import asdict

    from sage.app.demo.tour import tour
    from sage.app.terminal.figures import number
    from sage.app.terminal.logs import only_warnings

    reports = []
    with only_warnings():
        for report in tour(is_quick=quick):
            reports.append(report)
            if not json_output:
                cost = f"{number(report.wall_secs, 1)} s, {number(report.cpu_secs, 1)} CPU s"
                typer.echo(f"== {report.name}: {report.outcome} ({cost})\n{report.result}\n")
    if json_output:
        typer.echo(json.dumps([asdict(report) for report in reports]))
    return int(any(report.outcome == "failed" for report in reports))
