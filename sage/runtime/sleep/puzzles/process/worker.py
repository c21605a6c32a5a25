"""The trainer's process: `python -m sage.runtime.sleep.puzzles.process.worker FOLDER`, which has job.json.

One thread of computation at nice 10.

Invariant: it ends when the loop stops it or has ended; Ctrl-C ends the loop, not this process. An experience
is acknowledged once it is on the disk.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from sage.errors import InputError, SageError
from sage.mailbox.clock import RealClock
from sage.mailbox.errors import MailboxEmpty
from sage.mailbox.shared.focus.mailbox import SharedFocus
from sage.mailbox.shared.memory.identity import end_with, is_alive
from sage.runtime.sleep.puzzles.process.board import FAILED, RUNNING, Board
from sage.runtime.sleep.puzzles.process.plan import TrainerJob, TrainerLink, read_job, read_link
from sage.runtime.sleep.puzzles.process.wire import offer_bytes, read_experience, write_offer
from sage.runtime.sleep.puzzles.store import WEIGHTS, TrainerStore, load_weights
from sage.runtime.solving.learner import Offer, PuzzleExperience

#: Of a process without anything to learn from.
IDLE_SECS = 0.05
FIRST_SNAPSHOT_SECS, SNAPSHOT_SECS = 30.0, 60.0
NICE = 10
_log = logging.getLogger(__name__)


class TrainerProcess:
    """Takes experiences, practises, offers weights, sleeps when asked, until the loop stops it.

    folder: of the TrainerStore.
    """

    def __init__(self, folder: Path, job: TrainerJob, link: TrainerLink, board: Board) -> None:
        self._config, self._parent = job.setup.config, job.parent
        self._board = board
        clock = RealClock()
        self._trainer = job.setup.build()
        self._store = TrainerStore(folder, self._trainer, run=link.run, epoch_ns=link.epoch_ns)
        weights, num_steps = load_weights(folder / WEIGHTS)
        self._trainer.load(weights, num_steps=num_steps)
        self._experiences = SharedFocus.attach(link.experiences, clock=clock, engine="plain")
        self._offers = SharedFocus.attach(link.offers, clock=clock, engine="plain")
        self._offer_bytes = offer_bytes(self._trainer.weights(), (self._trainer.stream, *self._trainer.names))
        self._night = 0
        self._unsent: tuple[Offer, int] | None = None  # with the number of its night
        now = time.monotonic()
        self._offer_at = now + self._config.offer_secs
        self._snapshot_at = now + FIRST_SNAPSHOT_SECS
        self._num_steps_offered = 0
        self._sequence = 0
        self._refused: tuple[int, PuzzleExperience] | None = None
        self._save_problems: dict[str, str] = {}

    def run(self) -> None:
        self._board.state = RUNNING
        while not self._board.must_stop and is_alive(self._parent):
            self._board.num_rounds += 1
            is_idle = not self._work()
            self._take_experiences(IDLE_SECS if is_idle else 0.0)
            self._save_memory_if_due()
            self._report()
        self._store.close()
        self._report()

    def _work(self) -> bool:
        """A step of practice or a slice of a night; False where there is nothing to do."""
        trainer, board = self._trainer, self._board
        if self._unsent is not None:
            offer, night = self._unsent
            self._unsent = None if self._publish(offer, night=night) else self._unsent
        number, tick = board.night
        if number > self._night:
            self._night = number
            trainer.begin_night(tick)
            board.night_under_way = number
        if trainer.is_sleeping:
            if board.aborted >= self._night:
                trainer.abort_night()
                board.night_under_way = 0
            else:
                ended = trainer.advance_night()
                if ended is not None:
                    self._end_night(ended)
            return True
        if board.is_paused or not trainer.practise():
            return False
        is_new = trainer.num_steps > self._num_steps_offered
        if is_new and time.monotonic() >= self._offer_at:
            self._offer(trainer.offer())
        return True

    def _end_night(self, offer: Offer) -> None:
        """Weights first: a kill before they are on the disk leaves memory as before the night, one after that
        the weights, which state what the night has examined; a search's solutions are then found again.
        """
        self._board.night_under_way = 0
        self._save_weights(offer)
        self._save("memory", self._store.save_memory)
        self._unsent = (offer, self._night)

    def _offer(self, offer: Offer) -> None:
        """Save the weights, then publish them. Practice that finds no slot is not offered."""
        self._save_weights(offer)
        self._publish(offer, night=0)

    def _save_weights(self, offer: Offer) -> None:
        self._offer_at = time.monotonic() + self._config.offer_secs
        self._num_steps_offered = offer.num_steps
        weights = offer.weights
        assert weights is not None
        self._save("weights", lambda: self._store.save_weights(weights))

    def _save(self, name: str, save: Callable[[], None]) -> None:
        """On a full disk the file of before stays, the journal goes on, and it is tried again."""
        self._save_problems[name] = ""
        try:
            save()
        except OSError as error:
            self._save_problems[name] = str(error)

    def _publish(self, offer: Offer, *, night: int) -> bool:
        """Weights as one loan; False without a free slot. night: its number, 0 for practice."""
        loan = self._offers.try_loan((self._offer_bytes,), "uint8")
        if loan is None:
            return False
        self._sequence += 1
        with loan:
            write_offer(loan.array, offer, night=night)
            loan.publish(stamp_ns=time.monotonic_ns(), sequence=self._sequence)
        return True

    def _take_experiences(self, timeout_secs: float) -> None:
        """All that have arrived; with none, wait for one. A message's sequence is the experience's number.

        One that the store has no room for is kept, and no other is taken before it.
        """
        if self._refused is not None and not self._note(*self._refused):
            time.sleep(timeout_secs)
            return
        try:
            lease = (
                self._experiences.receive(timeout_secs=timeout_secs)
                if timeout_secs
                else self._experiences.try_receive()
            )
        except MailboxEmpty:
            return
        while lease is not None:
            with lease:
                number = lease.meta.sequence
                try:
                    is_noted = self._note(number, read_experience(lease.array))
                except SageError as error:
                    _log.warning("experience %d is left out: %s", number, error)
                    is_noted = True
            lease = self._experiences.try_receive() if is_noted else None

    def _note(self, number: int, experience: PuzzleExperience) -> bool:
        """False where the store has no room for it."""
        try:
            is_noted = self._store.note(number, experience) or self._store.noted >= number
        except InputError as error:  # of a level that the stream does not have
            _log.warning("experience %d is left out: %s", number, error)
            is_noted = True
        self._refused = None if is_noted else (number, experience)
        return is_noted

    def _save_memory_if_due(self) -> None:
        if time.monotonic() < self._snapshot_at:
            return
        self._snapshot_at = time.monotonic() + SNAPSHOT_SECS
        self._save("memory", self._store.save_memory)

    def _report(self) -> None:
        self._board.acknowledged = self._store.acknowledged
        problems = (self._store.problem, *self._save_problems.values())
        self._board.problem = next(filter(None, problems), "")
        self._board.num_steps = self._trainer.num_steps
        self._board.loss = self._trainer.loss


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    folder = Path(sys.argv[1])
    link, job = read_link(folder), read_job(folder)
    end_with(job.parent)
    import torch

    torch.set_num_threads(1)
    board = Board.attach(link.board)
    os.nice(NICE)  # after the imports, so that a loaded machine does not delay the first step
    try:
        TrainerProcess(folder, job, link, board).run()
    except Exception as error:  # the top of a process: reported to the loop, which counts and shows it
        text = str(error) if isinstance(error, SageError) else f"{type(error).__name__}: {error}"
        board.fail(text, FAILED)
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    main()
