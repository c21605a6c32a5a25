"""Scenes and plans as people type and read them.

A scene is a list of objects, each as PLACE>GOAL: "1>4 2>1/5,3 5>2 b1>3". Places count from 1, buffers are b1,
b2.. What stands in the way of an object follows after a slash. A plan is a list of moves in their order, to
goals and to a buffer: "5>b 2>1 5>2".
"""

from __future__ import annotations

import re

import numpy as np

from sage.errors import InputError
from sage.hrm_core.tasks.table.config import TableConfig

_PLACE = r"b?[0-9]{1,9}"
_ITEM = re.compile(rf"({_PLACE})>({_PLACE})(?:/({_PLACE}(?:,{_PLACE})*))?")


def read_scene(text: str, config: TableConfig) -> tuple[np.ndarray, np.ndarray]:
    """goals (R,) and what is in the way (R, R) bool. InputError for a scene that breaks a rule."""
    goals, in_way = np.full(config.rows, -1, np.int64), np.zeros((config.rows, config.rows), bool)
    for item in text.split():
        match = _ITEM.fullmatch(item)
        if match is None:
            raise InputError(f"{item[:40]!r}: give PLACE>GOAL or PLACE>GOAL/PLACE,PLACE, such as '2>1/5,3'")
        row, goal = _place(match[1], config), _place(match[2], config)
        if goals[row] >= 0:
            raise InputError(f"place {match[1]} has two objects: give each object a place of its own")
        if goal >= config.places:
            raise InputError(f"{item!r}: goal {match[2]} is a buffer: give a place, 1 to {config.places}")
        if goal in goals:
            raise InputError(f"place {match[2]} is the goal of two objects: give each a goal of its own")
        goals[row] = goal
        for name in match[3].split(",") if match[3] else ():
            in_way[row, _place(name, config)] = True
    _check(goals, in_way, config)
    return goals, in_way


def _check(goals: np.ndarray, in_way: np.ndarray, config: TableConfig) -> None:
    here = np.arange(config.rows)
    num_objects, is_open = int((goals >= 0).sum()), (goals >= 0) & (goals != here)
    if not 1 <= num_objects <= config.objects[1]:
        raise InputError(f"the scene has {num_objects} objects: give 1 to {config.objects[1]}")
    if not is_open.any():
        raise InputError("every object is at its goal: give a scene with something to do")
    may = is_open & (here < config.places)
    for row, other in np.argwhere(in_way).tolist():
        if row == other or not (may[row] and may[other]):
            raise InputError(
                f"{place_name(row, config)}>../{place_name(other, config)}: only an object on the table that"
                " has to move can be in the way of another such object"
            )
    reach = in_way.copy()
    for middle in range(config.rows):
        reach |= reach[:, middle, None] & reach[middle]
    if reach.diagonal().any():
        first = place_name(int(reach.diagonal().argmax()), config)
        raise InputError(f"the object at {first} is in its own way through others: give an order of objects")


def write_scene(goals: np.ndarray, in_way: np.ndarray, config: TableConfig) -> str:
    """The form that `read_scene` reads."""
    items = []
    for row in np.flatnonzero(goals >= 0).tolist():
        others = ",".join(place_name(other, config) for other in np.flatnonzero(in_way[row]).tolist())
        item = f"{place_name(row, config)}>{place_name(int(goals[row]), config)}"
        items.append(f"{item}/{others}" if others else item)
    return " ".join(items)


def draw_scene(goals: np.ndarray, in_way: np.ndarray, config: TableConfig) -> str:
    """A line an object."""
    lines = []
    for row in np.flatnonzero(goals >= 0).tolist():
        others = [place_name(other, config) for other in np.flatnonzero(in_way[row]).tolist()]
        goal = "is at its goal" if goals[row] == row else f"goes to {place_name(int(goals[row]), config)}"
        lines.append(
            f"{place_name(row, config)}: {goal}" + (f", behind {', '.join(others)}" if others else "")
        )
    return "\n".join(lines)


def write_plan(moves: list[tuple[int, int | None]], config: TableConfig) -> str:
    """moves: the object's place at the start, and its goal; None for a buffer."""
    return " ".join(
        f"{place_name(row, config)}>{'b' if goal is None else place_name(goal, config)}"
        for row, goal in moves
    )


def place_name(row: int, config: TableConfig) -> str:
    return f"{row + 1}" if row < config.places else f"b{row - config.places + 1}"


def _place(name: str, config: TableConfig) -> int:
    most = config.buffers if name.startswith("b") else config.places
    number = int(name.removeprefix("b"))
    if not 1 <= number <= most:
        first = "b" if name.startswith("b") else ""
        raise InputError(f"place {name}: unknown: give {first}1 to {first}{most}")
    return number - 1 + (config.places if name.startswith("b") else 0)
