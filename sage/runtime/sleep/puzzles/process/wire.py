"""Experiences and offers of weights as flat tensors that are written into a loan and read from a lease.

Layout of an experience, int64 (15 + 3 R,): the fields of `_FIELDS`, trust and confidence as their bits, the
counts of cells, answer and solution (-1: none), then the three.
Layout of an offer, uint8 (offer_bytes,): the length of the header (8 bytes), the header in JSON, its room to
the end, then the float32 weights one after another in the order of their names.
Invariant: writing and reading copy nothing but the tensor itself.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sage.errors import DataError
from sage.runtime.report import to_plain
from sage.runtime.sleep.consolidate import report_of
from sage.runtime.solving.learner import Offer, PuzzleExperience, SolutionSource

_FIELDS = ("number", "level", "num_segments", "num_calls", "tick", "time_ns", "episode", "is_right", "source")
_BITS = len(_FIELDS)
_COUNTS = _BITS + 2
HEADER_WORDS = _COUNTS + 3
#: Of a header without its levels, with several thousand characters of the night's reason; and of a level's
#: figures beside its name.
HEADER_BYTES, LEVEL_BYTES = 1 << 14, 256
_ALIGNMENT = 64
_CUT = "..."


def experience_size(room: int) -> int:
    """Words of an experience with up to `room` cells."""
    return HEADER_WORDS + 3 * room


def write_experience(out: np.ndarray, experience: PuzzleExperience) -> None:
    """out: (experience_size(room),) int64."""
    for index, name in enumerate(_FIELDS):
        out[index] = int(getattr(experience, name))
    out[_BITS:_COUNTS].view(np.float64)[:] = experience.trust, experience.confidence
    start = HEADER_WORDS
    for index, cells in enumerate((experience.cells, experience.answer, experience.solution)):
        out[_COUNTS + index] = -1 if cells is None else len(cells)
        if cells is not None:
            out[start : start + len(cells)] = cells
            start += len(cells)


def read_experience(message: np.ndarray) -> PuzzleExperience:
    """DataError where the counts do not fit the message."""
    fields = {name: int(message[index]) for index, name in enumerate(_FIELDS)}
    trust, confidence = (float(each) for each in message[_BITS:_COUNTS].view(np.float64))
    counts = message[_COUNTS:HEADER_WORDS].tolist()
    used = sum(max(0, count) for count in counts)
    if min(counts[0], counts[1], counts[2] + 1) < 0 or used > len(message) - HEADER_WORDS:
        raise DataError(f"experience with {counts} cells in {len(message)} words: it is damaged")
    parts, start = [], HEADER_WORDS
    for count in counts:
        parts.append(message[start : start + max(0, count)].astype(np.int32))
        start += max(0, count)
    return PuzzleExperience(
        number=fields["number"],
        level=fields["level"],
        cells=parts[0],
        answer=parts[1],
        solution=None if counts[2] < 0 else parts[2],
        source=SolutionSource(fields["source"]),
        trust=trust,
        is_right=bool(fields["is_right"]),
        confidence=confidence,
        num_segments=fields["num_segments"],
        num_calls=fields["num_calls"],
        tick=fields["tick"],
        time_ns=fields["time_ns"],
        episode=fields["episode"],
    )


def offer_bytes(weights: Mapping[str, Tensor], names: Sequence[str]) -> int:
    """names: of the stream and of its levels."""
    room = HEADER_BYTES + sum(LEVEL_BYTES + len(json.dumps(name)) for name in names)
    return -(-room // _ALIGNMENT) * _ALIGNMENT + _weights_bytes(tensor.shape for tensor in weights.values())


def write_offer(out: np.ndarray, offer: Offer, *, night: int) -> None:
    """out: (offer_bytes,) uint8.  night: its number, 0 for practice. A reason without room is cut."""
    assert offer.weights is not None
    room = len(out) - _weights_bytes(tensor.shape for tensor in offer.weights.values())
    header = _header(offer, night)
    if len(header) > room - 8 and offer.report is not None:
        without = replace(offer, report=replace(offer.report, reason=""))
        reason = _cut(offer.report.reason, room - 8 - len(_header(without, night)))
        header = _header(replace(offer, report=replace(offer.report, reason=reason)), night)
    out[:8].view(np.int64)[0] = len(header)
    out[8 : 8 + len(header)] = np.frombuffer(header, np.uint8)
    flat = torch.from_numpy(out[room:].view(np.float32))
    start = 0
    for _, tensor in sorted(offer.weights.items()):
        flat[start : start + tensor.numel()].copy_(tensor.reshape(-1))
        start += tensor.numel()


def read_offer(message: Tensor, shapes: Mapping[str, torch.Size]) -> tuple[Offer, int]:
    """The offer, its weights as views of the message; and the number of its night, 0 for practice.

    message: (offer_bytes,) uint8.
    """
    length = int(message[:8].view(torch.int64)[0])
    header: dict[str, Any] = json.loads(message[8 : 8 + length].numpy().tobytes())
    flat = message[len(message) - _weights_bytes(shapes.values()) :].view(torch.float32)
    weights, start = {}, 0
    for name, shape in sorted(shapes.items()):
        weights[name] = flat[start : start + shape.numel()].view(shape)
        start += shape.numel()
    report = header["report"]
    offer = Offer(
        weights=weights,
        kind=header["kind"],
        num_steps=header["num_steps"],
        loss=math.nan if header["loss"] is None else header["loss"],
        report=None if report is None else report_of(report),
    )
    return offer, header["night"]


def _header(offer: Offer, night: int) -> bytes:
    plain = {
        "kind": offer.kind,
        "num_steps": offer.num_steps,
        "loss": offer.loss if math.isfinite(offer.loss) else None,
        "night": night,
        "report": None if offer.report is None else to_plain(offer.report),
    }
    return json.dumps(plain).encode()


def _cut(text: str, most: int) -> str:
    """The start of a text that has more than `most` bytes in JSON, with _CUT behind it."""
    ends = accumulate(len(json.dumps(character)) - 2 for character in text)
    return text[: sum(end <= most - len(_CUT) for end in ends)] + _CUT


def _weights_bytes(shapes: Iterable[torch.Size]) -> int:
    return 4 * sum(shape.numel() for shape in shapes)
