"""The two schemes and the canvas of an example store, as the ancestors' service had them.

Invariant: a store that has anything in it is not changed.
"""

from __future__ import annotations

from sage.related_work.totality.content import Canvas, Provenance, Scheme, Slot
from sage.related_work.totality.messages import Snapshot
from sage.related_work.totality.read_query import ReadQuery
from sage.related_work.totality.store import TotalityStore
from sage.related_work.totality.wall_time import to_text


def write_examples(store: TotalityStore, now_ns: int) -> bool:
    """Whether they were written."""
    found = store.read(ReadQuery(limit=1))
    if found.schemes or found.canvases:
        return False
    cube = Slot(name="object", value="cube")
    grasp = Scheme(id="grasp", label="grasp(object)", slots=(cube,), activation=0.6)
    place = Scheme(
        id="place",
        label="place(object,location)",
        slots=(cube, Slot(name="location", value="table")),
        activation=0.4,
    )
    scene = Canvas(
        id="base-scene",
        description="base scene",
        entities=(grasp, place),
        provenance=Provenance(created_by="sage.totality", created_at=to_text(now_ns)),
    )
    store.restore(Snapshot(taken_ns=now_ns, schemes=(grasp, place), canvases=(scene,)))
    return True
