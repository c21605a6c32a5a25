"""kill -9 at chosen points of a hand-over, and how long the survivor waits for what the dead one held.

Invariant: in each scene a survivor depends on what a victim holds or waits for, and one that does not succeed
is a failure of the run, not a large number. Two clocks: since the kill, and since the kernel had ended the
process (its memory of some hundred MB is taken down first, which takes milliseconds on an idle core and tens
on a busy one; until then it is not dead).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from _mailbox_crowd import Board, Crowd, Wrong
from _mailbox_soak import PATIENCE_SECS, demand_nothing_left
from _mailbox_witness import make_records

NUM_SLOTS, SLOT_ITEMS = 4, 1024
SHAPE = (SLOT_ITEMS,)
RING_CAPACITY = 256
AT_POINT, WAITING, DONE, KILLED = range(4)  # stamps on the board
SETTLE_SECS = 0.003  # from "about to block" to blocked


@dataclass(frozen=True, slots=True, kw_only=True)
class Waited:
    """since_end_ms: 0 where the survivor went on before the coordinator knew of the end."""

    since_kill_ms: float
    since_end_ms: float


class Stage:
    """One pool and one ring, a victim and a survivor."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.board, self.crowd = Board(folder / "board"), Crowd(folder)
        self.name, self.chance = f"kills-{os.getpid()}", random.Random(seed)
        self.cue_box: Any = None  # the coordinator's own

    def box(self) -> Any:
        from sage.mailbox import RealClock
        from sage.mailbox.shared import SharedFocus

        return SharedFocus.attach(f"{self.name}-box", clock=RealClock())

    def ring(self) -> Any:
        from sage.mailbox import RealClock
        from sage.mailbox.shared import SharedPeripheral

        return SharedPeripheral.attach(f"{self.name}-ring", clock=RealClock())

    def play(
        self, victim: Callable[[Stage], None], survivor: Callable[[Stage], None], cue: Callable[[Stage], None]
    ) -> Waited:
        """How long until the survivor's success.  cue: done by the coordinator when the victim has ended."""
        self.board.clear_stamps()
        self.crowd.start("victim", lambda: victim(self))
        self.crowd.wait_for_stamp(self.board, AT_POINT, "the victim comes to its point", PATIENCE_SECS)
        self.crowd.start("survivor", lambda: survivor(self))
        self.crowd.wait_for_stamp(self.board, WAITING, "the survivor comes to wait", PATIENCE_SECS)
        time.sleep(SETTLE_SECS + self.chance.random() * SETTLE_SECS)
        killed_ns = time.monotonic_ns()
        self.crowd.kill("victim")
        ended_ns = time.monotonic_ns()
        self.board.stamp(KILLED)
        cue(self)
        done_ns = self.crowd.wait_for_stamp(self.board, DONE, "the survivor goes on", PATIENCE_SECS)
        self.crowd.join("survivor", PATIENCE_SECS)
        return Waited(
            since_kill_ms=(done_ns - killed_ns) / 1e6, since_end_ms=max(done_ns - ended_ns, 0) / 1e6
        )


def hold_for_ever(stage: Stage) -> None:
    stage.board.stamp(AT_POINT)
    time.sleep(600)


