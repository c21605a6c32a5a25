"""`sage model`: which models there are, and what one is made of."""

from __future__ import annotations

from typing import Annotated

import typer

from sage.app.cli.options import JsonOption, command_group

app = command_group("List models, and draw one.")


@app.command("list")
def list_models() -> None:
    """List the presets, and the trained models that are shipped."""
    from sage.hrm_core.config.presets import preset_names
    from sage.hrm_core.solving.published import read_card, shipped_folders

    typer.echo("\n".join(["presets:", *(f"  {name}" for name in preset_names()), "trained:"]))
    for name, folder in shipped_folders().items():
        card = read_card(folder)
        typer.echo(f"  {name}  {card.task if card else ''}")


@app.command("show")
def show(
    name: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="A preset, a shipped name, a folder, a file or a hub repository."
        ),
    ],
    json_output: JsonOption = False,
) -> None:
    """Draw a model's modules, their tensors and their share of the parameters."""
    from sage.app.models.catalogue import draw_model, open_model, plain_model

    model, trained = open_model(name)
    if json_output:
        import json

        typer.echo(json.dumps(plain_model(model, trained)))
        return
    typer.echo(draw_model(model, trained))
