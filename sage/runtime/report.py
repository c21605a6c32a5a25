"""Reports of ticks and nights, as host scalars: facts, equal to the bit in two equal runs, and timing.

Invariant: no tensor and no live state. NaN means undefined: null in JSON, one value in the digest.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from sage.runtime.activity import NO_ACTIVITY, ActivityFacts
from sage.runtime.digest import canonical
from sage.runtime.lazy import LazyTuple
from sage.runtime.scheduling.energy_facts import NO_ENERGY, EnergyFacts
from sage.runtime.scheduling.work_facts import WorkFacts

NAN = math.nan


class State(str, Enum):
    """Operating modes. In CRISIS effectors are held; one of the model or of memory stops the loop."""

    WAKE = "wake"
    FOCUS = "focus"
    REST = "rest"
    DREAM = "dream"
    CRISIS = "crisis"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFacts:
    """One source in one tick. Scores are 0..1; `surprise` is the NIS per dimension of its last reading.

    status: "running", "starting", "quarantined", "disabled", "exhausted", "closed".
    sequence: -1 before the first reading.
    age_ns: now - captured_ns of the newest reading, -1 without one.
    is_fresh: a new reading came this tick.  is_attended: it got full attention.
    is_judged: there has been evidence for or against it; without any, trust is that of the prior.
    num_dropped: readings never seen by the loop.  num_faults: faults of the driver or the plug-in.
    error: squared error per channel of this tick's scored prediction, in units of training variance,
    persistence_error: that of "nothing changes" on the same reading; NaN where nothing was scored.
    skipped: why it got no full attention: "not due" (no new reading), "budget", "cap", "held by posture", or
    the status of a source that is not running; "" where it got it.
    """

    name: str
    status: str
    sequence: int
    age_ns: int
    is_fresh: bool
    is_attended: bool
    trust: float = NAN
    is_judged: bool = True
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
    skipped: str = ""


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
    """H-memory (experiences in its stores) and L-memory (recent transitions).

    num_kept, capacity: of H-memory.  num_seen: experiences offered ever.  salience: the gate's value.
    is_kept: an experience was stored this tick.
    Of the sidecar, which predicts the discounted reward, in a run with a source that observes a reward:
    num_bound: contexts bound to a return so far.  sidecar_error, value_error: squared errors of the sidecar
    and of the model's value head for the steps whose return became known this tick, NaN without one.
    sidecar_share: weight of the sidecar in the mean of the two with the least squared error so far, 0..1.

    salience_weights: learned from which memories were of use, in the order of salience.SCORES; empty before
    a night learned some.  num_missing: of the first 32 ticks with a salience, until it chooses memories.
    """

    num_kept: int = 0
    num_seen: int = 0
    capacity: int = 0
    num_transitions: int = 0
    salience: float = NAN
    is_kept: bool = False
    num_bound: int = 0
    sidecar_error: float = NAN
    value_error: float = NAN
    sidecar_share: float = NAN
    salience_weights: tuple[float, ...] = ()
    num_missing: int = 0

    @property
    def has_added(self) -> bool:
        """Whether a field of ADDED_MEMORY has a value."""
        return self.num_bound > 0 or bool(self.salience_weights)


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningFacts:
    """Practice so far. loss: of the last practice step, NaN before the first.  gate: mean share of the
    model's correction that enters predictions, 0..1.
    """

    num_practice_steps: int = 0
    loss: float = NAN
    gate: float = 0.0
    weights_version: int = 0
    num_carry_resets: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionFacts:
    """One effector in one tick: the requested values, the policy's decision, the values applied.

    decision: "allow", "warn", "deny", or "fault" where the effector failed.  is_held: nothing was done.
    limited_by: limits that changed the request: "range", "workspace", "slew", "rate", and "device" for the
    effector's own.  is_dry: of a dry run; `done` has the values that would have been applied.
    """

    effector: str
    asked: tuple[float, ...]
    done: tuple[float, ...]
    decision: str
    reason: str
    is_held: bool
    limited_by: tuple[str, ...] = ()
    is_dry: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PostureFacts:
    """How well a tick is sensed; what the policy may restrict effects by. NaN where undefined.

    confidence: mean trust (a lower bound) of the attended sources, 0 for one that cannot be used.
    asymmetry: best minus worst modality, by its most trusted source, 0..1.
    breadth: effective number of trusted physical sources as a share of all, 0..1.
    starved: modalities without a source that is running, fresh and trusted.
    """

    confidence: float = NAN
    asymmetry: float = NAN
    breadth: float = NAN
    starved: tuple[str, ...] = ()


NO_POSTURE = PostureFacts()


@dataclass(frozen=True, slots=True, kw_only=True)
class ActingFacts:
    """One world that moves by the loop's actions, in one tick.

    world: its name.  reward: of this tick, NaN without one.  reset: 1 where an episode ended of its own, 2
    where it was cut off, else 0.  num_episodes: ended so far.  episode_return: sum of rewards so far, of the
    episode that this tick's reward belongs to.  last_return: of the last episode that ended, NaN before.
    last_success: 1 where that episode reached its goal, else 0; NaN before, and where a world states none."""

    world: str
    reward: float = NAN
    reset: float = 0.0
    num_episodes: int = 0
    episode_return: float = 0.0
    last_return: float = NAN
    last_success: float = NAN


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerFacts:
    """One answer whose result came this tick.

    number: of the puzzle in its stream.  level: index in `SolvingFacts.levels`.  is_right: the environment
    accepted it.  is_abstained: the solver gave none.  decision: of the policy, as in ActionFacts.
    num_segments, num_calls: spent on it.  confidence: of the Q head, 0..1.  age_ticks: from reading the
    puzzle to its result.  num_open: cells that still changed, after each of its segments.  weights_changed:
    while it was under way, so that it started again.  ending: a word of Outcome; "" in earlier records.
    """

    number: int
    level: int
    is_right: bool
    is_abstained: bool
    decision: str
    num_segments: int
    num_calls: int
    confidence: float
    age_ticks: int
    num_open: tuple[int, ...] = ()
    weights_changed: bool = False
    ending: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelFacts:
    """One level of a stream. num_answered, num_right: ever.  recent: share right of its last 50 answers, NaN
    before the first."""

    name: str
    num_answered: int = 0
    num_right: int = 0
    recent: float = NAN


@dataclass(frozen=True, slots=True, kw_only=True)
class SolvingFacts:
    """One puzzle stream in one tick.

    level: the stream's current one.  num_segments: computed this tick, all rows together.
    teacher_trust: of the solutions shown, 0..1.  solver_trust: of the answers given, 0..1, from their results
    and how they ended; NaN before the first.  num_steps, loss: of the learner.  num_restarts: of its
    process.  num_swapped, num_refused: offers of weights taken and not taken.
    skipped: why it got no segment: "not due" (no puzzle), "budget", "tokens", "time", "energy", "mode".
    board_number, board_cells, board_answer: one puzzle under way and its answer so far, for display.
    """

    stream: str
    level: int
    levels: tuple[LevelFacts, ...]
    num_under_way: int = 0
    num_segments: int = 0
    answers: tuple[AnswerFacts, ...] = ()
    teacher_trust: float = NAN
    solver_trust: float = NAN
    num_experiences: int = 0
    num_lost: int = 0
    num_steps: int = 0
    loss: float = NAN
    num_restarts: int = 0
    num_swapped: int = 0
    num_refused: int = 0
    bytes_copied: int = 0
    is_sleeping: bool = False
    skipped: str = ""
    board_number: int = -1
    board_cells: tuple[int, ...] = ()
    board_answer: tuple[int, ...] = ()


#: Names and values, scalars and strings only.
EventData = tuple[tuple[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened in a tick or between two."""

    kind: str
    tick: int
    source: str = ""
    message: str = ""
    data: EventData = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TickFacts:
    """A tick. Two runs with the same recorded input and seed on a simulated clock have equal digests."""

    tick: int
    time_ns: int
    state: State
    num_segments: int
    value: float
    sources: Sequence[SourceFacts]  # of a loop: made when they are first read
    coherence: CoherenceFacts
    memory: MemoryFacts
    learning: LearningFacts
    actions: tuple[ActionFacts, ...]
    events: tuple[Event, ...]
    solving: tuple[SolvingFacts, ...] = ()
    acting: tuple[ActingFacts, ...] = ()
    posture: PostureFacts = NO_POSTURE
    energy: EnergyFacts = NO_ENERGY
    work: tuple[WorkFacts, ...] = ()
    activity: ActivityFacts = NO_ACTIVITY

    def digest(self) -> str:
        """blake2b-128 of canonical bytes: fields in order, floats as IEEE doubles, one NaN."""
        return hashlib.blake2b(canonical(self), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class TickTiming:
    """Duration of a tick and its stages, in ns of the performance counter. model_ns: the network alone."""

    total_ns: int
    stages: tuple[tuple[str, int], ...]
    model_ns: int
    is_overrun: bool

    @property
    def overhead_ns(self) -> int:
        """The tick's time without the network."""
        return self.total_ns - self.model_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class TickReport:
    facts: TickFacts
    timing: TickTiming


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelExamination:
    """Held-out puzzles of one level before and after a night: shares solved, 0..1, and how many there were.
    gain_low, gain_high: 90% paired-bootstrap interval of after - before."""

    level: str
    num: int
    before: float
    after: float
    gain_low: float = NAN
    gain_high: float = NAN


class SleepOutcome(str, Enum):
    """accepted: the candidate replaces the weights.  rolled_back: the candidate is worse, or old experience
    would be lost.  undecided: the interval contains 0; the old weights stay.  skipped: too little to replay
    or examine. failed: the process was killed, or its result cannot be read.
    """

    ACCEPTED = "accepted"
    ROLLED_BACK = "rolled_back"
    UNDECIDED = "undecided"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class SleepReport:
    """One night. Losses are mean squared errors in training variance on held-out experience.

    stream: the puzzle stream whose solving model slept, "" for the observation model. Of a stream losses are
    shares not solved, gain is their difference, and `levels` has shares; of dreams, those of episodes.
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
    stream: str = ""
    levels: tuple[LevelExamination, ...] = ()


class Instrument(Protocol):
    """An observer of the loop. One that raises is removed and logged; it never stops the loop."""

    def on_tick(self, report: TickReport) -> None: ...

    def on_sleep(self, report: SleepReport) -> None: ...

    def on_event(self, event: Event) -> None: ...


def to_plain(value: Any) -> Any:
    """JSON values: dataclasses to dicts, tuples to lists, enums to values, NaN and infinities to None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (tuple, list, LazyTuple)):
        return [to_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
