"""`sage coherence`: the coherence figures of one session, or of several side by side."""

from __future__ import annotations

from typing import Annotated

import typer

from sage.app.cli.options import JsonOption, StateDirOption

SessionsArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="SESSION", help="Session ids, or their starts. Default: the latest session."),
]


def coherence(
    sessions: SessionsArgument = None,
    state_dir: StateDirOption = None,
    json_output: JsonOption = False,
) -> None:
    """Print the coherence figures of sessions: value, chance level, z. Several sessions are compared."""
    import json

    from sage.app.config.state_dir import default_state_dir
    from sage.app.report.coherence_text import load_summaries, render
    from sage.runtime.report import to_plain

    found = load_summaries(state_dir or default_state_dir(), sessions or [])
    if json_output:
        plain = {name: [to_plain(row) for row in rows] for name, rows in found.items()}
        typer.echo(json.dumps(plain, allow_nan=False))
        return
    render(found)
