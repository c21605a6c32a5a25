"""Search puzzles whose solutions are not known, part by part, and keep what the searches proved.

Invariant: a part is a function of its puzzles, the model and the settings; neither the batch, a time limit
nor a resume changes a row. Of a source's examples only inputs and puzzle ids are read.
Shapes: N puzzles, L cells.
"""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np

from sage.errors import InputError
from sage.hrm_core.from_search.episodes import EpisodeFolder, Episodes, PartFigures
from sage.hrm_core.from_search.labelling import episodes_of
from sage.hrm_core.solving.branching import Searchable
from sage.hrm_core.solving.engine import Engine, SegmentModel
from sage.hrm_core.solving.job import Job
from sage.hrm_core.solving.search_record import SearchRecord
from sage.hrm_core.solving.settings import SolveSettings
from sage.hrm_core.tasks.contract import Examples, Task

#: Of the generator that draws puzzles, beside the caller's seed.
_STREAM = 20261
#: Puzzles of a part.
PART_SIZE = 32


class SearchTask(Task, Searchable, Protocol):
    """A task whose puzzles can be searched and verified."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Puzzles:
    """inputs (N, L) int32.  puzzle_ids (N,) int32.  name: of the source, for the record."""

    inputs: np.ndarray
    puzzle_ids: np.ndarray
    name: str

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def digest(self) -> str:
        """blake2b-128 of inputs and ids, as hexadecimal digits."""
        found = hashlib.blake2b(digest_size=16)
        for array in (self.inputs, self.puzzle_ids):
            found.update(np.ascontiguousarray(array, "<i4").tobytes())
        return found.hexdigest()


def puzzles_of(task: Task, num: int, *, seed: int) -> Puzzles:
    """`num` training puzzles of the task, without their labels; others than training draws with that seed."""
    drawn: Examples = task.sample(num, np.random.default_rng((_STREAM, seed)))
    return Puzzles(inputs=drawn.inputs, puzzle_ids=drawn.puzzle_ids, name=f"{task.spec.name}, seed {seed}")


def not_held_out(task: Task, puzzles: Puzzles, num: int) -> Puzzles:
    """Without those among the first `num` held-out puzzles of the task."""
    held_out = {row.tobytes() for row in task.held_out(num).inputs.astype(np.int32)}
    is_other = np.array([row.tobytes() not in held_out for row in puzzles.inputs.astype(np.int32)], bool)
    return dataclasses.replace(
        puzzles, inputs=puzzles.inputs[is_other], puzzle_ids=puzzles.puzzle_ids[is_other]
    )


def collect(
    model: SegmentModel,
    task: Task,
    puzzles: Puzzles,
    folder: EpisodeFolder,
    settings: SolveSettings,
    *,
    origin: str,
    max_cpu_secs: float | None = None,
    batch_size: int = 64,
    part_size: int = PART_SIZE,
    clock: Callable[[], float] = time.process_time,
    stop: Callable[[], bool] = lambda: False,
    on_part: Callable[[int, PartFigures], None] = lambda number, figures: None,
) -> bool:
    """Search all puzzles, or until the budget or `stop` ends it; True if all were searched. A folder that was
    begun with the same arguments is continued.

    settings.search: model calls of a puzzle at most.  origin: names the model's weights.  max_cpu_secs: of
    this call, by `clock`.  InputError for a task that cannot be searched, or another source.
    """
    if settings.search < 1:
        raise InputError(
            f"search is {settings.search}: give the model calls that a puzzle may take, 1 or more"
        )
    folder.begin(
        {
            "puzzles": puzzles.name,
            "num_puzzles": len(puzzles),
            "digest": puzzles.digest,
            "task": task.spec.name,
            "model": origin,
            "part_size": part_size,
            "settings": dataclasses.asdict(settings),
        }
    )
    started = clock()

    def is_over() -> bool:
        return stop() or (max_cpu_secs is not None and clock() - started >= max_cpu_secs)

    for number, first in enumerate(range(0, len(puzzles), part_size)):
        done = folder.read(number)
        if done is not None and done[1].is_complete:
            continue
        if is_over():
            return False
        rows = range(first, min(first + part_size, len(puzzles)))
        engine = Engine(model, task, batch_size=batch_size)
        episodes, figures = _search_part(
            engine, cast(SearchTask, task), puzzles, rows, settings, is_over, clock
        )
        folder.write(number, episodes, figures)
        on_part(number, figures)
        if not figures.is_complete:
            return False
    return True


def _search_part(
    engine: Engine,
    task: SearchTask,
    puzzles: Puzzles,
    rows: range,
    settings: SolveSettings,
    is_over: Callable[[], bool],
    clock: Callable[[], float],
) -> tuple[Episodes, PartFigures]:
    """The puzzles in `rows` that were searched to their end before `is_over`."""
    started = clock()
    jobs: dict[Job, tuple[int, SearchRecord]] = {}
    for row in rows:
        record = SearchRecord()
        job = engine.submit(
            puzzles.inputs[row], settings, puzzle_id=int(puzzles.puzzle_ids[row]), record=record
        )
        jobs[job] = row, record
    settled: set[Job] = set()
    while not engine.is_idle and not is_over():
        settled.update(engine.step())
    parts = [Episodes.empty(puzzles.inputs.shape[1])]
    num_solved = num_plain = num_calls = 0
    for job, (row, record) in jobs.items():
        if job not in settled:
            continue
        found = job.solution()
        calls = 1 if found.trace is None else found.trace.calls
        num_calls += calls
        num_solved += found.is_verified
        num_plain += found.is_verified and calls == 1
        parts.append(
            episodes_of(
                task,
                puzzles.inputs[row],
                found.cells if found.is_verified else None,
                record,
                number=row,
                calls=calls,
                puzzle_id=int(puzzles.puzzle_ids[row]),
            )
        )
    figures = PartFigures(
        num_puzzles=len(settled),
        num_solved=num_solved,
        num_plain=num_plain,
        num_calls=num_calls,
        cpu_secs=round(clock() - started, 3),
        is_complete=len(settled) == len(jobs),
    )
    return Episodes.joined(parts), figures
