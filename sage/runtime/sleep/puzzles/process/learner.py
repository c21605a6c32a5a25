"""The loop's side of the trainer's process: starts it, feeds it, takes its offers and survives its end.

Invariant: no call waits for the process, except `close`, for a second at most. Experiences that are not
acknowledged are kept here and sent again to the next process, or written by `close`; a process that ended is
started again after a delay that doubles. One that makes no step for HUNG_SECS is killed.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from sage.errors import InputError
from sage.exit_status import how_it_ended
from sage.mailbox.clock import Clock
from sage.mailbox.handles import Lease
from sage.mailbox.hub import Hub
from sage.mailbox.shared.memory.identity import my_identity
from sage.runtime.report import SleepOutcome, SleepReport
from sage.runtime.sleep.puzzles.folders import folder_of_levels
from sage.runtime.sleep.puzzles.process.board import RUNNING, STARTING, Board
from sage.runtime.sleep.puzzles.process.plan import TrainerJob, TrainerLink, TrainerSetup, write_job
from sage.runtime.sleep.puzzles.process.stillness import Stillness
from sage.runtime.sleep.puzzles.process.wire import (
    experience_size,
    offer_bytes,
    read_offer,
    write_experience,
)
from sage.runtime.sleep.puzzles.store import WEIGHTS, append_rest, save_weights
from sage.runtime.solving.learner import LearnerFacts, Offer, PuzzleExperience

SLOTS, OFFER_SLOTS = 64, 4
#: Experiences that wait here for a process; more are lost and counted.
MAX_WAITING = 4096
FIRST_DELAY_SECS, LONGEST_DELAY_SECS = 0.5, 30.0
CLOSE_SECS = 0.9
#: Longer than a start, a step or a slice of a night takes on a slow machine.
HUNG_SECS = 300.0
#: What earlier versions left in the folder; nothing reads it.
FORMER_PLAN = "plan.pickle"
_log = logging.getLogger(__name__)


class ProcessLearner:
    """PuzzleLearner. folder: of the trainer's journal and weights; where it is of other levels, `open` takes
    another (folder_of_levels).  clock: of the loop.  hub: makes its two mailboxes, and closes them.

    InputError for settings that do not fit the models, or a task that another process cannot make.
    """

    def __init__(self, setup: TrainerSetup, folder: Path, hub: Hub, clock: Clock) -> None:
        trainer = setup.build()
        if (level := setup.level_without_address()) is not None:
            raise InputError(
                f"stream {setup.stream}: the task of {level} has no name and plain options that make it in"
                " another process: set solver_training.where to inline"
            )
        self._setup = setup
        self._folder = folder
        self._clock = clock
        weights = trainer.weights()
        self._shapes = {name: tensor.shape for name, tensor in weights.items()}
        self._room = max(task.spec.seq_len for task in setup.tasks)
        self._experiences = hub.shared_focus(
            f"{setup.stream}.experiences",
            slots=SLOTS,
            slot_bytes=8 * experience_size(self._room),
            policy="drop_newest",
        )
        self._offers = hub.shared_focus(
            f"{setup.stream}.offers",
            slots=OFFER_SLOTS,
            slot_bytes=offer_bytes(weights, (setup.stream, *setup.names)),
            policy="drop_newest",
        )
        self._board = Board.create(f"{self._experiences.name}.board")
        self._epoch_ns = 0
        self._run = int.from_bytes(os.urandom(7), "little")
        self._process: subprocess.Popen[bytes] | None = None
        self._waiting: deque[tuple[int, PuzzleExperience]] = deque()
        self._num_sent = 0
        self._num_noted = 0
        self._num_lost = 0
        self._num_restarts = 0
        self._delay_secs = FIRST_DELAY_SECS
        self._start_at_ns = 0
        self._stillness = Stillness()
        self._hung = ""
        self._night = 0
        self._night_tick = -1
        self._failed: Offer | None = None
        self._leases: list[Lease] = []
        self._is_closed = False
        self._last_facts = LearnerFacts()

    @property
    def pid(self) -> int | None:
        """Of the process, None between two."""
        return None if self._process is None else self._process.pid

    @property
    def folder(self) -> Path:
        """In use, known after `open`."""
        return self._folder

    @property
    def acknowledged(self) -> int:
        """Experiences that are on the disk, of those noted."""
        return self._board.acknowledged

    @property
    def problem(self) -> str:
        """Why the last process ended, "" while none did."""
        return self._board.error

    def open(self, weights: Mapping[str, Tensor]) -> None:
        self._folder = folder_of_levels(self._folder, self._setup.names, self._setup.tasks)
        self._folder.mkdir(parents=True, exist_ok=True)
        save_weights(self._folder / WEIGHTS, _on_host(weights), num_steps=0)
        self._epoch_ns = time.time_ns()
        link = TrainerLink(
            experiences=self._experiences.name,
            offers=self._offers.name,
            board=self._board.name,
            run=self._run,
            epoch_ns=self._epoch_ns,
        )
        write_job(self._folder, TrainerJob(setup=self._setup, parent=my_identity(), link=link))
        (self._folder / FORMER_PLAN).unlink(missing_ok=True)
        self._start()

    def note(self, experiences: Sequence[PuzzleExperience]) -> None:
        for experience in experiences:
            if len(self._waiting) >= MAX_WAITING:
                self._num_lost += 1
                continue
            self._num_noted += 1
            self._waiting.append((self._num_noted, experience))
        self._send()

    def work(self, deadline_ns: int) -> None:
        """Start the process again when it is due, kill one that hangs, and send what waits."""
        if self._is_closed:
            return
        if self._process is not None and self._process.poll() is not None:
            self._note_end(self._process.returncode)
        if self._process is not None and not self._hung:
            still_secs = self._stillness.look(self._board.num_rounds, self._clock.now_ns())
            if still_secs > HUNG_SECS:
                self._hung = f"the trainer's process made no step for {HUNG_SECS:g} s and was killed"
                self._process.kill()
        if self._process is None and self._clock.now_ns() >= self._start_at_ns:
            self._num_restarts += 1
            self._start()
        self._send()

    def collect(self) -> Offer | None:
        """A night's result before practice; of several offers of practice the newest."""
        for held in self._leases:
            held.release()
        self._leases.clear()
        found: Offer | None = None
        while (lease := self._offers.try_receive()) is not None:
            self._leases.append(lease)
            offer, night = read_offer(lease.tensor, self._shapes)
            if offer.kind == "night" and night != self._night:
                continue  # of a night that was aborted
            if found is None or found.kind == "practice":
                found = offer
        if found is not None:
            self._delay_secs = FIRST_DELAY_SECS
        if found is not None and found.kind == "night":
            self._end_night()
            self._failed = None
        elif found is None:
            found, self._failed = self._failed, None
        return found

    def begin_night(self, tick: int) -> None:
        self._night += 1
        self._night_tick = tick
        if self._board.state != RUNNING:  # the loop must not wait in DREAM for a process that starts
            self._failed = self._no_night(SleepOutcome.SKIPPED, "the trainer's process is not running yet")
            self._end_night()
            return
        self._board.ask_for_night(self._night, tick)

    def abort_night(self) -> None:
        self._board.aborted = self._night
        self._night += 1  # its result, if it is under way to here, is of no night
        self._end_night()

    def pause(self, is_paused: bool) -> None:
        self._board.is_paused = is_paused

    def facts(self) -> LearnerFacts:
        """After `close`: of the end."""
        if self._is_closed:
            return self._last_facts
        copied = self._experiences.statistics().bytes_copied + self._offers.statistics().bytes_copied
        return LearnerFacts(
            num_steps=self._board.num_steps,
            loss=self._board.loss,
            num_experiences=self._num_noted,
            num_lost=self._num_lost,
            num_restarts=self._num_restarts,
            bytes_copied=copied,
            is_sleeping=self._night_tick >= 0,
            problem=self._board.problem,
        )

    def close(self, weights: Mapping[str, Tensor] | None = None) -> None:
        """End the process, then write what it has not acknowledged, and `weights`: those that it offered last
        may have been refused, or may not have been taken yet. What cannot be written is lost.
        """
        if self._is_closed:
            return
        for held in self._leases:
            held.release()
        self._leases.clear()
        self._board.stop()
        if self._process is not None:
            try:
                self._process.wait(CLOSE_SECS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        acknowledged = self._board.acknowledged
        rest = [each for each in self._waiting if each[0] > acknowledged]
        self._num_lost += append_rest(self._folder, rest, run=self._run, epoch_ns=self._epoch_ns)
        self._waiting.clear()
        if weights is not None and self._epoch_ns:
            self._save(weights)
        self._last_facts = self.facts()
        self._is_closed = True
        self._board.unlink()
        self._board.close()

    def _save(self, weights: Mapping[str, Tensor]) -> None:
        try:
            save_weights(self._folder / WEIGHTS, _on_host(weights), num_steps=self._board.num_steps)
        except OSError as error:
            _log.error("%s: the weights of the end are not written: %s", self._folder, error)

    def _end_night(self) -> None:
        self._night_tick = -1
        self._board.ask_for_night(0, 0)

    def _start(self) -> None:
        """Experiences without an acknowledgement are sent again, in order; the store leaves out those that it
        has.
        """
        self._experiences.reap()
        self._offers.reap()
        while (unread := self._experiences.try_receive()) is not None:
            unread.release()
        self._num_sent = 0
        self._hung = ""
        self._stillness.restart(self._clock.now_ns())
        self._board.state = STARTING
        options = ["-P"] if sys.version_info >= (3, 11) else []
        try:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    *options,
                    "-m",
                    "sage.runtime.sleep.puzzles.process.worker",
                    str(self._folder.absolute()),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"},
            )
        except OSError as error:  # no memory or no process: tried again later
            _log.warning("trainer of %s cannot be started: %s", self._setup.stream, error)
            self._delay()

    def _note_end(self, code: int) -> None:
        self._process = None
        reason = self._hung or f"the trainer's process {how_it_ended(code)}"
        if self._board.error:
            reason = f"{reason}: {self._board.error}"
        _log.warning("%s: %s", self._setup.stream, reason)
        self._delay()
        if self._night_tick >= 0:
            self._failed = self._no_night(SleepOutcome.FAILED, reason)
            self._end_night()

    def _no_night(self, outcome: SleepOutcome, reason: str) -> Offer:
        """The result of a night that trained nothing."""
        report = SleepReport(
            outcome=outcome,
            reason=reason,
            tick=self._night_tick,
            num_replayed=0,
            num_examined=0,
            num_steps=0,
            stream=self._setup.stream,
        )
        return Offer(
            weights=None,
            kind="night",
            num_steps=self._board.num_steps,
            loss=self._board.loss,
            report=report,
        )

    def _delay(self) -> None:
        self._start_at_ns = self._clock.now_ns() + int(self._delay_secs * 1e9)
        self._delay_secs = min(LONGEST_DELAY_SECS, 2 * self._delay_secs)

    def _send(self) -> None:
        """Drop what is acknowledged, then write what was not sent into loans, as far as there is room."""
        acknowledged = self._board.acknowledged
        while self._waiting and self._waiting[0][0] <= acknowledged:
            self._waiting.popleft()
            self._num_sent = max(0, self._num_sent - 1)
        if self._board.state != RUNNING:
            return
        while self._num_sent < len(self._waiting):
            number, experience = self._waiting[self._num_sent]
            loan = self._experiences.try_loan((experience_size(self._room),), "int64")
            if loan is None:
                return
            with loan:
                write_experience(loan.array, experience)
                loan.publish(stamp_ns=self._clock.now_ns(), sequence=number)
            self._num_sent += 1


def _on_host(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu() for name, tensor in weights.items()}
