"""Tables cleared by a planner: the environment `table` on a manual clock, one table for each scene.

Invariant: planners that are compared get the same first scenes, and the same chances of slips and changes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from sage.mailbox.clock import ManualClock
from sage.sensors.contract import Effector, Sensor, SensorContext
from sage.sensors.environments.table.config import TableWorldConfig
from sage.sensors.environments.table.table_environment import TableEnvironment
from sage.sensors.puzzle_messages import Answer, Puzzle

#: (N, L) scenes to (N, L) plans.
Planner = Callable[[np.ndarray], np.ndarray]
STEP_NS = 200_000_000
#: Scenes of one seed have seeds of their own, from this number times the seed on.
SEEDS_APART = 100_000
#: Periods after which a table that is not done is a fault of this file.
MOST_PERIODS = {"rules": 2_000, "mujoco": 50_000}


@dataclass(frozen=True)
class Cleared:
    """scenes: begun, of which `finished` ended with every object at its goal.  plans: given, of which `right`
    keep the rules and clear the table.  replans: after the first plan of a scene.  cpu_secs: of all plans.
    """

    planner: str
    seed: int
    scenes: int
    finished: int
    plans: int
    right: int
    replans: int
    moves: int
    slips: int
    changes: int
    refused: int
    cpu_secs: float

    @property
    def share(self) -> float:
        return self.finished / self.scenes

    @property
    def cpu_a_plan(self) -> float:
        return self.cpu_secs / max(self.plans, 1)


class _World:
    """One environment with one table, until its first scene has ended."""

    def __init__(self, seed: int, clock: ManualClock, executor: Literal["rules", "mujoco"]) -> None:
        context = SensorContext(clock=clock, epoch_ns=0, base_dir=Path.cwd(), memory=None)
        config = TableWorldConfig(
            tables=1, seed=seed, teacher="never", move_secs=STEP_NS / 1e9, executor=executor
        )
        self._environment = TableEnvironment(config, context)
        self._environment.open()
        self._clock = clock
        self._scenes: Sensor = self._environment.sensors()[0]
        self._plans: Effector = self._environment.effectors()[0]
        self._scenes.open()
        self._plans.open()

    @property
    def totals(self) -> dict[str, int]:
        return dict(self._environment.totals())

    @property
    def has_ended(self) -> bool:
        return self.totals["tables cleared"] + self.totals["given up"] > 0

    def scene(self) -> Puzzle | None:
        """Makes the moves that are due. None while the arm works, and when the first scene has ended."""
        message = np.zeros(self._scenes.spec.tensor.shape, np.int32)
        is_there = self._scenes.read_into(message) is not None
        return Puzzle.read(message) if is_there and not self.has_ended else None

    def answer(self, number: int, cells: np.ndarray) -> None:
        message = np.zeros(self._plans.spec.tensor.shape, np.int32)
        Answer(number=number, cells=cells).write(message)
        if self._plans.apply(message, self._clock.now_ns()).is_held:
            raise RuntimeError(f"the plan for scene {number} was not taken")

    def close(self) -> None:
        self._environment.close()


def clear_tables(
    name: str, planner: Planner, *, num: int, seed: int, executor: Literal["rules", "mujoco"] = "rules"
) -> Cleared:
    """`num` scenes, planned together at each period of the arms."""
    clock = ManualClock()
    worlds = [_World(seed * SEEDS_APART + index, clock, executor) for index in range(num)]
    cpu_secs = 0.0
    for _ in range(MOST_PERIODS[executor]):
        asked = [(world, world.scene()) for world in worlds if not world.has_ended]
        waiting = [(world, scene) for world, scene in asked if scene is not None]
        if waiting:
            started = time.process_time()
            plans = planner(np.array([scene.cells for _, scene in waiting], np.int32))
            cpu_secs += time.process_time() - started
            for (world, scene), cells in zip(waiting, plans, strict=True):
                world.answer(scene.number, cells)
        if all(world.has_ended for world in worlds):
            break
        clock.advance(STEP_NS)
    else:
        raise RuntimeError(f"{name}: scenes have not ended after {MOST_PERIODS[executor]} periods")
    totals = {key: sum(world.totals[key] for world in worlds) for key in worlds[0].totals}
    for world in worlds:
        world.close()
    return Cleared(
        planner=name,
        seed=seed,
        scenes=num,
        finished=totals["tables cleared"],
        plans=totals["plans"],
        right=totals["right plans"],
        replans=totals["replans"],
        moves=totals["moves"],
        slips=totals["slips"],
        changes=totals["changed scenes"],
        refused=totals["moves refused"],
        cpu_secs=cpu_secs,
    )
