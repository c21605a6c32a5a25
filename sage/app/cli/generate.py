"""`sage generate`: a trained model of text goes on where the prompt ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from sage.app.cli.options import JsonOption

if TYPE_CHECKING:
    from sage.hrm_core.text.baseline_comparison import BaselineComparison

ModelArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A run's folder (sage train text, sage train brackets), a model's, a repository.",
    ),
]
LengthOption = Annotated[
    int | None,
    typer.Option("--max-length", metavar="N", help="Tokens, prompt included; else all that the model takes."),
]


def generate(
    model: ModelArgument,
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="The text to go on from.")],
    max_length: LengthOption = None,
    temperature: Annotated[
        float, typer.Option("--temperature", help="0: the likeliest symbol each time.")
    ] = 0.0,
    top_k: Annotated[int | None, typer.Option("--top-k", help="Draw among so many.")] = None,
    stop: Annotated[str, typer.Option("--stop", help="End after this text, e.g. $'\\n'.")] = "",
    segments: Annotated[int | None, typer.Option("--segments", help="Of thinking for each token.")] = None,
    plain: Annotated[bool, typer.Option("--plain", help="By the plain GPT kept beside the model.")] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of what is drawn.")] = 0,
    json_output: JsonOption = False,
) -> None:
    """Write on, byte by byte, after a prompt."""
    import json

    from sage.app.terminal.errors import user_errors
    from sage.app.terminal.logs import only_warnings

    with only_warnings(), user_errors("generate"):
        from sage.hrm_core.text.generation import Sampling
        from sage.hrm_core.text.generation import generate as write

        sampling = Sampling(temperature=temperature, top_k=top_k, seed=seed)
        options: dict[str, Any] = {
            "use_hrm": not plain,
            "stop": stop,
            "sampling": sampling,
            "num_segments": segments,
        }
        written = write(_load(model), prompt, max_length=max_length, **options)
    if json_output:
        said = {
            "prompt": prompt,
            "text": written.text,
            "num_new": written.num_new,
            "stopped": written.stopped,
        }
        typer.echo(json.dumps({**said, "secs": written.secs}))
        return
    typer.echo(prompt + written.text)


def _load(name: str) -> BaselineComparison:
    """The model with its twin, where one is kept beside it. InputError for what is no model of text."""
    from sage.hrm_core.model.hrm import HRM
    from sage.hrm_core.solving.published import locate
    from sage.hrm_core.text.baseline_comparison import BaselineComparison, load_plain
    from sage.hrm_core.text.decoding import need_text_model

    folder = locate(name)
    folder = folder / "model" if (folder / "model" / "config.json").is_file() else folder
    hrm = HRM.from_pretrained(folder).eval()
    return BaselineComparison(hrm=hrm, gpt=load_plain(folder, need_text_model(hrm)))
