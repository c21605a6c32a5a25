"""A change of the store as data: what is applied in memory, and what a row of the journal holds.

Invariant: applying the same changes in the same order gives the same store.
"""

from __future__ import annotations

from typing import Annotated, Literal, Protocol

from pydantic import Field

from sage.related_work.totality.content import Canvas, Content, Identifier, Scheme, Unit

Kind = Literal["scheme", "canvas"]
Nanoseconds = Annotated[int, Field(ge=0, le=2**63 - 1)]
HalfLife = Annotated[float, Field(ge=1e-3, le=1e9)]


class Node(Content):
    """A scheme or a canvas as it is put into the store.

    activation: at stamp_ns, 0..1; it halves every half_life_s. That in `body` is not used.  salience: 0..1.
    updated_ns, stamp_ns: unix time.  num_bytes: of the body as JSON.
    """

    body: Scheme | Canvas
    activation: Unit
    stamp_ns: Nanoseconds
    half_life_s: HalfLife
    salience: Unit
    updated_ns: Nanoseconds
    num_bytes: int

    @property
    def id(self) -> str:
        return self.body.id

    @property
    def kind(self) -> Kind:
        return "scheme" if isinstance(self.body, Scheme) else "canvas"


class ActivationChange(Content):
    """activation: at stamp_ns."""

    id: Identifier
    activation: Unit
    stamp_ns: Nanoseconds
    half_life_s: HalfLife


class Change(Content):
    """removed: ids, before the nodes are put.  num_made: ids made so far."""

    removed: tuple[Identifier, ...] = ()
    nodes: tuple[Node, ...] = ()
    activations: tuple[ActivationChange, ...] = ()
    num_made: int = 0


class ChangeLog(Protocol):
    """Where changes are written."""

    @property
    def last_number(self) -> int:
        """Of the newest change that was queued."""
        ...

    def append(self, change: Change) -> int:
        """Queue a change; returns its number. NotDurable when it does not fit: nothing is queued."""
        ...

    def wait(self, number: int) -> None:
        """Return when the disk has the change. NotDurable after a time limit."""
        ...
