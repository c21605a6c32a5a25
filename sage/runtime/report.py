"""What a tick was, in host scalars: facts that two equal runs share to the bit, and timing that they do not.

Invariant: no tensor, no reference to live state. NaN means undefined; it is null in JSON and one
canonical value in the digest.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import struct
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Any, Protocol

import msgpack

NAN = math.nan


class State(str, Enum):
    """Metabolic states (operating modes). CRISIS is terminal in this form: effectors held, the loop stops."""

    WAKE = "wake"
    REST = "rest"
    DREAM = "dream"
    CRISIS = "crisis"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFacts:
    """One source in one tick. Scores are 0..1; `surprise` is the NIS per dimension of its last reading.

    status: "running", "starting", "quarantined", "exhausted", "closed".  sequence: -1 before the first
    reading.
    age_ns: now - captured_ns of the freshest reading, -1 when there is none.
    is_fresh: a new reading came this tick.  is_attended: it got full attention.
    num_dropped: readings never seen by the loop.  num_faults: faults of the driver or the plug-in.
    error: squared error per channel of this tick's scored prediction, in units of training variance,
    persistence_error: that of "nothing changes" on the same reading; NaN where nothing was scored.
    """

    name: str
    status: str
    sequence: int
    age_ns: int
    is_fresh: bool
    is_attended: bool
    trust: float = NAN
    weight: float = 0.0
    quality: float = NAN
    surprise: float = NAN
    novelty: float = NAN
    salience: float = NAN
    error: float = NAN
    persistence_error: float = NAN
    skip_error: float = NAN
    num_dropped: int = 0
    num_late: int = 0
    num_duplicate: int = 0
    num_faults: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CoherenceFacts:
    """pred.xerr, agreement, correctness and their composite (COGNITION.md), NaN where undefined."""

    xerr: float = NAN
    agreement: float = NAN
    agreement_null: float = NAN
    correctness: float = NAN
    coherence: float = NAN
    num_ticks: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryFacts:
    """H-memory (kept experiences) and L-memory (recent transitions)."""

    num_kept: int = 0
    num_seen: int = 0
    capacity: int = 0
    num_transitions: int = 0
    salience: float = NAN
    is_kept: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningFacts:
    """Practice so far, and the model's gate. loss: of the last practice step, NaN before the first."""

    num_practice_steps: int = 0
    loss: float = NAN
    gate: float = 0.0
    weights_version: int = 0
    num_carry_resets: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionFacts:
    """What was asked of one effector, what the policy said, what was really done."""

    effector: str
    asked: tuple[float, ...]
    done: tuple[float, ...]
    decision: str
    reason: str
    is_held: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened between or in ticks. data: scalars and strings only."""

    kind: str
    tick: int
    source: str = ""
    message: str = ""
    data: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TickFacts:
    """The whole tick. Two runs on the same replayed input, seed and manual clock give equal digests."""

    tick: int
    time_ns: int
    state: State
    num_segments: int
    value: float
    sources: tuple[SourceFacts, ...]
    coherence: CoherenceFacts
    memory: MemoryFacts
    learning: LearningFacts
    actions: tuple[ActionFacts, ...]
    events: tuple[Event, ...]

    def digest(self) -> str:
        """blake2b-128 over canonical bytes: fields in order, floats as IEEE doubles, one NaN."""
        return hashlib.blake2b(_canonical(self), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class TickTiming:
    """Where the tick's time went, in ns of the process's performance counter. `model` is the network
    alone.
    """

    total_ns: int
    stages: tuple[tuple[str, int], ...]
    model_ns: int
    is_overrun: bool

    @property
    def overhead_ns(self) -> int:
        """Everything in the tick that is not the network."""
        return self.total_ns - self.model_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class TickReport:
    facts: TickFacts
    timing: TickTiming


class SleepOutcome(str, Enum):
    """accepted: swapped in.  rolled_back: examined and not better.  undecided: the interval holds 0; old
    weights kept.
    skipped: too few examined.  failed: the process died or gave nothing usable."""

    ACCEPTED = "accepted"
    ROLLED_BACK = "rolled_back"
    UNDECIDED = "undecided"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class SleepReport:
    """One night. Losses are mean squared errors in training variance on held-out experience.

    gain: relative, (before - after) / before, with its 90% paired-bootstrap interval.
    loss_persistence, loss_skip: of "nothing changes" and of the linear skip alone on the same experience.
    """

    outcome: SleepOutcome
    reason: str
    tick: int
    num_replayed: int
    num_examined: int
    num_steps: int
    loss_before: float = NAN
    loss_after: float = NAN
    gain: float = NAN
    gain_low: float = NAN
    gain_high: float = NAN
    loss_persistence: float = NAN
    loss_skip: float = NAN
    loss_old_before: float = NAN
    loss_old_after: float = NAN
    wall_secs: float = NAN


class Instrument(Protocol):
    """An observer of the loop. One that raises is dropped and logged; it never stops the loop."""

    def on_tick(self, report: TickReport) -> None: ...

    def on_sleep(self, report: SleepReport) -> None: ...

    def on_event(self, event: Event) -> None: ...


def to_plain(value: Any) -> Any:
    """Dataclasses to dicts, tuples to lists, enums to their values, NaN and infinities to None: ready for
    JSON.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (tuple, list)):
        return [to_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


_pack_double = struct.Struct(">d").pack
_NAN_BYTES = _pack_double(math.nan)


def _canonical(value: Any) -> bytes:
    packed: bytes = msgpack.packb(_canonical_items(value), use_bin_type=True)
    return packed


def _canonical_items(value: Any) -> Any:
    """Exact types first: a tick holds hundreds of floats, and its digest is taken at every tick."""
    kind: Any = type(value)
    if kind is float:
        return _pack_double(value) if value == value else _NAN_BYTES
    if kind is int or kind is str or kind is bool:
        return value
    if isinstance(value, tuple):
        return [_canonical_items(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [_canonical_items(getattr(value, name)) for name in _field_names(kind)]
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, float):
        return _NAN_BYTES if math.isnan(value) else _pack_double(value)
    return value


@cache
def _field_names(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind))
