"""`sage hub`: models from and to the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sage.app.cli.options import command_group

app = command_group("Models from and to the Hugging Face hub.")

RepositoryArgument = Annotated[str, typer.Argument(metavar="OWNER/NAME", help="The repository.")]


@app.command("pull")
def pull(
    repository: RepositoryArgument,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="A new folder; NAME here by default.")
    ] = None,
) -> None:
    """Fetch a model, ours or a published HRM or TRM, and keep it as a folder that every command takes."""
    from sage.app.models.catalogue import need_repository, pull_model

    need_repository(repository)
    typer.echo(pull_model(repository, out or Path(repository.partition("/")[2])))


@app.command("push")
def push(
    checkpoint: Annotated[str, typer.Argument(metavar="MODEL", help="A shipped name, a folder or a file.")],
    repository: RepositoryArgument,
    public: Annotated[
        bool, typer.Option("--public", help="For everybody to see; private otherwise.")
    ] = False,
) -> None:
    """Upload a model with its task. Needs a token of the hub (`hf auth login`)."""
    from sage.app.models.catalogue import need_repository, push_model

    need_repository(repository)
    typer.echo(push_model(checkpoint, repository, is_public=public))