def victim_with_loans(stage: Stage) -> None:
    box = stage.box()
    kept = [box.loan(SHAPE, "float32", timeout_secs=PATIENCE_SECS) for _ in range(NUM_SLOTS)]
    kept[0].array[: SLOT_ITEMS // 2] = -1.0  # half written
    hold_for_ever(stage)


def victim_with_leases(stage: Stage) -> None:
    box = stage.box()
    for number in range(NUM_SLOTS):
        _publish(box, float(number))
    kept = [box.receive(timeout_secs=PATIENCE_SECS) for _ in range(NUM_SLOTS)]
    assert float(kept[0].array[0]) == 0.0
    hold_for_ever(stage)


def victim_waiting_for_a_message(stage: Stage) -> None:
    box = stage.box()
    stage.board.stamp(AT_POINT)
    box.receive(timeout_secs=600.0)


def victim_that_published(stage: Stage) -> None:
    _publish(stage.box(), 7.0)
    hold_for_ever(stage)


def victim_that_reads_no_more(stage: Stage) -> None:
    ring = stage.ring()
    subscription = ring.subscribe(start="latest")
    ring.push_many(make_records(1, 0, RING_CAPACITY))
    assert subscription is not None
    hold_for_ever(stage)


def survivor_loans(stage: Stage) -> None:
    box = stage.box()
    stage.board.stamp(WAITING)
    with box.loan(SHAPE, "float32", timeout_secs=PATIENCE_SECS):
        stage.board.stamp(DONE)
    box.close()


def survivor_receives_later(stage: Stage) -> None:
    box = stage.box()
    stage.board.stamp(WAITING)
    while not stage.board.stamped(KILLED):
        time.sleep(0.0002)
    _receive(stage, box)


def survivor_receives(stage: Stage) -> None:
    box = stage.box()
    stage.board.stamp(WAITING)
    _receive(stage, box)


def _receive(stage: Stage, box: Any) -> None:
    with box.receive(timeout_secs=PATIENCE_SECS) as lease:
        stage.board.stamp(DONE)
        values = lease.array
        if not (values == 7.0).all():
            raise Wrong(f"the message is torn: {np.unique(values)}")
        del values
    box.close()


def survivor_pushes(stage: Stage) -> None:
    ring = stage.ring()
    stage.board.stamp(WAITING)
    if not ring.push(make_records(2, 0, 1), timeout_secs=PATIENCE_SECS):
        raise Wrong("a dead subscriber keeps a lossless ring full")
    stage.board.stamp(DONE)
    ring.close()


def _publish(box: Any, value: float) -> None:
    loan = box.loan(SHAPE, "float32", timeout_secs=PATIENCE_SECS)
    loan.array[:] = value
    loan.publish(stamp_ns=time.monotonic_ns(), sequence=0)


def no_cue(stage: Stage) -> None:
    """The kill is all there is."""


def cue_message(stage: Stage) -> None:
    _publish(stage.cue_box, 7.0)


SCENES: dict[str, tuple[Callable[[Stage], None], Callable[[Stage], None], Callable[[Stage], None]]] = {
    "holding every slot on loan": (victim_with_loans, survivor_loans, no_cue),
    "holding every slot on lease": (victim_with_leases, survivor_loans, no_cue),
    "waiting for a message": (victim_waiting_for_a_message, survivor_receives, cue_message),
    "having published": (victim_that_published, survivor_receives_later, no_cue),
    "subscribed to a full ring": (victim_that_reads_no_more, survivor_pushes, no_cue),
}
#: Those in which the survivor waits for what the dead one held.
REAPED = ("holding every slot on loan", "holding every slot on lease", "subscribed to a full ring")


def run(num_each: int, seed: int) -> dict[str, list[Waited]]:
    """By scene; all scenes in turn, `num_each` times."""
    from sage.mailbox import RealClock
    from sage.mailbox.shared import SharedFocus, SharedPeripheral

    with tempfile.TemporaryDirectory() as folder:
        stage = Stage(Path(folder), seed)
        clock = RealClock()
        box = SharedFocus.create(
            f"{stage.name}-box", slots=NUM_SLOTS, slot_bytes=SLOT_ITEMS * 4, policy="block", clock=clock
        )
        stage.cue_box = box
        ring = SharedPeripheral.create(
            f"{stage.name}-ring", capacity=RING_CAPACITY, mode="lossless", clock=clock
        )
        try:
            report: dict[str, list[Waited]] = {scene: [] for scene in SCENES}
            for _ in range(num_each):
                for scene, parts in SCENES.items():
                    report[scene].append(_play(stage, scene, parts))
        finally:
            stage.crowd.end()
            for each in (box, ring):
                each.close()
                each.unlink()
    demand_nothing_left(stage.name)
    return report


def _play(stage: Stage, scene: str, parts: Any) -> Waited:
    try:
        return stage.play(*parts)
    except Wrong as error:
        raise Wrong(f"victim {scene}: {error}") from error


def kills(num_each: int, seed: int = 0) -> dict[str, list[Waited]]:
    """`run` in a process of its own, which has no threads. RuntimeError with the reason when anything was
    wrong.
    """
    command = [sys.executable, __file__, str(num_each), str(seed)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise RuntimeError(f"kills at chosen points:\n{done.stderr.strip()}")
    report = json.loads(done.stdout.splitlines()[-1])
    return {scene: [Waited(**each) for each in waits] for scene, waits in report.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("num_each", type=int, help="trials of each scene")
    parser.add_argument("seed", type=int)
    arguments = parser.parse_args()
    try:
        report = run(arguments.num_each, arguments.seed)
        print(json.dumps({scene: [asdict(each) for each in waits] for scene, waits in report.items()}))
    except Wrong as error:
        sys.exit(f"wrong: {error}")


if __name__ == "__main__":
    main()
