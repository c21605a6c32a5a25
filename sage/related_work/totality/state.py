"""The state of a store in memory, and the one place where changes are applied to it.

Invariant: links and familiarity follow from the nodes; the numbers and bytes are within the limits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sage.errors import InputError
from sage.related_work.totality.association import Associations
from sage.related_work.totality.change import ActivationChange, Change, Kind, Node
from sage.related_work.totality.content import Canvas, Scheme
from sage.related_work.totality.errors import Conflict, UnknownId
from sage.related_work.totality.messages import NodeMeta, Snapshot, Totals
from sage.related_work.totality.node_table import NodeTable
from sage.related_work.totality.write_gate import Familiarity

#: Of one scheme or canvas as JSON.
MAX_NODE_BYTES = 256 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreLimits:
    """Above a limit the least salient nodes are evicted.  half_life_s: of activations, unless a request
    sets it. max_bytes: of all schemes and canvases as JSON; in memory they take about ten times as much.
    """

    max_schemes: int = 50_000
    max_canvases: int = 10_000
    max_bytes: int = 64 << 20
    half_life_s: float = 3600.0

    def __post_init__(self) -> None:
        for name in ("max_schemes", "max_canvases"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}: give 1 or more")
        if self.max_bytes < MAX_NODE_BYTES:
            raise InputError(f"max_bytes is {self.max_bytes}: give {MAX_NODE_BYTES} or more")
        if not 1e-3 <= self.half_life_s <= 1e9:
            raise InputError(f"half_life_s is {self.half_life_s}: give 0.001 to 1e9 seconds")


class StoreState:
    """Not thread-safe: the store holds its lock."""

    def __init__(self) -> None:
        self.table = NodeTable()
        self.associations = Associations()
        self.familiarity = Familiarity()
        self.num_made = 0

    def apply(self, change: Change) -> None:
        for name in change.removed:
            self._forget(name)
            self.table.remove(name)
        for node in change.nodes:
            self._forget(node.id)
            self.table.put(node)
            if isinstance(node.body, Scheme):
                self.familiarity.add(node.body)
            else:
                self.associations.put(node.body)
        for each in change.activations:
            if each.id in self.table:
                self.table.set_activation(each.id, each.activation, each.stamp_ns, each.half_life_s)
        self.num_made = max(self.num_made, change.num_made)

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(node.id for node in self.table)

    def scheme(self, name: str, now_ns: int) -> Scheme:
        """With its activation now. UnknownId when there is none."""
        node = self.table.get(name)
        if node is None or not isinstance(node.body, Scheme):
            raise UnknownId(f"{name[:128]}: no scheme of this id: read the ids with /totality/read")
        return node.body.model_copy(update={"activation": self.table.activation(name, now_ns)})

    def raised(self, name: str, delta: float, now_ns: int, half_life_s: float | None) -> ActivationChange:
        """Its activation plus `delta`, clamped to 0..1."""
        activation = min(max(self.table.activation(name, now_ns) + delta, 0.0), 1.0)
        half_life_s = half_life_s if half_life_s is not None else self.table.half_life_s(name)
        return ActivationChange(id=name, activation=activation, stamp_ns=now_ns, half_life_s=half_life_s)

    def to_evict(self, nodes: Sequence[Node], limits: StoreLimits, now_ns: int) -> tuple[str, ...]:
        """Ids to remove so that `nodes` fit. Conflict when they do not fit into an empty store."""
        new = {node.id: node for node in nodes}
        replaced = [node for node in map(self.table.get, new) if node is not None]
        excess_bytes = self.table.num_bytes - limits.max_bytes
        excess_bytes += sum(n.num_bytes for n in nodes) - sum(n.num_bytes for n in replaced)
        evicted: list[str] = []
        kinds: tuple[tuple[Kind, int, int], ...] = (
            ("canvas", self.table.num_canvases, limits.max_canvases),
            ("scheme", self.table.num_schemes, limits.max_schemes),
        )
        for kind, number, limit in kinds:
            added = sum(n.kind == kind for n in nodes) - sum(n.kind == kind for n in replaced)
            excess = number + added - limit
            if excess <= 0 and excess_bytes <= 0:
                continue
            for name in self.table.least_salient(kind, new, now_ns):
                if excess <= 0 and excess_bytes <= 0:
                    break
                node = self.table.get(name)
                assert node is not None
                evicted.append(name)
                excess, excess_bytes = excess - 1, excess_bytes - node.num_bytes
            if excess > 0:
                raise Conflict(
                    f"{added} {kind} nodes do not fit: the limit is {limit}: write fewer at a time"
                )
        if excess_bytes > 0:
            raise Conflict(f"the request is over the store's {limits.max_bytes} bytes: write less at a time")
        return tuple(evicted)

    def totals(self, now_ns: int) -> Totals:
        mean = self.table.mean_activation("scheme", now_ns)
        return Totals(
            schemes=self.table.num_schemes,
            canvases=self.table.num_canvases,
            mean_activation=min(max(mean, 0.0), 1.0),
        )

    def snapshot(self, now_ns: int) -> Snapshot:
        nodes = sorted(self.table, key=lambda node: self.table.sequence(node.id))
        activations = self.table.activations([node.id for node in nodes], now_ns)
        schemes = [
            node.body.model_copy(update={"activation": activations[node.id]})
            for node in nodes
            if isinstance(node.body, Scheme)
        ]
        meta = {
            node.id: NodeMeta(
                order=at,
                salience=node.salience,
                half_life_s=self.table.half_life_s(node.id),
                updated_ns=node.updated_ns,
            )
            for at, node in enumerate(nodes)
        }
        return Snapshot.model_construct(
            format="totality/1",
            taken_ns=now_ns,
            num_made=self.num_made,
            schemes=tuple(schemes),
            canvases=tuple(node.body for node in nodes if isinstance(node.body, Canvas)),
            activations=activations,
            nodes=meta,
        )

    def _forget(self, name: str) -> None:
        node = self.table.get(name)
        if node is None:
            return
        if isinstance(node.body, Scheme):
            self.familiarity.remove(node.body)
        else:
            self.associations.remove(name)


def nodes_of(snapshot: Snapshot, *, stamp_ns: int, half_life_s: float) -> tuple[Node, ...]:
    """The nodes of a snapshot, oldest change first. Activations decay from `stamp_ns` on."""
    found = []
    bodies: tuple[Scheme | Canvas, ...] = (*snapshot.canvases, *snapshot.schemes)
    for body in bodies:
        meta = snapshot.nodes.get(body.id, NodeMeta())
        own = body.activation if isinstance(body, Scheme) else 0.0
        found.append(
            make_node(
                body,
                activation=snapshot.activations.get(body.id, own),
                stamp_ns=stamp_ns,
                half_life_s=meta.half_life_s or half_life_s,
                salience=meta.salience,
                updated_ns=meta.updated_ns or stamp_ns,
            )
        )
    order = {name: meta.order for name, meta in snapshot.nodes.items()}
    return tuple(sorted(found, key=lambda node: order.get(node.id, -1)))


def make_node(
    body: Scheme | Canvas,
    *,
    activation: float,
    stamp_ns: int,
    half_life_s: float,
    salience: float,
    updated_ns: int,
) -> Node:
    """InputError for a body over MAX_NODE_BYTES."""
    num_bytes = len(body.model_dump_json())
    if num_bytes > MAX_NODE_BYTES:
        raise InputError(f"{body.id}: {num_bytes} bytes as JSON: give at most {MAX_NODE_BYTES}")
    return Node.model_construct(
        body=body,
        activation=min(max(activation, 0.0), 1.0),
        stamp_ns=stamp_ns,
        half_life_s=half_life_s,
        salience=salience,
        updated_ns=updated_ns,
        num_bytes=num_bytes,
    )
