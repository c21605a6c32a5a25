"""The checkpoints of a run, one folder each. The last, the best and damaged ones are kept, others are
deleted.

Layout of FOLDER:  step-00001200/{state.json, shared-00000.safetensors, ..., rank0-00000.safetensors, ...}
last   best
`last` and `best` are files that contain a folder's name; a file `damaged` in a folder states why a run did
not resume from it. Invariant: a folder `step-N` is a complete checkpoint: it is written under another name,
fsynced and renamed; only then `best` and `last` are changed.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_lowercase
from typing import Any, TypeVar

import structlog
import torch
from torch import Tensor

from sage.durable import begin_folder, commit_folder, partial_of, write_file, write_synced
from sage.hrm_core.optim.ranks import SINGLE, Ranks
from sage.hrm_core.training.errors import DamagedCheckpoint, ResumeError
from sage.hrm_core.training.shards import MAX_BYTES, ShardError, read_shards, write_shards

FORMAT = "sage-training-2"
_DAMAGED = "damaged"
Read = TypeVar("Read")
log = structlog.get_logger("sage.hrm_core")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """step: number of optimizer steps.  shared: tensors that are equal on every rank.  rows: this rank's
    unfinished rows.

    plain: all other state, as JSON values.
    """

    step: int
    shared: Mapping[str, Tensor]
    rows: Mapping[str, Tensor]
    plain: Mapping[str, Any]


class CheckpointFolder:
    """The folder of a run's checkpoints. All ranks call `save` together."""

    def __init__(self, path: Path, *, max_shard_bytes: int = MAX_BYTES, ranks: Ranks = SINGLE) -> None:
        self.path = path
        self._max_bytes = max_shard_bytes
        self._ranks = ranks

    def save(self, checkpoint: Checkpoint, *, is_best: bool = False) -> Path:
        """Write the checkpoint, point (`best` and) `last` to it, delete the checkpoints that neither
        names and that are not damaged.
        """
        final = self._free_folder(checkpoint.step)
        if self._ranks.index == 0:
            self._remove_partials()
            begin_folder(final)
        self._ranks.barrier()
        try:
            self._write(checkpoint, final)
        except BaseException:
            if self._ranks.index == 0:
                self._remove_partials()
            raise
        if self._ranks.index == 0:
            if is_best:  # first: a run killed between the two must not resume with another as its best
                self._point("best", final.name)
            self._point("last", final.name)
            self._prune()
        self._ranks.barrier()
        return final

    def find(self, name: str = "last") -> Path | None:
        """The folder that `last` or `best` names; None if there is none yet."""
        pointer = self.path / name
        if not pointer.is_file():
            return None
        return self.path / pointer.read_text(errors="replace").strip().replace("\0", "?")

    def newest_first(self) -> list[Path]:
        """The one that `last` names, then the others that are not known to be damaged. Empty if there is no
        `last`.
        """
        last = self.find()
        if last is None:
            return []
        others = [each for each in self.path.glob("step-*") if each != last and not _is_marked(each)]
        return [last, *sorted(others, key=lambda each: each.name, reverse=True)]

    def _free_folder(self, step: int) -> Path:
        """`step-N`, with a letter appended if that step was saved before the run resumed from an older
        one.
        """
        for suffix in ("", *ascii_lowercase):
            folder = self.path / f"step-{step:08d}{suffix}"
            if not folder.exists():
                break
        return folder

    def _remove_partials(self) -> None:
        """What saves that were killed or failed have left: it may fill the disk."""
        for folder in self.path.glob(".step-*.partial"):
            shutil.rmtree(folder, ignore_errors=True)

    def _write(self, checkpoint: Checkpoint, final: Path) -> None:
        partial, rank = partial_of(final), f"rank{self._ranks.index}"
        mine = write_shards(partial, rank, checkpoint.rows, max_bytes=self._max_bytes)
        write_synced(partial / f"{rank}.json", json.dumps(mine).encode())
        self._ranks.barrier()
        if self._ranks.index == 0:
            self._finish(checkpoint, partial, final)

    def _finish(self, checkpoint: Checkpoint, partial: Path, final: Path) -> None:
        shared = write_shards(partial, "shared", checkpoint.shared, max_bytes=self._max_bytes)
        state = {
            "format": FORMAT,
            "step": checkpoint.step,
            "num_ranks": self._ranks.count,
            "shared": shared,
            "plain": dict(checkpoint.plain),
        }
        write_synced(partial / "state.json", json.dumps(state).encode())
        commit_folder(partial, final)

    def _point(self, name: str, target: str) -> None:
        write_file(self.path / name, f"{target}\n".encode())

    def _prune(self) -> None:
        named = {self.find("last"), self.find("best")}
        for folder in self.path.glob("step-*"):
            if folder not in named and not _is_marked(folder):
                shutil.rmtree(folder, ignore_errors=True)


