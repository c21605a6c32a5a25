"""Canvases as vectors of a fixed size, by feature hashing; nothing is learned.

Feature hashing with a sign (Weinberger et al. 2009): each feature is added to one element, so that equal
features of two canvases add up and others cancel on average. Invariant: equal canvases give equal vectors
in every process.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from sage.related_work.totality.content import Canvas


def encode_canvases(canvases: Sequence[tuple[Canvas, float]], num_rows: int, size: int) -> np.ndarray:
    """(num_rows, size) float32: one row for each (canvas, activation), of that length; zeros for the rest."""
    rows = np.zeros((num_rows, size), np.float32)
    for row, (canvas, activation) in zip(rows, canvases):
        row[:] = activation * encode(canvas, size)
    return rows


def encode(canvas: Canvas, size: int) -> np.ndarray:
    """(size,) float32 of length 1; zeros for a canvas without entities.

    Features: the label and each slot of each entity, weighted by the entity's activation + 0.1, and each
    link by the labels of its ends. A number is one feature of its slot, with the weight x / (1 + |x|).
    """
    vector = np.zeros(size)
    for feature, weight in _features(canvas):
        digest = hashlib.blake2b(feature.encode(), digest_size=8).digest()
        number = int.from_bytes(digest, "little")
        vector[(number >> 1) % size] += weight if number & 1 else -weight
    length = float(np.sqrt(vector.dot(vector)))
    scaled: np.ndarray = (vector / length if length > 0 else vector).astype(np.float32)
    return scaled


def _features(canvas: Canvas) -> Iterator[tuple[str, float]]:
    labels = {each.id: each.label for each in canvas.entities}
    for entity in canvas.entities:
        weight = entity.activation + 0.1
        yield f"label {entity.label}", weight
        for slot in entity.slots:
            yield _slot_feature(slot.name, slot.value, weight)
    for link in canvas.links:
        yield f"link {labels[link.src]} {link.relation} {labels[link.dst]}", 0.5


def _slot_feature(name: str, value: Any, weight: float) -> tuple[str, float]:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return f"slot {name}", weight * value / (1.0 + abs(value))
    return f"slot {name} {json.dumps(value, sort_keys=True)}", weight
