"""Functions that answer by a script, for tests of what uses language models. They are not models.

A prompt is "SPEAKER: QUESTION". Invariant: an answer depends on the prompt alone; honest speakers give the
same fact for the same question, each in words of its own.
"""

from __future__ import annotations

from zlib import crc32

_PLACES = ("kitchen", "garden", "cellar", "workshop", "attic", "garage", "hall", "study")
_THINGS = ("lamp", "door", "window", "engine", "kettle", "radio", "heater", "fan")
_STATES = ("red", "open", "broken", "warm", "silent", "wet", "spinning", "empty")
_WORDINGS = (
    "The {thing} in the {place} is {state}.",
    "In the {place} the {thing} is {state} now.",
    "{state}: that is the {thing} of the {place}.",
    "I see that the {thing} in the {place} is {state}",
)


def honest(prompt: str) -> str:
    """The fact of the question, in one of four wordings by the speaker."""
    speaker, _, question = prompt.partition(":")
    return _said(question, crc32(speaker.encode() + question.encode()))


def liar(prompt: str) -> str:
    """Another fact, which differs from question to question."""
    speaker, _, question = prompt.partition(":")
    return _said(f"{question} but not that", crc32(speaker.encode() + question.encode()))


def contrary(prompt: str) -> str:
    """The right thing in the right place, and always the wrong state."""
    speaker, _, question = prompt.partition(":")
    drawn = crc32(question.encode())
    wrong = _STATES[(_state(drawn) + 1 + drawn % (len(_STATES) - 1)) % len(_STATES)]
    return _said(question, crc32(speaker.encode() + question.encode()), state=wrong)


def is_right(text: str, prompt: str) -> bool:
    """A checker: whether the text has the place, the thing and the state of the question's fact."""
    drawn = crc32(prompt.partition(":")[2].encode())
    return all(word in text for word in (_PLACES[drawn % 8], _THINGS[drawn // 8 % 8], _STATES[_state(drawn)]))


def _state(drawn: int) -> int:
    return drawn // 64 % len(_STATES)


def _said(question: str, wording: int, state: str = "") -> str:
    drawn = crc32(question.encode())
    return _WORDINGS[wording % len(_WORDINGS)].format(
        place=_PLACES[drawn % 8], thing=_THINGS[drawn // 8 % 8], state=state or _STATES[_state(drawn)]
    )
