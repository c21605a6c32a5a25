"""The requests and replies of the service, one class each. The service, the client and the store share
them.

Invariant: a request that exists is within its limits; an unknown field is an error. Beside the ancestors'
fields there are new ones, all optional.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sage.hrm_core.solving.solutions import Outcome
from sage.related_work.totality.content import (
    MAX_INTEGER,
    MAX_OPS,
    MAX_SLOTS,
    Canvas,
    Content,
    Identifier,
    Label,
    Scheme,
    Slot,
    Time,
    Unit,
    Value,
)

MAX_COUNT = 64
MAX_SEEDS = 64
MAX_SCHEMES = 1024
MAX_TARGETS = 1024
MAX_PAGE = 1000
MAX_CALLS = 4096
Mode = Literal["merge", "append", "replace"]
Scope = Literal["all", "schemes", "canvases"]
Order = Literal["changed", "activation"]
Status = Literal["ok", "unchanged"]
Seed = Annotated[int, Field(ge=0, le=MAX_INTEGER)]


class Affect(Content):
    """valence: unpleasant to pleasant, -1..1.  arousal: calm to excited, 0..1.  coping: how well the
    requester can deal with the situation, 0..1. The default is neutral.
    """

    valence: Annotated[float, Field(ge=-1.0, le=1.0)] = 0.0
    arousal: Unit = 0.0
    coping: Unit = 0.5


class Budget(Content):
    """calls: applications of operations, made and allowed."""

    calls: int
    max_calls: int


class OpCall(Content):
    """One operation by name, with its parameters."""

    op: Label
    params: Annotated[dict[str, Value], Field(max_length=16)] = Field(default_factory=dict)


class ImagineRequest(Content):
    """seed_scheme_ids: what to start from; none: schemes drawn by activation.  count: canvases to make.
    trust, affect: of the requester; they shape what is drawn.  seed: of the random numbers; equal
    requests on an equal store with equal seeds give equal canvases.  max_calls: applications of
    operations at most.
    """

    seed_scheme_ids: Annotated[tuple[Identifier, ...], Field(max_length=MAX_SEEDS)] = ()
    ops: Annotated[tuple[OpCall, ...], Field(min_length=1, max_length=MAX_OPS)]
    count: Annotated[int, Field(ge=1, le=MAX_COUNT)] = 1
    trust: Unit | None = None
    affect: Affect | None = None
    seed: Seed | None = None
    max_calls: Annotated[int, Field(ge=1, le=MAX_CALLS)] = MAX_CALLS


class Target(Content):
    """delta: added to the activation; the sum is clamped to 0..1."""

    id: Identifier
    delta: Annotated[float, Field(ge=-1e6, le=1e6)]


class ActivateRequest(Content):
    """decay_half_life_s: of the activations that this request changes, from now on; None: as they are."""

    targets: Annotated[tuple[Target, ...], Field(min_length=1, max_length=MAX_TARGETS)]
    decay_half_life_s: Annotated[float, Field(ge=1e-3, le=1e9)] | None = None


class SchemeDraft(Content):
    """A scheme to write. id: None for a new one.  version: the version that it changes; another one in the
    store is a conflict; None: any.  updated_at: ignored, so that what was read can be written.
    """

    id: Identifier | None = None
    label: Label
    slots: Annotated[tuple[Slot, ...], Field(max_length=MAX_SLOTS)] = ()
    activation: Unit = 0.0
    version: Annotated[int, Field(ge=1, le=MAX_INTEGER)] | None = None
    updated_at: Time = ""


class WriteRequest(Content):
    """mode: of schemes that exist: merge (slots by name, the highest activation), append (further slots),
    replace. trust, affect: of the writer; with one of them the SNARC gate decides which schemes are
    written.
    """

    schemes: Annotated[tuple[SchemeDraft, ...], Field(min_length=1, max_length=MAX_SCHEMES)]
    mode: Mode = "merge"
    trust: Unit | None = None
    affect: Affect | None = None


class SleepCycleRequest(Content):
    """Imagines `count` canvases from schemes of at least `min_activation`, then commits what is supported."""

    seed: Seed = 0
    count: Annotated[int, Field(ge=1, le=MAX_COUNT)] = 1
    ops: Annotated[tuple[OpCall, ...], Field(min_length=1, max_length=MAX_OPS)]
    min_activation: Unit = 0.0
    trust: Unit | None = None
    affect: Affect | None = None
    max_calls: Annotated[int, Field(ge=1, le=MAX_CALLS)] = MAX_CALLS


class NodeMeta(Content):
    """order: of the changes, from 0.  salience: 0..1, what eviction goes by.
    half_life_s: of the activation.  updated_ns: unix time.
    """

    order: Annotated[int, Field(ge=0, le=MAX_INTEGER)] = 0
    salience: Unit = 0.0
    half_life_s: Annotated[float, Field(ge=1e-3, le=1e9)] | None = None
    updated_ns: Annotated[int, Field(ge=0, le=2**63 - 1)] = 0


class Snapshot(Content):
    """The whole store at one time. activations: by id, at `taken_ns` (unix time)."""

    format: Literal["totality/1"] = "totality/1"
    taken_ns: Annotated[int, Field(ge=0, le=2**63 - 1)] = 0
    num_made: Annotated[int, Field(ge=0, le=MAX_INTEGER)] = 0
    schemes: tuple[Scheme, ...] = ()
    canvases: tuple[Canvas, ...] = ()
    activations: dict[str, Unit] = Field(default_factory=dict)
    nodes: dict[str, NodeMeta] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _is_whole(self) -> Snapshot:
        ids = [*(each.id for each in self.schemes), *(each.id for each in self.canvases)]
        known = set(ids)
        if len(known) != len(ids):
            raise ValueError("an id occurs twice: give each scheme and canvas one of its own")
        for name in (*self.activations, *self.nodes):
            if name not in known:
                raise ValueError(f"{name} is neither a scheme nor a canvas of the snapshot: remove it")
        return self


class RestoreRequest(Content):
    """snapshot: the state to restore; or snapshot_id alone: of a snapshot that `persist` wrote. With both,
    the id must be that of the snapshot.
    """

    snapshot: Snapshot | None = None
    snapshot_id: Identifier | None = None

    @model_validator(mode="after")
    def _one_is_given(self) -> RestoreRequest:
        if self.snapshot is None and self.snapshot_id is None:
            raise ValueError("give snapshot, snapshot_id, or both")
        return self


class Reply(Content):
    """Base of the replies."""


class HealthReply(Reply):
    status: Literal["ok"]
    time: str


class ReadReply(Reply):
    """cursor: pass it to read on; None after the last page."""

    schemes: tuple[Scheme, ...]
    canvases: tuple[Canvas, ...]
    activations: dict[str, Unit]
    cursor: str | None


class ImagineReply(Reply):
    """created: ids of canvases.  outcome: how it ended: solved, all that were asked for; budget, the calls
    ran out before.  evicted: ids that were removed to make room.
    """

    created: tuple[str, ...]
    outcome: Outcome
    budget: Budget
    evicted: tuple[str, ...] = ()


class ActivateReply(Reply):
    """activations: of every scheme and canvas that changed, and of the targets."""

    status: Status
    activations: dict[str, Unit]


class Refused(Reply):
    """A scheme that was not written, and why: the gate is closed, or it would change nothing."""

    id: str
    reason: Literal["gate closed", "no change"]
    salience: Unit


class WriteReply(Reply):
    """committed: ids of the schemes that changed.  refused: the others."""

    status: Status
    committed: tuple[str, ...]
    refused: tuple[Refused, ...] = ()
    evicted: tuple[str, ...] = ()


class SnapshotReply(Reply):
    snapshot_id: str
    snapshot: Snapshot


class RestoreReply(Reply):
    status: Literal["ok"]
    snapshot_id: str
    schemes: int
    canvases: int


class PersistReply(Reply):
    """num_bytes: of the file."""

    status: Literal["ok"]
    snapshot_id: str
    num_bytes: int


class Totals(Reply):
    """Numbers of schemes and canvases, and the mean activation of the schemes."""

    schemes: int
    canvases: int
    mean_activation: Unit


class SleepCycleReply(Reply):
    """committed: ids of the imagined schemes that became schemes of the store."""

    before: Totals
    after: Totals
    created: tuple[str, ...]
    committed: tuple[str, ...]
    outcome: Outcome
    budget: Budget
    evicted: tuple[str, ...] = ()


class Problem(Reply):
    code: str
    message: str


class ProblemReply(Reply):
    """Every error: its code is the name of the HTTP status, its message one line with the remedy."""

    error: Problem
