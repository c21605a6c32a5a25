"""The reply to `steps: true`: the segments of the plain try, and the search as a tree, as plain values.

Invariant: its size is bounded: by the request's limits for segments, by MAX_NODES for the tree.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sage.app.boards.board import board_of
from sage.hrm_core.solving.inference import HRMInference
from sage.hrm_core.solving.search_record import SearchRecord
from sage.hrm_core.solving.solutions import Solution, confidence_of
from sage.hrm_core.solving.step_record import Step, StepRecord

MAX_NODES = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """Of one puzzle: filled while it is solved."""

    steps: StepRecord = field(default_factory=StepRecord)
    search: SearchRecord = field(default_factory=SearchRecord)


def plain_steps(
    inference: HRMInference, cells: np.ndarray, solution: Solution, recording: Recording
) -> dict[str, Any]:
    """cells (L,): the puzzle."""
    steps, task = recording.steps, inference.task
    assert task is not None  # a puzzle in text form was read by it
    return {
        "board": board_of(task).to_plain(),
        "puzzle": cells.tolist(),
        "answer": None if solution.is_abstained else solution.cells.tolist(),
        "segments": [_plain_step(step) for step in steps.steps],
        "num_segments": steps.num_segments,
        "tree": plain_tree(recording.search),
    }


def _plain_step(step: Step) -> dict[str, Any]:
    """certainty in percent."""
    percent = np.nan_to_num(step.certainty.astype(np.float64) * 100.0).round().astype(int)
    return {
        "cells": step.answer.tolist(),
        "certainty": percent.tolist(),
        "confidence": _finite(float(confidence_of(step.q)), 4),
        "H_change": _finite(step.H_change, 5),
        "L_change": _finite(step.L_change, 5),
    }


def plain_tree(record: SearchRecord) -> dict[str, Any] | None:
    """Its nodes, parents first; None where nothing was searched. Of more than MAX_NODES those that the model
    read and the first others are listed.
    """
    if not len(record):
        return None
    parents, partials, ranks = record.parents, record.partials, record.ranks
    is_read, is_closed = record.is_read, record.is_closed
    depths = np.zeros(len(record), np.int64)
    for number in range(1, len(record)):
        depths[number] = depths[parents[number]] + 1
    nodes = []
    for number in _shown(is_read):
        parent = int(parents[number])
        node: dict[str, Any] = {"id": number, "parent": None, "depth": int(depths[number])}
        if parent >= 0:
            [cell, *_] = np.flatnonzero(partials[number] != partials[parent]).tolist()
            symbol = int(partials[number][cell])
            node |= {"parent": parent, "cell": cell, "symbol": symbol, "rank": _finite(ranks[number], 4)}
        node["outcome"] = _outcome(
            number, record.answer, is_read=is_read[number], is_closed=is_closed[number]
        )
        nodes.append(node)
    return {"nodes": nodes, "num_nodes": len(record), "path": _path(parents, record.answer)}


def _shown(is_read: np.ndarray) -> list[int]:
    if len(is_read) <= MAX_NODES:
        return list(range(len(is_read)))
    read = np.flatnonzero(is_read)
    others = np.flatnonzero(~is_read)[: max(0, MAX_NODES - len(read))]
    shown: list[int] = np.sort(np.concatenate([read, others])).tolist()
    return shown


def _outcome(number: int, answer: int | None, *, is_read: bool, is_closed: bool) -> str:
    """solved: its completion is the answer.  closed: by the rules no solution follows it.  read: the model
    read it.  waiting: it was never read.
    """
    if number == answer:
        return "solved"
    if is_closed:
        return "closed"
    return "read" if is_read else "waiting"


def _path(parents: np.ndarray, answer: int | None) -> list[int]:
    """From the puzzle to the answer's node."""
    path: list[int] = []
    number = -1 if answer is None else answer
    while number >= 0:
        path.append(number)
        number = int(parents[number])
    return path[::-1]


def _finite(value: float, digits: int) -> float | None:
    return round(float(value), digits) if math.isfinite(value) else None
