"""The command `sage`: the names of its subcommands, and the one place where an error becomes a line on
stderr.

Invariant: importing this module, and `sage --help`, load no torch, numpy or pydantic: a command loads what it
needs when it runs. Exit codes: 0, 1 (failed), 2 (wrong input, a file or a device: one line with the remedy),
130 (interrupted), 143 (terminated).
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sage.about import DESCRIPTION, __version__
from sage.app.cli import (
    audit,
    bench,
    bridge,
    coherence,
    config,
    control,
    daemon,
    demo,
    doctor,
    effectors,
    environments,
    groot,
    inject,
    mailbox,
    memory,
    recording,
    report,
    run,
    sensors,
    serve,
    sleep,
    store,
    top,
    totality,
)
from sage.app.cli.models import data, export, generate, hub, model, plot, solve, sweep, tasks, train
from sage.app.cli.models import eval as evaluation
from sage.app.terminal.ending import ProcessEnd
from sage.app.terminal.errors import describe_os_error, is_out_of_memory
from sage.app.terminal.signals import install_signal_handlers
from sage.app.terminal.streams import drop_output, flush_stdout, prepare_streams
from sage.errors import SageError, Terminated

if TYPE_CHECKING:
    from collections.abc import Sequence

app = typer.Typer(
    name="sage",
    help=DESCRIPTION,
    # Rich help would double the start-up time of `sage --help` and break its bar of 0.3 s.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("run")(run.run)
app.command("record")(run.record)
app.command("replay")(recording.replay)
app.command("report")(report.report)
app.command("audit")(audit.audit)
app.command("coherence")(coherence.coherence)
app.command("status")(control.status)
app.command("top")(top.top)
app.command("pause")(control.pause)
app.command("resume")(control.resume)
app.command("estop")(control.estop)
app.command("arm")(control.arm)
app.command("inject")(inject.inject)
app.command("stop")(control.stop)
app.command("reload")(control.reload)
app.command("snapshot")(control.snapshot)
app.add_typer(control.night, name="night")
app.add_typer(daemon.app, name="daemon")
app.command("demo")(demo.demo)
app.command("doctor")(doctor.doctor)
app.add_typer(config.app, name="config")
app.add_typer(sensors.app, name="sensors")
app.add_typer(effectors.app, name="effectors")
app.add_typer(environments.app, name="environments")
app.add_typer(bridge.app, name="bridge")
app.add_typer(store.app, name="store")
app.add_typer(recording.app, name="recording")
app.add_typer(mailbox.app, name="mailbox")
app.add_typer(memory.app, name="memory")
app.add_typer(memory.entities, name="entities")
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
app.add_typer(totality.app, name="totality")
app.command("export")(export.export)
app.command("plot")(plot.plot)
app.add_typer(model.app, name="model")
app.add_typer(hub.app, name="hub")
app.add_typer(groot.app, name="groot")

_INTERRUPTED = 130
#: The base class of every usage error. Typer has moved it between modules; its public subclass has not moved.
_UsageError: type[Exception] = next(
    base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException"
)


def _show_version(is_given: bool) -> None:
    if is_given:
        typer.echo(f"sage {__version__}")
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
    end = ProcessEnd()
    prepare_streams()
    install_signal_handlers()
    set_threads()
    end.exit(invoke(sys.argv[1:]))


def set_threads() -> None:
    """Set the thread settings that torch reads once, when it is imported, unless they are set already.

    One thread: a tick's matrices are small, and waking a thread pool costs more than the product. PASSIVE:
    idle threads sleep instead of spinning, which leaves the cores to the sensors.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def invoke(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code. A defect in SAGE raises: its traceback is shown, exit
    code 1.
    """
    command = typer.main.get_command(app)
    try:
        code = command.main(args=list(arguments), prog_name="sage", standalone_mode=False)
        flush_stdout()
    except SageError as error:
        return _refuse(" ".join(str(error).split()))
    except _UsageError as error:
        return _refuse(_explain(error))
    except (KeyboardInterrupt, typer.Abort):
        code = _INTERRUPTED
    except Terminated as error:
        code = error.code
    except BrokenPipeError:
        # The reader of our output is gone (`sage ... | head`).
        drop_output()
        return 1
    except OSError as error:
        if error.filename is None:
            drop_output()
        return _refuse(describe_os_error(error))
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        return _refuse(
            "torch is not installed: start ./scripts/run, which installs the build for this machine"
        )
    except (MemoryError, RuntimeError) as error:
        if "home directory" in str(error):  # of pathlib and platformdirs
            return _refuse("this account has no home folder: set HOME, or give absolute paths (--state-dir)")
        if "Symlink loop" in str(error):  # of pathlib, up to Python 3.12
            return _refuse(f"{_after_from(error)}: its symbolic links lead back to it: give another path")
        if not is_out_of_memory(error):
            raise
        return _refuse("not enough memory: give a smaller model, batch or data set")
    if code == _INTERRUPTED:
        typer.echo("sage: interrupted", err=True)
    return code if isinstance(code, int) else 0


def _after_from(error: Exception) -> str:
    """The path in pathlib's `Symlink loop from 'PATH'`."""
    return str(error).partition(" from ")[2].strip("'")


def _refuse(message: str) -> int:
    typer.echo(f"sage: {message}", err=True)
    return 2


def _explain(error: Any) -> str:
    context = getattr(error, "ctx", None)
    message = " ".join(error.format_message().split()).rstrip(".")
    return f"{message}: see '{context.command_path if context else 'sage'} --help'"
