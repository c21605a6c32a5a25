from __future__ import annotations

import signal

import pytest

from sage.exit_status import how_it_ended


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "ended with status 0"),
        (3, "ended with status 3"),
        (-signal.SIGKILL, "was ended by SIGKILL"),
        (-signal.SIGRTMIN, "was ended by SIGRTMIN"),
        (-(signal.SIGRTMIN + 6), f"was ended by signal {signal.SIGRTMIN + 6}"),
        (-200, "was ended by signal 200"),
    ],
)
def test_an_end_in_words(code: int, words: str) -> None:
    """A real-time signal without a name ended the session."""
    assert how_it_ended(code) == words
