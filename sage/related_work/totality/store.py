"""The Totality store: reading, imagining, activating, writing, snapshots, and sleep cycles.

Invariant: a reply without an error follows a change of the state, which the journal has on the disk where
there is one; a request that raises changed nothing (but NotDurable, see there). Thread-safe.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence

import numpy as np

from sage.durable import digest_of
from sage.errors import InputError
from sage.hrm_core.solving.endings import EndingTrust
from sage.related_work.totality.change import Change, ChangeLog, Node
from sage.related_work.totality.content import Canvas, Scheme
from sage.related_work.totality.drafting import Drafting
from sage.related_work.totality.errors import NothingMade, UnknownId
from sage.related_work.totality.imagination import Finished, Imagination, Task
from sage.related_work.totality.messages import (
    ActivateReply,
    ActivateRequest,
    Affect,
    ImagineReply,
    ImagineRequest,
    ReadReply,
    RestoreReply,
    SleepCycleReply,
    SleepCycleRequest,
    Snapshot,
    SnapshotReply,
    WriteReply,
    WriteRequest,
)
from sage.related_work.totality.mood import Mood
from sage.related_work.totality.operation import OperationRegistry
from sage.related_work.totality.operations import built_in
from sage.related_work.totality.read_query import ReadQuery
from sage.related_work.totality.state import StoreLimits, StoreState, make_node, nodes_of
from sage.related_work.totality.support import supported
from sage.related_work.totality.wall_time import to_text
from sage.related_work.totality.write_gate import appraise

#: Active schemes that operations take values from.
POOL_SIZE = 256
#: Salience of a canvas, as a share of that of the most salient scheme it is made from.
CANVAS_SALIENCE = 0.5


class TotalityStore:
    """now_ns: unix time.  log: None for a store in memory only."""

    def __init__(
        self,
        now_ns: Callable[[], int],
        *,
        operations: OperationRegistry | None = None,
        limits: StoreLimits | None = None,
        log: ChangeLog | None = None,
        state: StoreState | None = None,
    ) -> None:
        self.operations = operations or built_in()
        self.limits = limits or StoreLimits()
        self._now_ns = now_ns
        self._log = log
        self._state = state or StoreState()
        self._lock = threading.Lock()
        #: Of imagination, since this store was opened.
        self.endings = EndingTrust()

    def read(self, query: ReadQuery) -> ReadReply:
        """One page, oldest change first; or the most active ones, without a cursor."""
        with self._lock:
            return self._read(query)

    def read_at_once(self, query: ReadQuery) -> ReadReply | None:
        """As `read`; None where another thread has the store: it never waits."""
        if not self._lock.acquire(blocking=False):
            return None
        try:
            return self._read(query)
        finally:
            self._lock.release()

    def imagine(self, request: ImagineRequest) -> ImagineReply:
        """UnknownId, InputError for an unknown operation, NothingMade when no canvas could be made."""
        with self._lock:
            finished, evicted, number = self._imagine(request, 0.0)
        self._wait(number)
        return ImagineReply(
            created=tuple(canvas.id for canvas, _ in finished.canvases),
            outcome=finished.outcome,
            budget=finished.budget,
            evicted=evicted,
        )

    def activate(self, request: ActivateRequest) -> ActivateReply:
        """UnknownId for a target that is not in the store."""
        with self._lock:
            now_ns, state = self._now_ns(), self._state
            deltas: dict[str, float] = {}
            for target in request.targets:
                if target.id not in state.table:
                    raise UnknownId(f"{target.id}: neither a scheme nor a canvas: read the ids first")
                deltas[target.id] = deltas.get(target.id, 0.0) + target.delta
            given = dict(deltas)
            for name in given:
                for other, amount in state.associations.spread(name, given[name]).items():
                    if other in state.table:
                        deltas[other] = deltas.get(other, 0.0) + amount
            before = state.table.activations(deltas, now_ns)
            half_life_s = request.decay_half_life_s
            changes = tuple(state.raised(name, deltas[name], now_ns, half_life_s) for name in deltas)
            has_changed = any(each.activation != before[each.id] for each in changes) or any(
                each.half_life_s != state.table.half_life_s(each.id) for each in changes
            )
            number = self._commit(Change(activations=changes)) if has_changed else 0
            after = state.table.activations(deltas, now_ns)
        self._wait(number)
        return ActivateReply(status="ok" if has_changed else "unchanged", activations=after)

    def write(self, request: WriteRequest) -> WriteReply:
        """All schemes that pass are written, or none. Conflict for another version."""
        with self._lock:
            nodes, refused = self._drafting().drafted(request)
            evicted, number = self._put(nodes)
        self._wait(number)
        return WriteReply(
            status="ok" if nodes else "unchanged",
            committed=tuple(node.id for node in nodes),
            refused=tuple(refused),
            evicted=evicted,
        )

    def snapshot(self) -> SnapshotReply:
        """The whole store. Restoring it gives an equal one."""
        with self._lock:
            snapshot = self._state.snapshot(self._now_ns())
        return SnapshotReply.model_construct(snapshot_id=snapshot_id(snapshot), snapshot=snapshot)

    def restore(self, snapshot: Snapshot, expected_id: str | None = None) -> RestoreReply:
        """Replace everything. Activations decay on from their values in the snapshot.

        InputError when it is not the snapshot of `expected_id`, or is over the limits.
        """
        found_id = snapshot_id(snapshot)
        if expected_id is not None and expected_id != found_id:
            raise InputError(f"snapshot_id is {expected_id}, the snapshot has {found_id}: it was altered")
        with self._lock:
            now_ns = self._now_ns()
            nodes = nodes_of(snapshot, stamp_ns=now_ns, half_life_s=self.limits.half_life_s)
            self._check_fits(nodes)
            made = max(snapshot.num_made, self._state.num_made)
            number = self._commit(Change(removed=self._state.ids, nodes=nodes, num_made=made))
        self._wait(number)
        return RestoreReply(
            status="ok",
            snapshot_id=found_id,
            schemes=len(snapshot.schemes),
            canvases=len(snapshot.canvases),
        )

    def sleep_cycle(self, request: SleepCycleRequest) -> SleepCycleReply:
        """Imagine from active schemes, then commit the imagined schemes whose slots are supported by observed
        ones. Conflict when no scheme is active enough, or no canvas could be made.
        """
        with self._lock:
            before = self._state.totals(self._now_ns())
            imagine = ImagineRequest(
                ops=request.ops,
                count=request.count,
                trust=request.trust,
                affect=request.affect,
                seed=request.seed,
                max_calls=request.max_calls,
            )
            finished, evicted, number = self._imagine(imagine, request.min_activation)
            committed, more, later = self._consolidate(finished)
            after = self._state.totals(self._now_ns())
        self._wait(max(number, later))
        return SleepCycleReply(
            before=before,
            after=after,
            created=tuple(canvas.id for canvas, _ in finished.canvases),
            committed=committed,
            outcome=finished.outcome,
            budget=finished.budget,
            evicted=(*evicted, *more),
        )

    def checkpoint(self) -> tuple[Snapshot, int]:
        """A snapshot, and the number of the last change that is part of it."""
        with self._lock:
            last = self._log.last_number if self._log is not None else 0
            return self._state.snapshot(self._now_ns()), last

    def _read(self, query: ReadQuery) -> ReadReply:
        now_ns, table = self._now_ns(), self._state.table
        kind = {"all": None, "schemes": "scheme", "canvases": "canvas"}[query.scope]
        page = table.page(
            kind=kind,  # type: ignore[arg-type]
            minimum=query.activation_min,
            since_ns=query.since_ns,
            after=query.after,
            limit=query.limit,
            by_activation=query.order == "activation",
            now_ns=now_ns,
        )
        activations = table.activations(page.ids, now_ns)
        bodies = [node.body for name in page.ids if (node := table.get(name)) is not None]
        schemes = tuple(each.at(activations[each.id]) for each in bodies if isinstance(each, Scheme))
        return ReadReply.model_construct(
            schemes=schemes,
            canvases=tuple(each for each in bodies if isinstance(each, Canvas)),
            activations=activations,
            cursor=None if page.cursor is None else str(page.cursor),
        )

    def _imagine(
        self, request: ImagineRequest, min_activation: float
    ) -> tuple[Finished, tuple[str, ...], int]:
        """With the lock held: the canvases are in the store."""
        now_ns, state = self._now_ns(), self._state
        operations = tuple(self.operations.get(call.op) for call in request.ops)
        for operation, call in zip(operations, request.ops):
            operation.check(call.params)
        given = tuple(state.scheme(name, now_ns) for name in dict.fromkeys(request.seed_scheme_ids))
        active = state.table.most_active("scheme", min_activation, POOL_SIZE, now_ns)
        pool = tuple(state.scheme(name, now_ns) for name in active)
        if not (given or pool):
            raise NothingMade(
                f"no scheme has an activation of {min_activation:g} or more: write or activate some",
                "no_solution",
                0,
            )
        num_made = state.num_made

        def new_id(kind: str) -> str:
            nonlocal num_made
            num_made += 1
            return f"{kind}-{num_made:08d}"

        seed = request.seed if request.seed is not None else state.num_made
        finished = Imagination(
            Task(
                seeds=given or pool,
                draws_seeds=not given,
                pool=pool,
                calls=request.ops,
                operations=operations,
                count=request.count,
                max_calls=request.max_calls,
                mood=Mood(trust=_or_1(request.trust), affect=request.affect or Affect()),
                rng=np.random.default_rng(seed),
                new_id=new_id,
                created_at=to_text(now_ns),
            )
        ).run()
        self.endings.note(finished.outcome)
        if not finished.canvases:
            raise NothingMade(
                f"no canvas made, outcome {finished.outcome}: {finished.problem or 'max_calls is too small'}",
                finished.outcome,
                finished.budget.calls,
            )
        evicted, number = self._put([self._canvas_node(*pair) for pair in finished.canvases], num_made)
        return finished, evicted, number

    def _canvas_node(self, canvas: Canvas, made: tuple[Scheme, ...]) -> Node:
        """As active as the schemes that are new in it, as salient as half the most salient of the others."""
        now_ns, table = self._now_ns(), self._state.table
        known = [node.salience for each in canvas.entities if (node := table.get(each.id)) is not None]
        return make_node(
            canvas,
            activation=max(each.activation for each in made),
            stamp_ns=now_ns,
            half_life_s=self.limits.half_life_s,
            salience=CANVAS_SALIENCE * max(known, default=0.0),
            updated_ns=now_ns,
        )

    def _drafting(self) -> Drafting:
        return Drafting(self._state, self._now_ns(), self.limits.half_life_s)

    def _consolidate(self, finished: Finished) -> tuple[tuple[str, ...], tuple[str, ...], int]:
        """(committed ids, evicted ids, number of the change), with the lock held."""
        now_ns, state = self._now_ns(), self._state
        drafting = self._drafting()
        made = [scheme for _, schemes in finished.canvases for scheme in schemes]
        nodes = [
            drafting.node(each, 1, appraise(None, each, state.familiarity, Affect()).salience / 2.0, now_ns)
            for each in supported(made, state.table)
        ]
        evicted, number = self._put(nodes)
        return tuple(node.id for node in nodes), evicted, number

    def _put(self, nodes: Sequence[Node], num_made: int = 0) -> tuple[tuple[str, ...], int]:
        """(evicted ids, number of the change), with the lock held; nothing happens without nodes."""
        if not nodes:
            return (), 0
        evicted = self._state.to_evict(nodes, self.limits, self._now_ns())
        made = max(num_made, self._state.num_made + len(nodes))
        return evicted, self._commit(Change(removed=evicted, nodes=tuple(nodes), num_made=made))

    def _check_fits(self, nodes: Sequence[Node]) -> None:
        limits = self.limits
        num_canvases = sum(node.kind == "canvas" for node in nodes)
        found = (len(nodes) - num_canvases, num_canvases, sum(node.num_bytes for node in nodes))
        most = (limits.max_schemes, limits.max_canvases, limits.max_bytes)
        for name, number, limit in zip(("schemes", "canvases", "bytes"), found, most):
            if number > limit:
                raise InputError(f"snapshot: {number} {name}: the store's limit is {limit}: restore less")

    def _commit(self, change: Change) -> int:
        """Queue the change for the disk, then apply it; with the lock held."""
        number = self._log.append(change) if self._log is not None else 0
        self._state.apply(change)
        return number

    def _wait(self, number: int) -> None:
        if self._log is not None and number:
            self._log.wait(number)


def snapshot_id(snapshot: Snapshot) -> str:
    """The digest of its content; the order of an object's names makes no difference."""
    return digest_of(json.dumps(snapshot.model_dump(), sort_keys=True).encode())


def _or_1(trust: float | None) -> float:
    return 1.0 if trust is None else trust
