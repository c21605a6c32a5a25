"""Salience before it has enough past ticks to compare with, as text."""

from __future__ import annotations

from sage.memory.salience import MIN_VALUES
from sage.runtime.report import MemoryFacts


def warming_text(memory: MemoryFacts) -> str:
    """Behind the other figures of memory; empty once experiences are chosen by their salience."""
    if not memory.num_missing:
        return ""
    return f"; salience: warming up, {MIN_VALUES - memory.num_missing} of {MIN_VALUES} ticks"
