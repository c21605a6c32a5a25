"""Options of generated scenes, checked when they are made."""

from __future__ import annotations

from dataclasses import dataclass

from sage.errors import InputError

#: The exact solver tries every set of objects that are put aside.
MOST_OBJECTS, MOST_PLACES, MOST_BUFFERS = 8, 12, 4


@dataclass(frozen=True, slots=True, kw_only=True)
class TableConfig:
    """objects: fewest and most on the table.  places: on the table.  buffers: places beside the table.
    aside: objects that wait in a buffer in the shortest plan, at least.  blocked: chance that an object has
    another one in its way.  begun: chance that a scene has objects in buffers, as after a part of a plan."""

    objects: tuple[int, int] = (5, 8)
    places: int = 8
    buffers: int = 1
    aside: int = 0
    blocked: float = 0.3
    begun: float = 0.2

    def __post_init__(self) -> None:
        fewest, most = self.objects
        if not 2 <= fewest <= most <= MOST_OBJECTS:
            raise InputError(f"objects is {fewest} to {most}: give 2 to {MOST_OBJECTS}, the fewest first")
        if not most <= self.places <= MOST_PLACES:
            raise InputError(f"places is {self.places}: give {most}, the most objects, to {MOST_PLACES}")
        if not 1 <= self.buffers <= MOST_BUFFERS:
            raise InputError(f"buffers is {self.buffers}: give 1 to {MOST_BUFFERS}")
        if not 0 <= self.aside <= most // 2:
            raise InputError(f"aside is {self.aside}: give 0 to {most // 2}, half of the most objects")
        for name in ("blocked", "begun"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} is {getattr(self, name)}: give a probability, 0 to 1")

    @property
    def rows(self) -> int:
        """Places on the table, then buffers."""
        return self.places + self.buffers

    @property
    def most_moves(self) -> int:
        """Rounds of a plan, at most: each object is put aside once and moves to its goal once."""
        return 2 * self.objects[1]
