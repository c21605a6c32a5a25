"""Exhaustive check of the protocol in `ring_protocol.py`: every interleaving of two producers and one reader.

A producer can die at any step, and a successor takes over its lane; a stopped producer takes no step. Memory
is sequentially consistent: reordering by hardware is not modelled. Invariant, checked at every state: each
delivered record is whole, in order, and delivered once; delivered + lost is exactly the number of records
before it; no record is skipped that was not overwritten; no producer waits. In a lossless ring no record is
lost or overwritten before it is read, and a producer waits only for the reader.

    python implementation/models/ring.py            # the protocol, then every broken variant
"""

from __future__ import annotations

import hashlib
import marshal
import sys
import time
from dataclasses import dataclass, replace
from typing import Any

from ring_protocol import check_final, successors
from ring_state import VARIANTS, Instance, State, Violation


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """num_states: distinct states.  num_final: states without a next step.  violation: None if none was
    found.
    """

    num_states: int
    num_transitions: int
    num_final: int
    violation: str | None
    trail: tuple[str, ...]
    wall_secs: float


def explore(instance: Instance) -> Outcome:
    """Depth first over all states. A state that repeats on its own path is a wait, also a violation."""
    start_secs = time.perf_counter()
    initial = instance.initial()
    on_path = {_key(initial)}
    known = set(on_path)
    path = [("start", initial, _key(initial), successors(instance, initial))]
    num_transitions = num_final = 0

    def outcome(violation: str | None, *last: str) -> Outcome:
        trail = (*(label for label, *_ in path), *last)
        wall_secs = time.perf_counter() - start_secs
        return Outcome(
            num_states=len(known),
            num_transitions=num_transitions,
            num_final=num_final,
            violation=violation,
            trail=trail if violation else (),
            wall_secs=wall_secs,
        )

    has_moved = [False]
    while path:
        try:
            label, state = next(path[-1][3], (None, None))
            if label is None:
                if not has_moved.pop():
                    check_final(instance, path[-1][1])
                    num_final += 1
                on_path.discard(path.pop()[2])
                continue
        except Violation as violation:
            return outcome(str(violation))
        has_moved[-1] = True
        num_transitions += 1
        key = _key(state)
        if key in on_path:
            return outcome("a process waits: it can repeat its steps while nothing changes", str(label))
        if key not in known:
            known.add(key)
            on_path.add(key)
            path.append((str(label), state, key, successors(instance, state)))
            has_moved.append(False)
    return outcome(None)


def _key(state: State) -> bytes:
    # version 2 has no back references, so equal states give equal bytes; 128 bits make a false match
    # negligible
    return hashlib.blake2b(marshal.dumps(_plain(state), 2), digest_size=16).digest()


def _plain(value: Any) -> Any:
    return tuple([_plain(item) for item in value]) if isinstance(value, tuple) else value


#: Two laps with batches; then with a kill at any step and a successor. The others are the smallest instances
#: that show a broken variant.
FULL = (
    Instance(scripts=((2, 1), (1, 1)), num_lane_slots=3, max_kills=0, successor=()),
    Instance(scripts=((2, 1), (1, 1)), num_lane_slots=3, max_kills=2, successor=()),
    Instance(scripts=((1, 1, 1), (1,)), num_cells=3, num_lane_slots=3, max_kills=1, successor=(1, 1)),
)
SMALL = Instance(scripts=((1, 1, 1), (1,)), num_cells=1, num_lane_slots=2, max_kills=1, successor=())
#: Lossless, with a subscriber from the start, and with one that joins at some time.
LOSSLESS = (
    Instance(scripts=((1, 1), (1,)), max_kills=1, successor=(), capacity=1),
    Instance(scripts=((2, 1), (1,)), num_lane_slots=4, max_kills=0, capacity=2),
)
JOINING = Instance(scripts=((1, 1), (1, 1)), max_kills=0, capacity=1, joins_late=True)
SMALLEST_BREAKING = {
    "load index, write, increment": Instance(scripts=((1,), (1,)), max_kills=0),
    "link before payload": Instance(scripts=((1,), (1,)), max_kills=0),
    "number after sequence": Instance(scripts=((1, 1, 1), (1,)), max_kills=0),
    "no second look": Instance(scripts=((1, 1, 1), (1,)), max_kills=0),
    "reach of a whole lane": Instance(scripts=((1, 1, 1), (1,)), max_kills=0),
    "written before the tail moved": Instance(scripts=((1, 1, 1), (1,)), max_kills=0),
    "no help": Instance(scripts=((1,), (1,)), max_kills=1, successor=()),
    "no lap in the order word": Instance(scripts=((1, 1, 1), (1,)), max_kills=0),
    "number used again": Instance(scripts=((1,), (1,)), max_kills=1, successor=(1,)),
    "loss counted in order words": Instance(scripts=((2, 1), (1, 1)), num_lane_slots=3, max_kills=0),
    "room checked with an older tail": Instance(scripts=((1,), (1,)), max_kills=0, capacity=1),
    "floor of an earlier subscriber list": replace(JOINING, scripts=((1, 1, 1),)),
    "cursor moved before the copy": Instance(scripts=((1, 1, 1),), max_kills=0, capacity=1),
    "began at the tail read before the join": replace(JOINING, scripts=((1, 1), (1,))),
}


def breaking(variant: str) -> Instance:
    """The smallest known instance that shows the fault of `variant`."""
    return replace(SMALLEST_BREAKING[variant], variant=variant)


def main() -> int:
    write = sys.stdout.write
    is_sound = True
    for instance in (SMALL, *FULL, *LOSSLESS, JOINING):
        result = explore(instance)
        is_sound &= result.violation is None
        write(
            f"{instance}\n  {result.num_states} states, {result.num_transitions} transitions,"
            f" {result.num_final} final, "
        )
        write(f"{result.wall_secs:.1f} s: {result.violation or 'no violation'}\n")
    for variant, meaning in VARIANTS.items():
        result = explore(breaking(variant))
        is_sound &= result.violation is not None
        write(
            f"broken variant: {variant} ({meaning})\n  {result.num_states} states:"
            f" {result.violation or 'NOT FOUND'}\n"
        )
    return 0 if is_sound else 1


if __name__ == "__main__":
    sys.exit(main())
