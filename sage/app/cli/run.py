"""`sage run`: run the loop until a limit, a signal or the end of its recordings. `sage record` is that with a
recording.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sage.app.cli.options import (
    AllowInjectOption,
    ConfigArgument,
    FoxgloveOption,
    JsonOption,
    NoLiveOption,
    PageHostOption,
    PageNamesOption,
    PageOption,
    PagePortOption,
    RecordJpegOption,
    RecordMaxBytesOption,
    RecordOption,
    RerunOption,
    SetOption,
    StateDirOption,
    TrackOption,
)
from sage.app.terminal.signals import session_signals

if TYPE_CHECKING:
    from sage.app.page.opening import PageOptions

TraceOption = Annotated[
    Path | None,
    typer.Option(
        "--trace",
        metavar="FILE",
        help="Write a Chrome/Perfetto trace of ticks, their stages, nights and focus messages to FILE.",
    ),
]
DrainOption = Annotated[
    float,
    typer.Option(
        "--drain-secs",
        min=0.1,
        max=1e9,
        help="After a signal or `sage stop`: exit with code 1 if not ended within this time. A second signal:"
        " within 5 s.",
    ),
]

SecondsOption = Annotated[
    float | None,
    typer.Option("--seconds", min=0.0, max=1e9, help="Stop after this many seconds of the session's clock."),
]


@session_signals()
def run(
    config: ConfigArgument = "default",
    seconds: SecondsOption = None,
    ticks: Annotated[int | None, typer.Option(min=1, help="Stop after this many ticks.")] = None,
    fast: Annotated[
        bool,
        typer.Option(
            "--fast", help="Replay recordings as fast as possible, on a simulated clock (deterministic)."
        ),
    ] = False,
    overrides: SetOption = None,
    state_dir: StateDirOption = None,
    no_live: NoLiveOption = False,
    trace: TraceOption = None,
    track: TrackOption = None,
    record: RecordOption = None,
    record_max_bytes: RecordMaxBytesOption = None,
    record_jpeg: RecordJpegOption = False,
    foxglove: FoxgloveOption = None,
    rerun: RerunOption = None,
    page: PageOption = False,
    port: PagePortOption = 8642,
    host: PageHostOption = "127.0.0.1",
    allow_host: PageNamesOption = None,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    allow_inject: AllowInjectOption = False,
    drain_secs: DrainOption = 60.0,
    json_output: JsonOption = False,
) -> int:
    """Run the loop: sense, reason, remember and sleep."""
    from sage.app.config.sage_config import SageConfig, load_config
    from sage.app.config.state_dir import open_state_dir

    def read(*, with_files: bool = False) -> SageConfig:
        loaded = load_config(config, _overrides(overrides, allow_inject), with_files=with_files)
        if state_dir is not None:
            loaded = loaded.model_copy(update={"state_dir": state_dir})
        if track:
            from sage.app.trackers.opening import chosen

            tracking = loaded.tracking.model_copy(update={"to": chosen(loaded.tracking.to, track)})
            loaded = loaded.model_copy(update={"tracking": tracking})
        return loaded

    options_of_page = _options_of_page(page or open_page, port, host, allow_host, open_page)
    loaded = read(with_files=True)
    open_state_dir(loaded.state_path)

    from sage.app.recording.attaching import attachments
    from sage.app.session.run import run_session

    return run_session(
        loaded,
        seconds=seconds,
        ticks=ticks,
        fast=fast,
        live=not no_live,
        json_output=json_output,
        trace_path=trace,
        attached=attachments(
            record, max_bytes=record_max_bytes, jpeg=record_jpeg, foxglove=foxglove, rerun=rerun
        ),
        page=options_of_page,
        drain_secs=drain_secs,
        reread=read,
    )


def _options_of_page(
    is_wanted: bool, port: int, host: str, names: list[str] | None, opens_browser: bool
) -> PageOptions | None:
    """None without a page. UserError for options of one that is not wanted."""
    from sage.app.page.address import check_without
    from sage.app.page.opening import PageOptions

    if not is_wanted:
        check_without(port, host, names or ())
        return None
    return PageOptions(port=port, opens_browser=opens_browser, host=host, allowed_hosts=tuple(names or ()))


def record(**options: Any) -> int:
    """Run the loop and record all readings and reports to an MCAP file, as `sage run --record FILE.mcap`."""
    return run(**options)


def _recording() -> inspect.Signature:
    """Of `run`, with the file as the first argument."""
    signature = inspect.signature(run, eval_str=True)
    parameters = dict(signature.parameters)
    argument = typer.Argument(metavar="FILE.mcap", help="The file to write.")
    file = parameters.pop("record").replace(
        annotation=Annotated[Path, argument], default=inspect.Parameter.empty
    )
    return signature.replace(parameters=[file, *parameters.values()])


record.__signature__ = _recording()  # type: ignore[attr-defined]


def _overrides(given: list[str] | None, allow_inject: bool) -> list[str]:
    """Faults are injected to see their causes named."""
    injecting = ["diagnosis.enabled=true", "diagnosis.allow_inject=true"] if allow_inject else []
    return [*injecting, *(given or ())]
