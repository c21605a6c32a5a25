"""Scenes as arrays: drawn at random, written as cells, named anew. Shapes: N scenes, R places with buffers.

Invariant: an object at its goal blocks none and is blocked by none; no circle of objects blocks itself; two
objects never have one goal; no goal is a buffer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sage.hrm_core.tasks.split import mixed
from sage.hrm_core.tasks.table.config import TableConfig

#: How much likelier a goal is a place that an object takes up.
CROWDING = 0.4
NUM_COLOUR_ROUNDS = 6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scenes:
    """goals, blockers (N, R) int64 as in `kernel`: places, -1 for none; sets of places."""

    goals: np.ndarray
    blockers: np.ndarray

    def __len__(self) -> int:
        return len(self.goals)

    def take(self, rows: np.ndarray) -> Scenes:
        return Scenes(goals=self.goals[rows], blockers=self.blockers[rows])

    @property
    def in_way(self) -> np.ndarray:
        """(N, R, R) bool: of the object here, whether the object there is in its way."""
        found: np.ndarray = self.blockers[:, :, None] >> np.arange(self.blockers.shape[1]) & 1 > 0
        return found

    @property
    def is_open(self) -> np.ndarray:
        """(N, R) bool: an object stands here that has to move."""
        found: np.ndarray = (self.goals >= 0) & (self.goals != np.arange(self.goals.shape[1]))
        return found


def draw_scenes(config: TableConfig, num: int, rng: np.random.Generator) -> Scenes:
    """Some of them have no plan, or nothing to do."""
    places = config.places
    fewest, most = config.objects
    num_objects = rng.integers(fewest, most, size=(num, 1), endpoint=True)
    has_begun = rng.random((num, 1)) < config.begun
    num_beside = np.where(has_begun, rng.integers(1, config.buffers, size=(num, 1), endpoint=True), 0)
    on_table = rng.random((num, places)).argsort(axis=1).argsort(axis=1) < num_objects - num_beside
    beside = rng.random((num, config.buffers)).argsort(axis=1).argsort(axis=1) < num_beside
    is_there = np.concatenate([on_table, beside], axis=1)
    wanted = (rng.random((num, places)) - CROWDING * on_table).argsort(
        axis=1
    )  # places, likeliest goals first
    shuffled = np.where(np.arange(places) < num_objects, rng.random((num, places)), 2.0).argsort(axis=1)
    wanted = np.take_along_axis(wanted, shuffled, axis=1)  # the goal of the first object, of the second..
    number = np.maximum(is_there.cumsum(axis=1) - 1, 0)
    goals = np.where(is_there, np.take_along_axis(wanted, number, axis=1), -1)
    in_way = _draw_blockers(goals, places, config.blocked, rng)
    return Scenes(goals=goals, blockers=as_sets(in_way))


def as_sets(in_way: np.ndarray) -> np.ndarray:
    """(N, R) int64 sets of places, bit p for place p, from (N, R, R) bool."""
    found: np.ndarray = (in_way.astype(np.int64) << np.arange(in_way.shape[2])).sum(axis=2)
    return found


def _draw_blockers(
    goals: np.ndarray, num_places: int, blocked: float, rng: np.random.Generator
) -> np.ndarray:
    """(N, R, R) bool, the object, what is in its way: of each object on the table that has to move, twice
    with the chance `blocked`, one that comes later in a random order (it lies upon it, or stands before it).
    """
    num, num_rows = goals.shape
    here = np.arange(num_rows)
    may = (goals >= 0) & (goals != here) & (here < num_places)
    order = rng.random((num, num_rows))
    fits = may[:, :, None] & may[:, None, :] & (order[:, None, :] > order[:, :, None])
    found = np.zeros(fits.shape, bool)
    for _ in range(2):
        chosen = np.where(fits, rng.random(fits.shape), -1.0).argmax(axis=2)
        is_blocked = rng.random((num, num_rows)) < blocked
        found |= fits & (here == chosen[:, :, None]) & is_blocked[:, :, None]
    return found


def renamed(scenes: Scenes, names: np.ndarray) -> Scenes:
    """names (N, R): the new number of each place."""
    old = names.argsort(axis=1)
    goals = np.where(scenes.goals >= 0, np.take_along_axis(names, np.maximum(scenes.goals, 0), axis=1), -1)
    in_way = np.take_along_axis(scenes.in_way, old[:, :, None], axis=1)
    in_way = np.take_along_axis(in_way, old[:, None, :], axis=2)
    return Scenes(goals=np.take_along_axis(goals, old, axis=1), blockers=as_sets(in_way))


def orbit_keys_of(scenes: Scenes, num_places: int) -> np.ndarray:
    """(N,) uint64: equal where renaming places, and buffers, takes one scene to another.

    Places take colours, mixed in each round with those of the places that they are related to (Weisfeiler and
    Leman 1968). Scenes that are no renamings of each other can share a key, which is rare.
    """
    here = np.arange(scenes.goals.shape[1])
    kinds = 4 * (here >= num_places) + 2 * (scenes.goals >= 0) + scenes.is_open
    goes_to = scenes.goals[:, :, None] == here
    relations = [goes_to, scenes.in_way, goes_to.transpose(0, 2, 1), scenes.in_way.transpose(0, 2, 1)]
    colours = mixed(kinds.astype(np.uint64))
    for _ in range(NUM_COLOUR_ROUNDS):
        others = mixed(colours)[:, None, :]
        sums = [np.where(related, others, np.uint64(0)).sum(axis=2, dtype=np.uint64) for related in relations]
        for each in sums:
            colours = mixed(mixed(colours) + each)
    keys: np.ndarray = mixed(colours.sum(axis=1, dtype=np.uint64))
    return keys
