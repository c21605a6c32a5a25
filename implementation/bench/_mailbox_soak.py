"""Stress of the shared ring: producer and consumer processes, killed and stopped at random, for a million
records; every byte of each is a function of (producer, sequence).

Invariant: any error ends the run with its reason. Errors are: a torn or foreign record; one delivered twice
or out of its producer's order; an unreported loss, or a reported loss that did not happen; producers that no
longer make progress, or a process that does not end; files left in /dev/shm.

Workers are forked from this process, which has no threads and has compiled everything: a restart takes
milliseconds. `soak` runs this file as a script for that reason.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from _mailbox_crowd import Board, Crowd, Wrong
from _mailbox_witness import Witness, compare, make_records

CAPACITY = 1024
MAX_PUSH, MAX_POP = 64, 256
STEP_SECS = 0.2  # a push or pop waits so long before it looks whether the run is over
PATIENCE_SECS = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SoakPlan:
    """At least `num_messages` pushed and `num_kills` kills, and no longer than `max_secs`."""

    mode: str = "lossy"
    num_messages: int = 1_000_000
    num_kills: int = 100
    max_secs: float = 300.0
    seed: int = 0
    num_producers: int = 3
    num_witnesses: int = 2  # from the first record to the last, stopped but never killed
    num_victims: int = 1  # consumers that may be killed; others take their place


def soak(plan: SoakPlan) -> dict[str, Any]:
    """What happened, counted. RuntimeError with the reason when anything was wrong."""
    command = [sys.executable, __file__, json.dumps(asdict(plan))]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise RuntimeError(f"soak of {plan}:\n{done.stderr.strip()}")
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report


def run(plan: SoakPlan) -> dict[str, Any]:
    """The soak itself, in this process."""
    from sage.mailbox import RealClock
    from sage.mailbox.shared import SharedPeripheral

    name = f"soak-{os.getpid()}"
    ring = SharedPeripheral.create(name, capacity=CAPACITY, mode=plan.mode, clock=RealClock())
    try:
        with tempfile.TemporaryDirectory() as folder:
            report = _Soak(plan, name, Path(folder)).run()
    finally:
        ring.close()
        ring.unlink()
    demand_nothing_left(name)
    return report


def demand_nothing_left(name: str) -> None:
    """Wrong when /dev/shm still holds anything of that name."""
    if left := sorted(each for each in os.listdir("/dev/shm") if name in each):
        raise Wrong(f"left in /dev/shm: {left}")


class _Soak:
    def __init__(self, plan: SoakPlan, name: str, folder: Path) -> None:
        self._plan, self._name, self._folder = plan, name, folder
        self._chance = random.Random(plan.seed)
        self._board = Board(folder / "board")
        self._crowd = Crowd(folder)
        self._num_kills = self._num_stops = 0
        self._best, self._best_at = 0, time.monotonic()

    def run(self) -> dict[str, Any]:
        try:
            return self._run()
        finally:
            self._crowd.end()

    def _run(self) -> dict[str, Any]:
        plan, started = self._plan, time.monotonic()
        warm_up(self._name, plan.mode)
        for index in range(plan.num_witnesses):
            self._start(f"witness-{index}", self._consume, index)
        for index in range(plan.num_witnesses):
            self._crowd.wait_for_stamp(self._board, index, "a consumer subscribes", PATIENCE_SECS)
        for index in range(plan.num_producers):
            self._start_producer(f"producer-{index}")
        for index in range(plan.num_victims):
            self._start(f"victim-{index}", self._consume, None)
        while self._is_unfinished() and time.monotonic() - started < plan.max_secs:
            self._disturb()
            self._crowd.raise_what_failed()
            self._demand_progress()
        self._end()
        return self._judge(time.monotonic() - started)

    def _is_unfinished(self) -> bool:
        return (
            self._board.num_acknowledged() < self._plan.num_messages or self._num_kills < self._plan.num_kills
        )

    def _start(self, role: str, work: Callable[..., None], *arguments: Any) -> None:
        self._crowd.start(role, lambda: work(*arguments))

    def _start_producer(self, role: str) -> None:
        incarnation = self._board.next_incarnation()
        self._start(role, self._produce, incarnation)

    def _disturb(self) -> None:
        """One fault at a random moment: a kill and a successor, or a stop for a while."""
        time.sleep(self._chance.expovariate(1 / 0.01))
        role = self._chance.choice(sorted(self._crowd.roles()))
        if role.startswith("witness") or self._chance.random() < 0.4:
            self._crowd.stop_for(role, self._chance.uniform(0.001, 0.02))
            self._num_stops += 1
            return
        self._crowd.kill(role)
        self._num_kills += 1
        if role.startswith("producer"):
            self._start_producer(role)
        else:
            self._start(role, self._consume, None)

    def _demand_progress(self) -> None:
        now, done = time.monotonic(), self._board.num_acknowledged()
        if done > self._best:
            self._best, self._best_at = done, now
        elif now - self._best_at > PATIENCE_SECS:
            raise Wrong(f"nobody pushed anything for {PATIENCE_SECS:g} s, {done} records so far")

    def _end(self) -> None:
        self._board.phase = Board.PRODUCERS_END
        self._crowd.join("producer", PATIENCE_SECS)
        self._board.phase = Board.ALL_END
        self._crowd.join("", PATIENCE_SECS)

    def _judge(self, took_secs: float) -> dict[str, Any]:
        plan = self._plan
        report = [
            json.loads((self._folder / f"witness-{index}.json").read_text())
            for index in range(plan.num_witnesses)
        ]
        total = compare(report, self._board, is_lossless=plan.mode == "lossless")
        return {
            "mode": plan.mode,
            "secs": took_secs,
            "num_pushed": total,
            "num_producers": self._board.num_incarnations,
            "num_kills": self._num_kills,
            "num_stops": self._num_stops,
            "delivered": [each["num_delivered"] for each in report],
            "lost": [each["num_lost"] for each in report],
        }

    def _produce(self, incarnation: int) -> None:
        ring = attach(self._name)
        board, chance, sequence = self._board, random.Random(f"{self._plan.seed} {incarnation}"), 0
        while board.phase == Board.RUNNING:
            num = chance.choice((1, 1, 2, 7, 33, MAX_PUSH))
            records = make_records(incarnation, sequence, num)
            board.intend(incarnation, sequence + num)
            sequence += ring.push_many(records) or ring.push(records[:1], timeout_secs=STEP_SECS)
            board.acknowledge(incarnation, sequence)
        board.intend(incarnation, sequence)
        ring.close()

    def _consume(self, index: int | None) -> None:
        """A witness (with an index) tells at its end what it saw; another consumer only finds faults."""
        ring = attach(self._name)
        subscription = ring.subscribe(start="latest" if index is None else "oldest")
        witness, board = Witness(is_from_start=index is not None), self._board
        if index is not None:
            board.stamp(index)
        while True:
            is_over = board.phase == Board.ALL_END
            batch = subscription.pop_many(MAX_POP, timeout_secs=0.0 if is_over else STEP_SECS)
            witness.see(batch.records, lost=batch.lost, first_ticket=batch.first_ticket)
            if is_over and not len(batch):
                break
        if index is not None:
            (self._folder / f"witness-{index}.json").write_text(json.dumps(witness.tell()))
        ring.close()


def attach(name: str) -> Any:
    from sage.mailbox import RealClock
    from sage.mailbox.shared import SharedPeripheral

    return SharedPeripheral.attach(name, clock=RealClock())


def warm_up(name: str, mode: str) -> None:
    """Every kernel is loaded before the first fork."""
    from sage.mailbox import RealClock
    from sage.mailbox.shared import SharedPeripheral

    ring = SharedPeripheral.create(f"{name}-warm", capacity=CAPACITY, mode=mode, clock=RealClock())
    subscription = ring.subscribe(start="oldest")
    ring.push_many(make_records(0, 0, 2))
    subscription.pop_many(MAX_POP, timeout_secs=0.0)
    ring.close()
    ring.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plan", help="a SoakPlan as JSON")
    plan = SoakPlan(**json.loads(parser.parse_args().plan))
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # forked workers do not outlive it
    try:
        print(json.dumps(run(plan)))
    except Wrong as error:
        sys.exit(f"wrong: {error}")


if __name__ == "__main__":
    main()
