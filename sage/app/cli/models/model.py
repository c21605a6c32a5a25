"""`sage model`: the models, and the structure of one."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from sage.app.cli.options import JsonOption, command_group

app = command_group("List models, or show the structure of one.")


@app.command("list")
def list_models(json_output: JsonOption = False) -> None:
    """List the shipped models and the presets."""
    from sage.hrm_core.config.presets import preset_names
    from sage.hrm_core.solving.task_card import read_card, shipped_folders

    cards = {name: read_card(folder) for name, folder in shipped_folders().items()}
    shipped = [
        {"name": name, "task": card.task, "options": dict(card.options), "sizes": card.sizes}
        for name, card in cards.items()
        if card
    ]
    if json_output:
        import json

        typer.echo(json.dumps({"models": shipped, "presets": list(preset_names())}))
        return
    lines = [f"  {model['name']}  {_task(model)}" for model in shipped]
    typer.echo("\n".join(["shipped models:", *lines, "presets:", *(f"  {name}" for name in preset_names())]))


def _task(model: dict[str, Any]) -> str:
    shown = (
        dict(model["options"]) if model["sizes"] is None else {**model["options"], "sizes": model["sizes"]}
    )
    options = ", ".join(f"{key} {value}" for key, value in shown.items())
    return f"{model['task']} ({options})" if options else str(model["task"])


@app.command("show")
def show(
    name: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="A preset, a shipped model, a folder, a file or a hub repository."
        ),
    ],
    json_output: JsonOption = False,
) -> None:
    """Print a model's modules, their tensors and their share of the parameters."""
    from sage.app.models.catalogue import draw_model, open_model, plain_model

    model, trained = open_model(name)
    if json_output:
        import json

        typer.echo(json.dumps(plain_model(model, trained)))
        return
    typer.echo(draw_model(model, trained))
