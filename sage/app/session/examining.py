"""What a session's summary states of puzzles that were held out and of policies to compare with.

Invariant: runs after the last tick; effectors are held by then. `note_lost` runs after the run is closed.
"""

from __future__ import annotations

from sage.app.config.sage_config import SageConfig
from sage.app.session.build import Run
from sage.app.session.summary import SessionSummary
from sage.runtime.solving.examine import NUM_SUMMARISED, examine

#: Real time after which no more held-out puzzles of a level are tried.
HELD_OUT_SECS = 3.0
#: Episodes of each policy that the loop's is compared with.
NUM_EPISODES = 100


def examine_session(run: Run, config: SageConfig, summary: SessionSummary) -> None:
    """Note what environments counted, held-out puzzles of every level that had answers, and the episodes of
    other policies.
    """
    for each in run.puzzles:
        summary.note_totals(each.name, each.host.totals())
    for solver in run.loop.solving.solvers:
        for level in range(len(solver.levels)):
            if solver.record.has_begun(level):
                num, num_solved = examine(
                    solver, level, config.solving, num=NUM_SUMMARISED, limit_secs=HELD_OUT_SECS
                )
                summary.note_held_out(solver.name, level, num, num_solved)
    for world, make in run.compared:
        summary.note_baselines(world, make().baselines(NUM_EPISODES))


def note_lost(run: Run, summary: SessionSummary) -> None:
    """Note the experiences that were lost, also those that could not be written when the run was closed."""
    for solver in run.loop.solving.solvers:
        summary.note_lost(solver.name, solver.learner.facts().num_lost)
