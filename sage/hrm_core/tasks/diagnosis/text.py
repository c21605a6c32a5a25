"""Graphs and explanations as people type and read them.

A graph is a list of causes with the symptoms that each makes appear, and after "!" the symptoms that are
present: "1:1,2 2:2,3 3:4 !1,2,3". Causes and symptoms count from 1. An explanation is a list of causes:
"1 2".
"""

from __future__ import annotations

import re

import numpy as np

from sage.errors import InputError
from sage.hrm_core.tasks.diagnosis.config import DiagnosisConfig
from sage.hrm_core.tasks.diagnosis.graphs import Graphs

_NUMBER = r"[0-9]{1,9}"
_ITEM = re.compile(rf"({_NUMBER}):({_NUMBER}(?:,{_NUMBER})*)")
_PRESENT = re.compile(rf"!({_NUMBER}(?:,{_NUMBER})*)")


def read_graph(text: str, config: DiagnosisConfig) -> Graphs:
    """One graph. InputError for a text that is none, or that is too large for the options."""
    *items, last = text.split() or [""]
    shown = _PRESENT.fullmatch(last)
    if shown is None:
        raise InputError(f"{last[:40]!r}: give the present symptoms last, such as '!1,2,3'")
    num_causes, num_symptoms = config.side - 1, config.side - 1
    edges, present = np.zeros((num_causes, num_symptoms), bool), np.zeros(num_symptoms, bool)
    for item in items:
        match = _ITEM.fullmatch(item)
        if match is None:
            raise InputError(f"{item[:40]!r}: give CAUSE:SYMPTOM,SYMPTOM, such as '2:1,3'")
        cause = _number(match[1], "cause", num_causes)
        if edges[cause].any():
            raise InputError(f"cause {match[1]} is given twice: give each cause once")
        for name in match[2].split(","):
            edges[cause, _number(name, "symptom", num_symptoms)] = True
    for name in shown[1].split(","):
        present[_number(name, "symptom", num_symptoms)] = True
    has_cause, has_symptom = np.asarray(edges.any(axis=1)), np.asarray(edges.any(axis=0) | present)
    return Graphs(
        edges=edges[None], present=present[None], has_cause=has_cause[None], has_symptom=has_symptom[None]
    )


def write_graph(graphs: Graphs) -> str:
    """The form that `read_graph` reads, of the first graph."""
    items = [
        f"{cause + 1}:{_numbers(graphs.edges[0, cause])}" for cause in np.flatnonzero(graphs.has_cause[0])
    ]
    return " ".join([*items, f"!{_numbers(graphs.present[0])}"])


def draw_graph(graphs: Graphs) -> str:
    """A line a cause: what it makes appear, and whether an absent symptom rules it out."""
    lines = [f"symptoms present: {_numbers(graphs.present[0])}"]
    for cause in np.flatnonzero(graphs.has_cause[0]):
        missing = graphs.edges[0, cause] & ~graphs.present[0]
        note = f"; ruled out, absent: {_numbers(missing)}" if missing.any() else ""
        lines.append(f"cause {cause + 1}: symptoms {_numbers(graphs.edges[0, cause])}{note}")
    return "\n".join(lines)


def _numbers(members: np.ndarray) -> str:
    return ",".join(str(number + 1) for number in np.flatnonzero(members).tolist())


def _number(name: str, kind: str, most: int) -> int:
    if not 1 <= int(name) <= most:
        raise InputError(f"{kind} {name}: unknown: give 1 to {most}")
    return int(name) - 1
