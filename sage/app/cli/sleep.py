"""`sage sleep`: one night, or an examination, on what a run left. The loop runs nights of its observation
model by this command.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

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
) -> None:
    """Train a copy of the weights on replayed experiences, examine it on held-out ones, write an accepted
    candidate and a report. Of a state directory: one night for each folder in it, and no session may use it
    meanwhile. Several processes (torchrun -m sage sleep DIR) train it together.
    """
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

    problems = []
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
            if ranks.index == 0:
                typer.echo(result)
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


def _opened(night: Path, *, examine: bool, dreams: bool, device: torch.device) -> Callable[[], str]:
    """Read the folder; the rest of the work, which returns the report in JSON, or lines of an examination.
    dreams: whether the night may begin with its dream.
    """
    import json

    from sage.runtime.report import to_plain
    from sage.runtime.sleep import consolidate
    from sage.runtime.sleep.puzzles.process import job

    if examine:
        text = _examined(night)
        return lambda: text
    if job.is_solver_job(night):
        trainer = job.open_folder(night)
        return lambda: json.dumps(to_plain(job.sleep(night, trainer, device)))
    opened = consolidate.open_night(night, device)
    dream = _dream_of(night) if dreams else None
    return lambda: json.dumps(to_plain(consolidate.main(opened, dream)))


def _dream_of(night: Path) -> Dream | None:
    """The dream that the run prepared; None without one."""
    from sage.app.dreams.bodies import PLAN_NAME, open_dream

    if not (night / PLAN_NAME).is_file():
        return None
    from sage.app.session.build import build_run

    return open_dream(night, build_run)


def _examined(night: Path) -> str:
    """One line for each level or model."""
    from sage.runtime.sleep import consolidate
    from sage.runtime.sleep.puzzles.process import job

    if not job.is_solver_job(night):
        found = consolidate.examine(night)
        return (
            f"{night.name}: loss {found.model:.4f}, {found.persistence:.4f} if nothing changes,"
            f" {found.skip:.4f} of the linear part, on {found.num} held-out readings"
        )
    return "\n".join(
        f"{night.name}, {share.level}: {share.solved:.1%} of {share.num} held-out puzzles solved, 95%"
        f" interval {share.low:.1%} to {share.high:.1%}"
        if share.num
        else f"{night.name}, {share.level}: no held-out puzzle"
        for share in job.examine(night)
    )