def mark_damaged(path: Path, fault: str) -> None:
    """Keep the folder when later checkpoints are saved."""
    if path.is_dir() and path.name.startswith("step-"):
        write_file(path / _DAMAGED, f"{fault}\n".encode())


def _is_marked(path: Path) -> bool:
    return (path / _DAMAGED).is_file()


def read_newest(
    candidates: Sequence[Path], read: Callable[[Path], Read], ranks: Ranks, *, is_noted: bool
) -> Read:
    """What `read` returns for the first of the candidates that is whole. DamagedCheckpoint if none is.

    is_noted: damaged ones before it are marked and logged.
    """
    faults: list[str] = []
    for path in candidates:
        fault = None
        try:
            found = read(path)
        except DamagedCheckpoint as error:
            fault = error.fault
        if not ranks.any(fault is not None):
            if is_noted and ranks.index == 0:
                _note_damaged(candidates, faults, path)
            return found
        faults.append(fault or f"{path}: damaged for another process")
    which = "it is the only checkpoint" if len(candidates) == 1 else "no other checkpoint can be read either"
    raise DamagedCheckpoint(
        faults[0], f"{which}: restore this file from a copy, or start a new run in another folder"
    )


def _note_damaged(candidates: Sequence[Path], faults: Sequence[str], used: Path) -> None:
    for path, fault in zip(candidates, faults):
        mark_damaged(path, fault)
        log.warning("a damaged checkpoint is kept; the run resumes from another", error=fault, used=used.name)


def resumable(path: Path) -> list[Path]:
    """The checkpoints that a run can resume from, by `resolve_checkpoint`'s rules, the newest first."""
    first = resolve_checkpoint(path)
    return [first] if first == path else CheckpointFolder(first.parent).newest_first()


def resolve_checkpoint(path: Path, prefer: str = "last") -> Path:
    """The checkpoint in `path`: a checkpoint, a folder of checkpoints, or a run's folder. Raises ResumeError
    if there is none.
    """
    for folder in (path, path / "checkpoints"):
        if (folder / "state.json").is_file():
            return folder
        for name in (prefer, "last"):
            found = CheckpointFolder(folder).find(name)
            if found is not None:
                return found
    what = "contains no checkpoint" if path.is_dir() else "no such folder"
    raise ResumeError(f"{path}: {what}: give a run's folder, or one of its checkpoints")


def read_checkpoint(path: Path, ranks: Ranks = SINGLE) -> Checkpoint:
    """The checkpoint in `path`, with this rank's share of the rows; the number of ranks may differ from the
    number that wrote it.

    Raises ResumeError, one line, if the checkpoint is missing, damaged or of another format.
    """
    state = read_state(path)
    try:
        shared = read_shards(path, state["shared"])
        parts = [
            read_shards(path, json.loads((path / f"rank{rank}.json").read_text()))
            for rank in range(state["num_ranks"])
        ]
    except (ShardError, OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        fault = str(error) if isinstance(error, ShardError) else f"{path}: damaged ({error})"
        raise DamagedCheckpoint(fault) from error
    rows = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    num_rows = len(next(iter(rows.values())))
    if num_rows % ranks.count:
        raise ResumeError(
            f"{path}: {num_rows} rows cannot be split over {ranks.count} processes: give a divisor"
        )
    size = num_rows // ranks.count
    mine = {name: tensor[ranks.index * size : (ranks.index + 1) * size] for name, tensor in rows.items()}
    return Checkpoint(step=state["step"], shared=shared, rows=mine, plain=state["plain"])


def read_state(path: Path) -> dict[str, Any]:
    """`state.json` of a checkpoint: format, step, num_ranks, shared, plain."""
    try:
        state = json.loads((path / "state.json").read_text())
    except FileNotFoundError:
        raise DamagedCheckpoint(
            f"{path}: no checkpoint (state.json is missing)", "give a folder that training wrote"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise DamagedCheckpoint(
            f"{path / 'state.json'}: cannot be read ({error})", "resume from an older checkpoint"
        ) from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        found = state.get("format") if isinstance(state, dict) else None
        raise ResumeError(
            f"{path / 'state.json'}: format is {found!r}, this version reads {FORMAT!r}: use the version that"
            " wrote it"
        )
    return state
