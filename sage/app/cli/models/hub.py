"""`sage hub`: download and upload models of the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sage.app.cli.options import ModelArgument, command_group

app = command_group("Download and upload models of the Hugging Face hub.")

RepositoryArgument = Annotated[str, typer.Argument(metavar="OWNER/NAME", help="A hub repository.")]


@app.command("pull")
def pull(
    repository: RepositoryArgument,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="New folder. Default: ./NAME.")
    ] = None,
) -> None:
    """Download a model (SAGE, published HRM or TRM) into a folder that every command takes."""
    from sage.app.models.catalogue import need_repository, pull_model

    need_repository(repository)
    typer.echo(pull_model(repository, out or Path(repository.partition("/")[2])))


@app.command("push")
def push(
    checkpoint: ModelArgument,
    repository: RepositoryArgument,
    public: Annotated[
        bool, typer.Option("--public", help="Make the repository public. Default: private.")
    ] = False,
) -> None:
    """Upload a model with its task. Needs a token of the hub (`hf auth login`)."""
    from sage.app.models.catalogue import need_repository, push_model

    need_repository(repository)
    typer.echo(push_model(checkpoint, repository, is_public=public))
