"""`sage doctor`: the hardware and software of this machine, and what SAGE chooses for them."""

from __future__ import annotations

from typing import Annotated

import typer

from sage.app.cli.options import JsonOption, StateDirOption

MeasureOption = Annotated[
    bool,
    typer.Option(
        "--measure",
        help="First time a segment of HRM 27 M in fp32, bf16 and compiled bf16, up to two minutes. Models of"
        " that structure then run in what costs least.",
    ),
]


def doctor(
    measure: MeasureOption = False, state_dir: StateDirOption = None, json_output: JsonOption = False
) -> int:
    """Print what is installed, what SAGE chooses, and why. Exit code 1 if something a run needs is
    missing.
    """
    from sage.app.devices.doctor import examine, render
    from sage.app.devices.inference_forms import measure_paper_model
    from sage.app.terminal.logs import only_warnings

    with only_warnings():
        if measure:
            measure_paper_model()
        findings = examine(state_dir)
    if json_output:
        import dataclasses
        import json

        typer.echo(json.dumps([dataclasses.asdict(finding) for finding in findings]))
    else:
        render(findings)
    return 0 if all(finding.is_good for finding in findings) else 1
