"""`sage sleep`: one night, or an examination, on what a run left. The loop runs nights of its observation
model by this command.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sage.app.cli.options import JsonOption

if TYPE_CHECKING:
    import torch

    from sage.runtime.sleep.dreaming import Dream


def sleep(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR",
            help="Folder of a night or of a trainer that `sage run` wrote, or a state directory.",
        ),
    ],
    examine: Annotated[
        bool, typer.Option("--examine", help="Only examine the weights; nothing is trained or written.")
    ] = False,
    device: Annotated[
        str, typer.Option("--device", help="cpu, cuda, cuda:1, ...; auto: CUDA if available.")
    ] = "cpu",
    parent: Annotated[int, typer.Option("--parent", hidden=True)] = 0,
    json_output: JsonOption = False,
) -> None:
    """Train a copy of the weights on replayed experiences, examine it on held-out ones, write an accepted
    candidate and a report. Of a state directory: one night for each folder in it, and no session may use it
    meanwhile. With --json an object, or of several folders a list. Several processes (torchrun -m sage sleep
    DIR) train it together.
    """
    import json

    from sage.app.config.state_dir import locked, state_dir_of
    from sage.app.terminal.errors import UserError

    if parent:  # of a run: its night ends with it
        from sage.mailbox.shared.memory.identity import end_with

        end_with(parent)
    if not folder.is_dir():
        raise UserError(
            f"{folder}: no such folder: give a state directory, or STATE_DIR/sleep/NIGHT of a run"
        )
    nights = [folder] if (folder / "job.json").is_file() else _nights_in(folder)
    if not nights:
        raise UserError(
            f"{folder}: job.json is missing in it and in the folders of a run: give a state directory, or"
            " STATE_DIR/sleep/NIGHT of a run"
        )
    from sage.app.models.training.processes import joined_ranks

    problems: list[str] = []
    plain: list[dict[str, Any]] = []
    with joined_ranks(device) as (ranks, place), ExitStack() as stack:
        with ranks.together():
            if not parent and ranks.index == 0 and (state_dir := state_dir_of(folder)) is not None:
                stack.enter_context(locked(state_dir))
        for night in nights:
            is_open = False
            try:
                with _user_errors(night):
                    with ranks.together():
                        run = _opened(night, examine=examine, dreams=ranks.count == 1, device=place)
                    is_open = True
                    result = run()
            except UserError as error:  # the other nights do not depend on it
                if is_open and ranks.count > 1:  # the other processes may be within a step
                    raise
                problems.append(str(error))
                continue
            plain.append({"folder": str(night), **result.plain})
            if ranks.index == 0 and not json_output:
                typer.echo(result.text)
    if json_output and ranks.index == 0 and plain:
        typer.echo(json.dumps(plain[0] if len(nights) == 1 else plain, allow_nan=False))
    if problems:
        raise UserError("; ".join(problems))


def _nights_in(folder: Path) -> list[Path]:
    """Folders with a job, at most three levels down."""
    return sorted(path.parent for depth in ("*", "*/*", "*/*/*") for path in folder.glob(f"{depth}/job.json"))


@contextmanager
def _user_errors(night: Path) -> Iterator[None]:
    from sage.app.terminal.errors import UserError, describe_os_error
    from sage.errors import SageError

    try:
        yield
    except FileNotFoundError as error:
        raise UserError(
            f"{night}: {error.filename or error} is missing: give STATE_DIR/sleep/NIGHT of a run"
        ) from error
    except OSError as error:
        raise UserError(f"{night}: {describe_os_error(error)}: correct it, or give another folder") from error
    except SageError as error:
        raise UserError(f"{night}: no night can be run here ({error}): give another folder") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Of a night or an examination. plain: for JSON."""

    text: str
    plain: dict[str, Any]


def _opened(night: Path, *, examine: bool, dreams: bool, device: torch.device) -> Callable[[], Result]:
    """Read the folder; the rest of the work, which returns the report, or what an examination found.
    dreams: whether the night may begin with its dream.
    """
    from sage.app.terminal.nights import night_line
    from sage.runtime.report import SleepReport, to_plain
    from sage.runtime.sleep import consolidate
    from sage.runtime.sleep.puzzles.process import job

    def shown(report: SleepReport) -> Result:
        return Result(text=night_line(night.name, report), plain=to_plain(report))

    if examine:
        found = _examined(night)
        return lambda: found
    if job.is_solver_job(night):
        trainer = job.open_folder(night)
        return lambda: shown(job.sleep(night, trainer, device))
    opened = consolidate.open_night(night, device)
    dream = _dream_of(night) if dreams else None
    return lambda: shown(consolidate.main(opened, dream))


def _dream_of(night: Path) -> Dream | None:
    """The dream that the run prepared; None without one."""
    from sage.app.dreams.bodies import PLAN_NAME, open_dream

    if not (night / PLAN_NAME).is_file():
        return None
    from sage.app.session.build import build_run

    return open_dream(night, build_run)


def _examined(night: Path) -> Result:
    """One line for each level or model."""
    from sage.app.terminal.nights import examined_line, level_line
    from sage.runtime.report import to_plain
    from sage.runtime.sleep import consolidate
    from sage.runtime.sleep.puzzles.process import job

    if not job.is_solver_job(night):
        found = consolidate.examine(night)
        return Result(text=examined_line(night.name, found), plain=to_plain(found))
    shares = job.examine(night)
    lines = [level_line(night.name, share) for share in shares]
    return Result(text="\n".join(lines), plain={"levels": to_plain(shares)})
