"""Segments, tries and halting of solving. Imports no torch.

Invariant: settings that exist can be run; an invalid one raises InputError with the field's name.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal, get_args

from sage.errors import InputError

Halt = Literal["q", "verifier", "never"]
MAX_SEGMENTS = 4096
MAX_TRIES = 4096
#: Of an answer, before the Q head ends a try. Shipped models, 1,000 unseen puzzles, 16 segments at most,
#: solved at 0.5, at 0.9 and never halted: sudoku9 76.8, 88.9, 89.9%, after 3.9, 4.6 and 16 segments; sudoku6
#: 91.1, 98.9, 99.3%, after 1.8, 2.1 and 16.
MIN_CONFIDENCE = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class SolveSettings:
    """max_segments: segments of one try at most.  halt: what ends a try sooner: the Q head, the task's
    verifier, nothing.
    min_confidence: of an answer, sigmoid(q_halt), before the Q head ends a try; 0 leaves it to the head's own
    rule. A try whose answers all stay below it gives the one that the head trusted most.
    tries: the first is the plain one; each further one adds noise to z_H and z_L before every segment and
    stands for itself; the first that the verifier accepts is the answer, else the one the Q head trusts most.
    noise_std: of that noise; 0.3 as in PTRM (arXiv 2605.19943).  seed: of that noise.
    abstains: no answer instead of one that the verifier refuses."""

    max_segments: int = 16
    halt: Halt = "q"
    min_confidence: float = MIN_CONFIDENCE
    tries: int = 1
    noise_std: float = 0.3
    seed: int = 0
    abstains: bool = False

    def __post_init__(self) -> None:
        _need_count("max_segments", self.max_segments, MAX_SEGMENTS)
        _need_count("tries", self.tries, MAX_TRIES)
        if self.halt not in get_args(Halt):
            raise InputError(f"halt is {self.halt!r}: give one of {', '.join(get_args(Halt))}")
        if not _is_number(self.min_confidence) or not 0 <= self.min_confidence < 1:
            raise InputError(f"min_confidence is {self.min_confidence!r}: give a number from 0 to below 1")
        if not _is_number(self.noise_std) or not 0 < self.noise_std <= 10:
            raise InputError(f"noise_std is {self.noise_std!r}: give a number above 0, to 10")
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or not 0 <= self.seed < 2**63:
            raise InputError(f"seed is {self.seed!r}: give a whole number from 0 to 2^63 - 1")
        if type(self.abstains) is not bool:
            raise InputError(f"abstains is {self.abstains!r}: give true or false")

    @property
    def needs_verifier(self) -> bool:
        return self.halt == "verifier" or self.abstains

    def changed(self, **changes: Any) -> SolveSettings:
        """A copy with some fields changed. InputError for an unknown name."""
        names = [field.name for field in dataclasses.fields(self)]
        for name in changes:
            if name not in names:
                raise InputError(f"{name}: unknown setting: give one of {', '.join(names)}")
        return dataclasses.replace(self, **changes)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _need_count(name: str, value: object, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise InputError(f"{name} is {value!r}: give a whole number from 1 to {most}")


#: One plain try of at most 16 segments, ended by the Q head.
USUAL = SolveSettings()
