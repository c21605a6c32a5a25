"""`sage generate`: text from a trained model, after a prompt."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from sage.app.cli.options import JsonOption, SeedOption

ModelArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A model of text: a run's folder (sage train text), a model's folder, a hub repository.",
    ),
]
LengthOption = Annotated[
    int | None,
    typer.Option(
        "--max-length",
        metavar="N",
        help="Maximum tokens, including the prompt. Default: the model's maximum.",
    ),
]


def generate(
    model: ModelArgument,
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="The text to continue.")],
    max_length: LengthOption = None,
    temperature: Annotated[
        float, typer.Option("--temperature", help="Sampling temperature; 0: the most likely token.")
    ] = 0.0,
    top_k: Annotated[
        int | None, typer.Option("--top-k", help="Sample from the N most likely tokens.")
    ] = None,
    stop: Annotated[str, typer.Option("--stop", help="Stop after this text, e.g. $'\\n'.")] = "",
    segments: Annotated[int | None, typer.Option("--segments", help="Reasoning segments per token.")] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Use the plain GPT stored beside the model.")
    ] = False,
    seed: SeedOption = 0,
    json_output: JsonOption = False,
) -> None:
    """Generate text after a prompt, byte by byte."""
    import json

    from sage.app.config.names import check_model
    from sage.app.terminal.errors import user_errors
    from sage.app.terminal.logs import only_warnings

    check_model(model)
    with only_warnings(), user_errors("generate"):
        from sage.app.models.text_models import load_text_model
        from sage.hrm_core.text.generation import Sampling
        from sage.hrm_core.text.generation import generate as write

        sampling = Sampling(temperature=temperature, top_k=top_k, seed=seed)
        options: dict[str, Any] = {
            "use_hrm": not plain,
            "stop": stop,
            "sampling": sampling,
            "num_segments": segments,
        }
        written = write(load_text_model(model), prompt, max_length=max_length, **options)
    if json_output:
        plain_text = {
            "prompt": prompt,
            "text": written.text,
            "num_new": written.num_new,
            "stopped": written.stopped,
        }
        typer.echo(json.dumps({**plain_text, "secs": written.secs}))
        return
    typer.echo(prompt + written.text)
