"""The command `sage`: what each subcommand is called, and how a fault reaches the person who typed it.

Invariant: importing this module, and `sage --help`, load no torch, numpy or pydantic: a command loads what it
needs when it runs. Exit codes: 0, 1 (failed), 2 (what was given is wrong: one line with the remedy), 130
(interrupted).
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

import sage
from sage.app.cli import (
    bench,
    config,
    data,
    demo,
    doctor,
    export,
    generate,
    hub,
    mailbox,
    model,
    plot,
    report,
    run,
    sensors,
    serve,
    sleep,
    solve,
    store,
    sweep,
    tasks,
    train,
)
from sage.app.cli import eval as evaluation
from sage.app.terminal.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

app = typer.Typer(
    name="sage",
    help=f"{sage.__doc__.splitlines()[0]}",
    # Rich help would double the start-up time of `sage --help` and break its bar of 0.3 s.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("run")(run.run)
app.command("report")(report.report)
app.command("demo")(demo.demo)
app.command("doctor")(doctor.doctor)
app.add_typer(config.app, name="config")
app.add_typer(sensors.app, name="sensors")
app.add_typer(store.app, name="store")
app.add_typer(mailbox.app, name="mailbox")
app.command("bench", context_settings=bench.CONTEXT)(bench.bench)
app.command("sleep")(sleep.sleep)
app.command("tasks")(tasks.tasks)
app.add_typer(data.app, name="data")
app.command("train")(train.train)
app.command("eval")(evaluation.evaluate)
app.command("sweep")(sweep.sweep)
app.command("solve")(solve.solve)
app.command("generate")(generate.generate)
app.command("serve")(serve.serve)
app.command("export")(export.export)
app.command("plot")(plot.plot)
app.add_typer(model.app, name="model")
app.add_typer(hub.app, name="hub")

_INTERRUPTED = 130
#: The base of every fault in what was typed. Typer has moved it between modules; its public subclass has not
#: moved.
_TypedWrong: type[Exception] = next(
    base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException"
)


def _show_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"sage {sage.__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _sage(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main() -> None:
    """The entry point of `sage` and `python -m sage`."""
    set_threads()
    sys.exit(invoke(sys.argv[1:]))


def set_threads() -> None:
    """Thread settings that torch reads once, when it is imported. What the person has set stays.

    One thread: a tick's matrices are small, and waking a pool costs more than they do. PASSIVE: idle threads
    sleep instead of spinning, which leaves the cores to the sensors.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def invoke(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code. A fault of ours raises: it keeps its traceback, and
    exits 1.
    """
    command = typer.main.get_command(app)
    try:
        code = command.main(args=list(arguments), prog_name="sage", standalone_mode=False)
    except UserError as error:
        return _refuse(str(error))
    except _TypedWrong as error:
        return _refuse(_explain(error))
    except (KeyboardInterrupt, typer.Abort):
        code = _INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has gone (`sage ... | head`); stop the interpreter's own flush from
        # complaining.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    if code == _INTERRUPTED:
        typer.echo("sage: interrupted", err=True)
    return code if isinstance(code, int) else 0


def _refuse(message: str) -> int:
    typer.echo(f"sage: {message}", err=True)
    return 2


def _explain(error: Any) -> str:
    context = getattr(error, "ctx", None)
    message = " ".join(error.format_message().split()).rstrip(".")
    return f"{message}: see '{context.command_path if context else 'sage'} --help'"
