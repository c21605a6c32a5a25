"""From schemes to write to the nodes that the store puts: ids, versions, the SNARC gate.

Invariant: nothing is changed here; a scheme that would change nothing is refused.
"""

from __future__ import annotations

from collections.abc import Sequence

from sage.errors import InputError
from sage.related_work.totality.change import Node
from sage.related_work.totality.content import Scheme
from sage.related_work.totality.errors import Conflict
from sage.related_work.totality.merging import written
from sage.related_work.totality.messages import Affect, Refused, SchemeDraft, WriteRequest
from sage.related_work.totality.state import StoreState, make_node
from sage.related_work.totality.wall_time import to_text
from sage.related_work.totality.write_gate import appraise


class Drafting:
    """One write to `state` at `now_ns`. half_life_s: of the activations of new schemes."""

    def __init__(self, state: StoreState, now_ns: int, half_life_s: float) -> None:
        self._state = state
        self._now_ns = now_ns
        self._half_life_s = half_life_s

    def drafted(self, request: WriteRequest) -> tuple[list[Node], list[Refused]]:
        """The nodes to put, and the schemes that are refused."""
        affect = request.affect or Affect()
        is_gated = request.trust is not None or request.affect is not None
        named = self._named(request.schemes)
        nodes: list[Node] = []
        refused: list[Refused] = []
        now_ns, state = self._now_ns, self._state
        for name, draft in named.items():
            before = state.scheme(name, now_ns) if name in state.table else None
            activation = before.activation if before is not None else 0.0
            after = written(before, draft, name, request.mode, activation)
            appraisal = appraise(before, after, state.familiarity, affect)
            if before is not None and _content(before) == _content(after):
                refused.append(Refused(id=name, reason="no change", salience=appraisal.salience))
            elif is_gated and not appraisal.is_open(_or_1(request.trust), affect):
                refused.append(Refused(id=name, reason="gate closed", salience=appraisal.salience))
            else:
                version = before.version + 1 if before is not None else 1
                nodes.append(self.node(after, version, appraisal.salience, now_ns))
        return nodes, refused

    def _named(self, drafts: Sequence[SchemeDraft]) -> dict[str, SchemeDraft]:
        """The drafts by id; those without one get the next."""
        found: dict[str, SchemeDraft] = {}
        num_made = self._state.num_made
        for draft in drafts:
            name = draft.id
            while name is None or (draft.id is None and (name in self._state.table or name in found)):
                num_made += 1
                name = f"scheme-{num_made:08d}"
            if name in found:
                raise InputError(f"schemes: {name} occurs twice: write it once in a request")
            node = self._state.table.get(name)
            if node is not None and node.kind == "canvas":
                raise Conflict(f"{name}: the id of a canvas: give the scheme another one")
            found[name] = draft
        return found

    def node(self, scheme: Scheme, version: int, salience: float, now_ns: int) -> Node:
        known = scheme.id in self._state.table
        return make_node(
            scheme.model_copy(update={"version": version, "updated_at": to_text(now_ns)}),
            activation=scheme.activation,
            stamp_ns=now_ns,
            half_life_s=self._state.table.half_life_s(scheme.id) if known else self._half_life_s,
            salience=salience,
            updated_ns=now_ns,
        )


def _content(scheme: Scheme) -> tuple[object, ...]:
    return scheme.label, scheme.slots, scheme.activation


def _or_1(trust: float | None) -> float:
    return 1.0 if trust is None else trust
