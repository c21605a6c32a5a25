"""What the trainer's process does with an experience that its store has no room for."""

from __future__ import annotations

from collections import deque
from types import SimpleNamespace

import numpy as np

from sage.runtime.sleep.puzzles.process.wire import experience_size, write_experience
from sage.runtime.sleep.puzzles.process.worker import TrainerProcess
from tests.runtime.sleep.puzzles.conftest import Feed


class Store:
    """Has room for no experience while `problem` is set."""

    def __init__(self) -> None:
        self.noted = self.acknowledged = 0
        self.problem = ""
        self.numbers: list[int] = []

    def note(self, number: int, experience: object) -> bool:
        if self.problem:
            return False
        self.noted = number
        self.numbers.append(number)
        return True


class Lease(SimpleNamespace):
    """A message that goes back to its writer at the end of the block."""

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None:
        self.array[:] = 0


class Experiences:
    """A mailbox with these messages."""

    def __init__(self, messages: list[np.ndarray]) -> None:
        self.waiting = deque(enumerate(messages, start=1))

    def try_receive(self):
        return self._lease(*self.waiting.popleft()) if self.waiting else None

    def _lease(self, number: int, message: np.ndarray) -> Lease:
        return Lease(meta=SimpleNamespace(sequence=number), array=message)


def test_one_without_room_waits_and_none_is_taken_before_it(feed: Feed) -> None:
    messages = []
    for experience in feed(3):
        messages.append(np.zeros(experience_size(16), np.int64))
        write_experience(messages[-1], experience)
    process = object.__new__(TrainerProcess)
    process._store, process._experiences = Store(), Experiences(messages)
    process._board = SimpleNamespace()
    process._trainer = SimpleNamespace(num_steps=0, loss=0.0)
    process._refused, process._save_problems = None, {}
    process._store.problem = "no space"
    for _ in range(2):
        process._take_experiences(0.0)
        process._report()
        assert (process._store.numbers, len(process._experiences.waiting)) == ([], 2)
        assert process._board.problem == "no space"
    process._store.problem = ""
    process._take_experiences(0.0)
    process._report()
    assert process._store.numbers == [1, 2, 3]
    assert process._board.problem == ""


def test_a_disk_without_room_for_weights_is_a_problem() -> None:
    process = object.__new__(TrainerProcess)
    process._store = Store()
    process._board = SimpleNamespace()
    process._trainer = SimpleNamespace(num_steps=0, loss=0.0)
    process._save_problems = {}

    def full() -> None:
        raise OSError(28, "No space left on device")

    process._save("weights", full)
    process._save("memory", lambda: None)
    process._report()
    assert "No space left on device" in process._board.problem
    process._save("weights", lambda: None)
    process._report()
    assert process._board.problem == ""


def test_a_result_that_waited_for_a_slot_is_of_its_own_night() -> None:
    """Aborted before it was sent, it was sent as the result of the next night."""
    process = object.__new__(TrainerProcess)
    published: list[tuple[object, int]] = []
    rooms = iter([False, True])

    def publish(offer: object, *, night: int) -> bool:
        published.append((offer, night))
        return next(rooms)

    process._publish = publish
    process._trainer = SimpleNamespace(
        is_sleeping=False, begin_night=lambda tick: None, practise=lambda: False
    )
    process._board = SimpleNamespace(night=(4, 80), is_paused=False)
    process._unsent, process._night = ("of the third", 3), 3
    for _ in range(3):
        process._work()
    assert published == [("of the third", 3), ("of the third", 3)]
    assert (process._unsent, process._night) == (None, 4)
