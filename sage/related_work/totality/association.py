"""Which schemes and canvases are linked, and how far an activation spreads.

Invariant: what spreads from one target is at most `SHARE` + `SHARE`^2 of its delta in sum, over at most two
links. Spreading activation with a fan effect: Anderson 1983, The Architecture of Cognition, chapter 3.
"""

from __future__ import annotations

from itertools import islice

from sage.related_work.totality.content import Canvas

#: What a node passes on of what it received, divided among its neighbours.
SHARE = 0.5
NUM_HOPS = 2
#: Neighbours of one node that receive a share; the newest canvases count first.
MAX_FAN = 64
#: Smaller amounts do not spread.
MIN_AMOUNT = 1e-3


class Associations:
    """The links of all canvases. A canvas is linked with its entities, and these as its links state."""

    def __init__(self) -> None:
        self._entities: dict[str, tuple[str, ...]] = {}  # of a canvas
        self._canvases: dict[str, dict[str, None]] = {}  # of an entity, oldest first
        self._partners: dict[tuple[str, str], tuple[str, ...]] = {}  # of (canvas, entity)

    def put(self, canvas: Canvas) -> None:
        name = canvas.id
        self.remove(name)
        partners: dict[str, dict[str, None]] = {}
        for link in canvas.links:
            partners.setdefault(link.src, {})[link.dst] = None
            partners.setdefault(link.dst, {})[link.src] = None
        self._entities[name] = tuple(each.id for each in canvas.entities)
        for entity in self._entities[name]:
            self._canvases.setdefault(entity, {})[name] = None
            self._partners[name, entity] = tuple(partners.get(entity, ()))

    def remove(self, canvas: str) -> None:
        for entity in self._entities.pop(canvas, ()):
            self._partners.pop((canvas, entity), None)
            others = self._canvases.get(entity, {})
            others.pop(canvas, None)
            if not others:
                self._canvases.pop(entity, None)

    def neighbours(self, name: str) -> tuple[str, ...]:
        """At most MAX_FAN ids, without `name`."""
        found: dict[str, None] = dict.fromkeys(self._entities.get(name, ()))
        for canvas in reversed(self._canvases.get(name, {})):
            if len(found) > MAX_FAN:
                break
            found[canvas] = None
            found.update(dict.fromkeys(self._partners[canvas, name]))
        found.pop(name, None)
        return tuple(islice(found, MAX_FAN))

    def spread(self, name: str, delta: float) -> dict[str, float]:
        """What the neighbours of `name` receive when its activation changes by `delta`; by id."""
        received: dict[str, float] = {}
        wave = {name: delta}
        reached = {name}
        for _ in range(NUM_HOPS):
            following: dict[str, float] = {}
            for source, amount in wave.items():
                neighbours = [each for each in self.neighbours(source) if each not in reached]
                share = SHARE * amount / max(len(neighbours), 1)
                if abs(share) < MIN_AMOUNT:
                    continue
                for each in neighbours:
                    following[each] = following.get(each, 0.0) + share
            reached |= following.keys()
            received.update(following)
            wave = following
        return received
