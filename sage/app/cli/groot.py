"""`sage groot`: policy servers with GR00T's protocol or openpi's, and robot data sets for them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sage.app.cli.options import ConfigArgument, JsonOption, SetOption, command_group

app = command_group("Policy servers with GR00T's or openpi's protocol: run a local one, check one.")

EmbodimentOption = Annotated[
    str,
    typer.Option(
        "--embodiment",
        metavar="NAME",
        help="so100, libero, droid, g1_sim, gr1, or a YAML file with the same keys.",
    ),
]
TokenOption = Annotated[
    Path | None, typer.Option("--api-token-file", metavar="FILE", help="A file with the server's token.")
]


@app.command("serve")
def serve(
    embodiment: EmbodimentOption = "so100",
    dialect: Annotated[
        str,
        typer.Option("--dialect", metavar="NAME", help="n1.5, n1.6, n1.7, n2-flat or openpi (WebSocket)."),
    ] = "n1.7",
    dataset: Annotated[
        Path | None,
        typer.Option("--dataset", metavar="DIR", help="Replay the actions of a data set, v2.1 or v3.0."),
    ] = None,
    policy: Annotated[
        str,
        typer.Option(
            "--policy",
            metavar="NAME",
            help="Scripted: line (straight to the target) or reach (sage_arm: the hand goes to the object).",
        ),
    ] = "line",
    execute_steps: Annotated[
        int, typer.Option("--execute-steps", min=1, help="Steps that a replay moves on with each request.")
    ] = 8,
    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            metavar="V,V,...",
            help="Where the scripted policy moves to, one number a channel. Default: the middle.",
        ),
    ] = None,
    max_step: Annotated[
        float, typer.Option("--max-step", help="Its largest change in a step, as a part of the range.")
    ] = 0.02,
    host: Annotated[
        str,
        typer.Option("--host", help="Address to listen on. Anything but 127.0.0.1 exposes it without TLS."),
    ] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option("--port", min=0, max=65535, help="Default: 5555, openpi: 8000; 0: a free port."),
    ] = None,
    api_token_file: TokenOption = None,
    allow_kill: Annotated[
        bool, typer.Option("--allow-kill", help="Let clients end the server with the endpoint kill.")
    ] = False,
) -> None:
    """Run a strict local policy server with a test policy, not a trained model."""
    from sage.app.groot.serving import GrootServeOptions
    from sage.app.groot.serving import serve as serve_until_interrupted

    serve_until_interrupted(
        GrootServeOptions(
            dialect=dialect,
            embodiment=embodiment,
            dataset=dataset,
            policy=policy,
            execute_steps=execute_steps,
            target=target,
            max_step=max_step,
            host=host,
            port=port,
            api_token_file=api_token_file,
            allow_kill=allow_kill,
        )
    )


@app.command("record")
def record(
    config: ConfigArgument,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="A new folder: v2.1/ and v3.0/ in it.")],
    video: Annotated[
        list[str],
        typer.Option("--video", metavar="KEY=SOURCE", help="A camera of the embodiment. Repeatable."),
    ],
    state: Annotated[
        list[str],
        typer.Option(
            "--state", metavar="KEY=SOURCE", help="A state: SOURCE or SOURCE[START:STOP]. Repeatable."
        ),
    ],
    effector: Annotated[str, typer.Option("--effector", metavar="NAME", help="Whose actions are recorded.")],
    task: Annotated[str, typer.Option("--task", metavar="TEXT", help="The instruction, in words.")],
    seconds: Annotated[float, typer.Option("--seconds", min=0.1, max=1e6, help="Length of the run.")],
    embodiment: EmbodimentOption = "so100",
    overrides: SetOption = None,
    fast: Annotated[bool, typer.Option("--fast", help="On a simulated clock (deterministic).")] = False,
    json_output: JsonOption = False,
) -> None:
    """Run a configuration and write images, states and actions as a data set, in LeRobot's v2.1 and v3.0."""
    import json
    from dataclasses import asdict

    from sage.app.groot.recording import RecordOptions
    from sage.app.groot.recording import record as record_run

    facts = record_run(
        RecordOptions(
            config=config,
            out=out,
            embodiment=embodiment,
            video=video,
            state=state,
            effector=effector,
            task=task,
            seconds=seconds,
            overrides=overrides or (),
            is_fast=fast,
        )
    )
    if json_output:
        typer.echo(json.dumps({"folder": str(out), **asdict(facts)}))
    else:
        left_out = f", {facts.num_left_out} ticks left out" if facts.num_left_out else ""
        typer.echo(f"{out}: {facts.num_episodes} episodes, {facts.num_frames} frames{left_out}")


@app.command("check")
def check(
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT",
            help="tcp://HOST:PORT or ws://HOST:PORT of a policy server, or a data set's folder.",
        ),
    ],
    embodiment: Annotated[
        str | None,
        typer.Option(
            "--embodiment",
            metavar="NAME",
            help="As for serve. Default: so100 for a server, none for a data set.",
        ),
    ] = None,
    dialect: Annotated[
        str, typer.Option("--dialect", metavar="NAME", help="Of the server; auto: by its reply.")
    ] = "auto",
    api_token_file: TokenOption = None,
    timeout_secs: Annotated[
        float, typer.Option("--timeout", min=0.01, max=3600, help="Of a request, in s.")
    ] = 15.0,
    json_output: JsonOption = False,
) -> None:
    """Check a policy server or a data set against an embodiment; print what it is, or what is wrong."""
    import json

    from sage.app.groot.checking import ServerFacts, check_server
    from sage.app.groot.serving import read_token
    from sage.app.terminal.errors import user_errors
    from sage.gr00t_integration.dataset.check import DatasetFacts, check_dataset
    from sage.gr00t_integration.embodiment import load_embodiment

    facts: DatasetFacts | ServerFacts
    with user_errors("groot check"):
        if Path(what).is_dir():
            facts = check_dataset(Path(what), load_embodiment(embodiment) if embodiment else None)
        else:
            facts = check_server(
                what,
                load_embodiment(embodiment or "so100"),
                dialect=dialect,
                api_token=read_token(api_token_file),
                timeout_secs=timeout_secs,
            )
    typer.echo(json.dumps(facts.plain()) if json_output else "\n".join(facts.lines()))


@app.command("embodiments")
def embodiments(json_output: JsonOption = False) -> None:
    """List the shipped embodiments."""
    import json

    from sage.gr00t_integration.embodiment import load_embodiment, shipped_embodiments

    found = {name: load_embodiment(name).about for name in shipped_embodiments()}
    if json_output:
        typer.echo(json.dumps(found))
        return
    for name, about in found.items():
        typer.echo(f"{name:8} {about}")
