"""From the puzzle environments of a run to the loop's streams: models, weights and learner of each."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from sage.app.config.names import check_model
from sage.app.config.sage_config import SageConfig
from sage.app.session.environments import PuzzleEndpoints
from sage.app.terminal.errors import UserError, nearest
from sage.errors import InputError, SageError
from sage.hrm_core.tasks.address import TaskAddress, address_for
from sage.hrm_core.tasks.catalogue import make_task
from sage.mailbox.clock import Clock, ManualClock
from sage.mailbox.hub import Hub
from sage.runtime.sleep.puzzles.inline import InlineLearner
from sage.runtime.sleep.puzzles.process.learner import ProcessLearner
from sage.runtime.sleep.puzzles.process.plan import TrainerSetup
from sage.runtime.solving.learner import PuzzleLearner
from sage.runtime.solving.models import FRESH, family_for
from sage.runtime.solving.stream import PuzzleStream, StreamLevel
from sage.runtime.solving.under_way import settings_of
from sage.sensors.environment import Level

_log = logging.getLogger(__name__)


def build_streams(
    config: SageConfig, endpoints: Sequence[PuzzleEndpoints], hub: Hub, clock: Clock, directory: Path
) -> tuple[PuzzleStream, ...]:
    """One stream for each environment of puzzles; nothing is opened. directory: of the trainers' files, a
    folder for each stream. UserError for settings that do not fit together, and for weights that cannot be
    read or do not fit.
    """
    if not endpoints:
        return ()
    section = config.solving
    try:
        settings_of(section, config.seed)
    except SageError as error:
        raise UserError(f"{config.name}: {error}") from error
    if section.weights != FRESH:
        check_model(section.weights)
    _check_search_levels(config, endpoints)
    return tuple(_stream(config, each, hub, clock, directory / each.name) for each in endpoints)


def _check_search_levels(config: SageConfig, endpoints: Sequence[PuzzleEndpoints]) -> None:
    names = list(dict.fromkeys(level.name for world in endpoints for level in world.environment.levels))
    for name in config.solving.search_levels:
        if name not in names:
            raise UserError(
                f"{config.name}: solving.search_levels has {name!r}: no level has this name:"
                f" {nearest(name, names)}"
            )


def _stream(config: SageConfig, world: PuzzleEndpoints, hub: Hub, clock: Clock, folder: Path) -> PuzzleStream:
    try:
        levels = _levels(world)
        family = family_for(
            [level.task.spec for level in levels],
            config.solving,
            reasoner=config.reasoner,
            seed=config.seed,
        )
        setup = TrainerSetup(
            stream=world.name,
            names=tuple(level.name for level in levels),
            tasks=tuple(level.task for level in levels),
            addresses=_addresses(world) if config.solver_training.where == "process" else (),
            configs=family.configs,
            config=config.solver_training,
            seed=config.seed,
        )
        learner = _learner(setup, folder, hub, clock)
    except SageError as error:
        raise UserError(f"environments.{world.name}: {error}") from error
    drivers = world.drivers
    return PuzzleStream(
        name=world.name,
        levels=levels,
        puzzle=drivers["puzzle"],
        result=drivers["result"],
        reward=drivers["reward"],
        level=drivers.get("level"),
        answer=world.answer,
        world=world.host,
        family=family,
        learner=learner,
        checks_labels=config.solver_training.checks_labels,
    )


def _levels(world: PuzzleEndpoints) -> list[StreamLevel]:
    held_out = getattr(world.environment, "held_out", None)
    return [
        StreamLevel(
            name=level.name,
            task=make_task(level.task, **dict(level.options)),
            held_out=None if held_out is None else partial(held_out, index),
        )
        for index, level in enumerate(world.environment.levels)
    ]


def _addresses(world: PuzzleEndpoints) -> tuple[TaskAddress | None, ...]:
    return tuple(_address(level) for level in world.environment.levels)


def _address(level: Level) -> TaskAddress | None:
    """None for a task with options that are values of code."""
    try:
        return address_for(level.task, dict(level.options))
    except InputError:
        return None


def _learner(setup: TrainerSetup, folder: Path, hub: Hub, clock: Clock) -> PuzzleLearner:
    """In the loop's process too where another process cannot make a task; a warning then states it."""
    level = setup.level_without_address() if setup.config.where == "process" else None
    if level is not None:
        _log.warning(
            "%s: the task of %s has no name and plain options that make it in another process: its trainer"
            " runs in the loop's process",
            setup.stream,
            level,
        )
    elif setup.config.where == "process":
        return ProcessLearner(setup, folder, hub, clock)
    learner = InlineLearner(
        setup.stream, setup.names, setup.tasks, setup.configs, setup.config, seed=setup.seed
    )
    if not isinstance(clock, ManualClock):
        learner.trainer.compile_loops()
    return learner
