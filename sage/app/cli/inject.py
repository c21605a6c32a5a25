"""`sage inject`: faults on purpose in a running session, to see whether their cause is named."""

from __future__ import annotations

from typing import Annotated

import typer

from sage.app.cli.options import StateDirOption


def inject(
    faults: Annotated[
        list[str],
        typer.Argument(
            metavar="FAULT...", help="freeze, drift, silence or cut (of a source), disk, starve; or several."
        ),
    ],
    sources: Annotated[
        list[str] | None,
        typer.Option("--source", metavar="NAME", help="The source of a fault. Repeatable, in their order."),
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=0.1, max=3600, help="How long, on the session's clock.")
    ] = 10.0,
    state_dir: StateDirOption = None,
) -> None:
    """Inject faults into a running session that was started with --allow-inject.

    freeze: the source repeats one value. drift: its clock loses a fifth. silence: it delivers nothing. cut:
    what is derived from it delivers nothing. disk: the store's writes fail. starve: other processes take the
    loop's core. Each fault is an event at its start and at its end.
    """
    from sage.app.config.state_dir import default_state_dir
    from sage.app.control.client import ask
    from sage.app.terminal.errors import UserError

    folder = (state_dir or default_state_dir()).expanduser()
    try:
        result = ask(folder, "inject", faults=faults, sources=sources or [], seconds=seconds)
    except UserError as error:
        if "unknown verb" in str(error):
            raise UserError(
                "inject: this session does not permit it: start it with `sage run --allow-inject`"
            ) from None
        raise
    for text in result["injected"]:
        typer.echo(f"for {seconds:g} s: {text}")
