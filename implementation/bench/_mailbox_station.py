"""Two processes that talk by one peer, and their coordinator's handle on them.

Invariant: a station that fails or says nothing takes its own pair out of the run, with the reason, and nobody
else's.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import traceback
from contextlib import ExitStack, suppress
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Any

import _mailbox_workloads as workloads
from _mailbox_ends import WAIT_SECS, Peer, RecordEnds, Role, TensorEnds

OPEN_SECS = 120.0  # imports, and kernels compiled for the first time
END_SECS = 8.0  # then a station that will not end is killed
CONTEXT = multiprocessing.get_context("spawn")


class PairFailed(RuntimeError):
    """What one pair could not do; it takes no further part."""


class Station:
    """One process's side: opens its ends on request and runs workloads on them."""

    def __init__(self, peer: Peer, role: Role, wiring: Any, stack: ExitStack) -> None:
        self._peer, self._role, self._wiring, self._stack = peer, role, wiring, stack
        self._records: RecordEnds | None = None
        self._tensors: dict[int, TensorEnds | None] = {}

    def open_records(self) -> tuple[bool, bool]:
        """Whether the peer's own calls know several records at once, and whether messages may follow each
        other.
        """
        ends = self._records = self._peer.records(self._role, self._wiring, self._stack)
        return (False, False) if ends is None else (ends.has_bulk, ends.has_stream)

    def open_tensors(self, num_bytes: int) -> tuple[bool, bool]:
        """Whether it can place, and send."""
        ends = self._peer.tensors(self._role, self._wiring, num_bytes, self._stack)
        self._tensors[num_bytes] = ends
        return (False, False) if ends is None else (ends.place is not None, ends.send is not None)

    def on_records(self, work: str, num: int) -> Any:
        return None if self._records is None else getattr(workloads, work)(self._records, num)

    def on_tensors(self, work: str, num: int, num_bytes: int, is_copied: bool) -> Any:
        ends = self._tensors[num_bytes]
        return None if ends is None else getattr(workloads, work)(ends, num, num_bytes, is_copied=is_copied)


def serve(control: Connection, peer: Peer, role: Role, wiring: Any) -> None:
    """A station's process: executes calls until the end message."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _keep_to_own_cores(role)
    with ExitStack() as stack:
        station = Station(peer, role, wiring, stack)
        while (report := control.recv()) is not None:
            method, arguments = report
            try:
                control.send((True, getattr(station, method)(*arguments)))
            except Exception:
                control.send((False, traceback.format_exc()))


def _keep_to_own_cores(role: Role) -> None:
    """Near has the first half of the cores, far the second: else whether two processes share one is the
    scheduler's luck, and a hand-over on one core costs a fifth of one that wakes another."""
    cores = sorted(os.sched_getaffinity(0))
    half = len(cores) // 2
    if half:
        os.sched_setaffinity(0, cores[:half] if role == "near" else cores[half:])


class Pair:
    """Two stations of one peer. `both` runs a workload on far and near at once."""

    def __init__(self, peer: Peer) -> None:
        self.peer, self.name = peer, peer.name
        self._wiring = wiring = peer.wire(CONTEXT)  # kept: a queue's semaphores live as long as its maker
        self._controls: dict[Role, Connection] = {}
        self._processes = []
        for role in ("near", "far"):
            ours, theirs = CONTEXT.Pipe()
            process = CONTEXT.Process(target=serve, args=(theirs, peer, role, wiring), daemon=True)
            process.start()
            theirs.close()
            self._controls[role] = ours
            self._processes.append(process)

    def __enter__(self) -> Pair:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def each(self, method: str, *arguments: Any) -> dict[Role, Any]:
        """Near first, then far: what one creates the other finds."""
        report = {}
        for role in self._controls:
            self._tell(role, method, arguments)
            report[role] = self._answers([role], OPEN_SECS)[role]
        return report

    def both(self, method: str, near: str, far: str, *arguments: Any) -> dict[Role, Any]:
        self._tell("far", method, (far, *arguments))
        self._tell("near", method, (near, *arguments))
        return self._answers(["near", "far"])

    def tell_end(self) -> None:
        """Both stations end after their pending calls."""
        for control in self._controls.values():
            with suppress(OSError):
                control.send(None)

    def close(self) -> None:
        """Wait for their end, or make it."""
        self.tell_end()
        for process in self._processes:
            process.join(END_SECS)
            if process.is_alive() and process.pid is not None:
                os.kill(process.pid, signal.SIGKILL)
                process.join()
        for control in self._controls.values():
            control.close()

    def _tell(self, role: Role, method: str, arguments: tuple[Any, ...]) -> None:
        try:
            self._controls[role].send((method, arguments))
        except OSError as error:
            raise PairFailed(f"{self.name}: its {role} process is gone") from error

    def _answers(self, roles: list[Role], patience_secs: float = WAIT_SECS) -> dict[Role, Any]:
        """One answer of each; the first failure ends the pair."""
        waited = set(roles)
        report: dict[Role, Any] = {}
        while waited:
            ready = wait([self._controls[role] for role in waited], timeout=patience_secs)
            if not ready:
                raise PairFailed(
                    f"{self.name}: {' and '.join(sorted(waited))} said nothing for {patience_secs:g} s"
                )
            for role in [role for role in roles if role in waited and self._controls[role] in ready]:
                report[role] = self._receive(role)
                waited.remove(role)
        return report

    def _receive(self, role: Role) -> Any:
        try:
            is_done, value = self._controls[role].recv()
        except (EOFError, OSError) as error:
            raise PairFailed(f"{self.name}: its {role} process died") from error
        if not is_done:
            raise PairFailed(f"{self.name}, {role}: {value.strip()}")
        return value
