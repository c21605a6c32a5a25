"""Share of held-out puzzles that the weights of now solve, outside the loop's ticks."""

from __future__ import annotations

import time

from sage.hrm_core.solving.engine import Engine
from sage.runtime.config import SolvingConfig
from sage.runtime.solving.models import segments_of
from sage.runtime.solving.solver import StreamSolver
from sage.runtime.solving.under_way import settings_of

#: The first held-out puzzles of each level's task, which a session's summary counts. No night is judged by
#: them where the task has more.
NUM_SUMMARISED = 200
#: Puzzles that are solved together; fewer where a search makes each of them longer.
BATCH = 50


def examine(
    solver: StreamSolver, level: int, config: SolvingConfig, *, num: int, limit_secs: float
) -> tuple[int, int]:
    """How many held-out puzzles of a level were tried, and how many the task's rules accept the answer of.

    At most `num`, in batches; none is begun after limit_secs of real time. They are solved as the stream's
    own are, with a search where its level has one.
    """
    stream_level, ends_at = solver.levels[level], time.monotonic() + limit_secs
    examples = stream_level.examples(num)
    if examples is None:
        return 0, 0
    num_tried = num_solved = 0
    model = solver.family[level]
    section = config.of_level(stream_level.name)
    settings = settings_of(section, 0).changed(max_segments=segments_of(model, section))
    longest = settings.max_segments + settings.search * settings.search_segments
    batch = max(1, BATCH * settings.max_segments // longest)
    for start in range(0, len(examples), batch):
        if time.monotonic() >= ends_at:
            break
        cells = examples.inputs[start : start + batch]
        engine = Engine(model, stream_level.task, batch_size=batch)
        jobs = [engine.submit(each, settings) for each in cells]
        while not engine.is_idle:
            engine.step()
        for each, job in zip(cells, jobs):
            num_solved += bool(stream_level.task.verify(each[None], job.solution().cells[None])[0])
        num_tried += len(cells)
    return num_tried, num_solved
