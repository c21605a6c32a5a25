"""Segments, tries, halting and search of solving. Imports no torch.

Invariant: settings that exist can be run; an invalid one raises InputError with the field's name.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal, get_args

from sage.errors import InputError

Halt = Literal["q", "verifier", "never"]
#: Which blank cell a search branches on: the one whose second choice is most probable; whose first and second
#: choice are closest; with the fewest probable symbols.
Branching = Literal["second", "margin", "fewest"]
#: What a search ranks choices by: the model, or random numbers in its place, as a control.
Scorer = Literal["model", "uniform"]
#: What makes a further try differ from the first: noise before every segment, or a random start.
Variation = Literal["noise", "start"]
#: Which answer is given where none is verified: the one of the highest q, or of the smallest residual.
Pick = Literal["q", "residual"]
MAX_SEGMENTS = 4096
#: Keep probability under which a candidate is removed. A search goes back, but rarely to before a wrong
#: removal: on real 9x9 puzzles at 64 calls 0.01 solves 68% of 100, 0.001 89%, none removed 84%. Chains
#: end only where every cell is decided: 6x6 sudoku, 8 chains within 64 calls, no rules: at 0.05 all of 100
#: puzzles end decided, after 21 calls; at 0.02, five; at 0.01, none.
SEARCH_KILLS_BELOW, CHAINS_KILL_BELOW = 0.001, 0.05
MAX_TRIES = 4096
MAX_CALLS = 65_536
MAX_WIDTH = 1024
#: Of search_seconds: a year.
MAX_SECONDS = 31_536_000
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
    variation: "start": further tries have no noise, they start from normal numbers of standard deviation
    start_std in place of H_init and L_init (EqR, arXiv 2605.21488); for models trained with random_start.
    pick: "residual": without a verified answer, that of the try whose state changed least in the segment that
    gave it (root mean square of z_H and z_L after it minus before it); with halt "never", the last segment.
    abstains: no answer instead of one that the verifier refuses.
    search: model calls of the search at most, after tries without a verified answer; 0: no search. A call is
    one row through its segments; the plain try is the first. Only for a task with a PartialCheck.
    search_segments: segments of each further call.  search_width: calls of one puzzle that run together.
    search_seconds: of wall time of one puzzle's search, checked after every `search_width` calls; None: no
    limit, so that results are reproducible.
    branching, scorer: see their types.  conflict_weight: of softplus(conflict) in the rank of a node, where
    the model has a conflict head.  line_weight: in the same rank, of the largest difference from 1 of a
    symbol's probabilities summed over a line in which it stands once (tasks with exclusive_lines).
    kill_below: keep probability under which a model with deduction heads removes a candidate; 0: it removes
    none; None: SEARCH_KILLS_BELOW, for chains CHAINS_KILL_BELOW.
    chains: chains of deductions and guesses in place of the best-first search, for a model with deduction
    heads; 0: none. Without a verifier the conflict head accepts the answer, or there is none.
    conflict_above: the probability from which a chain starts again.  temperature: of a chain's guesses."""

    max_segments: int = 16
    halt: Halt = "q"
    min_confidence: float = MIN_CONFIDENCE
    tries: int = 1
    noise_std: float = 0.3
    variation: Variation = "noise"
    start_std: float = 1.0
    pick: Pick = "q"
    seed: int = 0
    abstains: bool = False
    search: int = 0
    search_segments: int = 6
    search_width: int = 4
    search_seconds: float | None = None
    branching: Branching = "second"
    scorer: Scorer = "model"
    conflict_weight: float = 1.0
    line_weight: float = 4.0
    kill_below: float | None = None
    chains: int = 0
    conflict_above: float = 0.6
    temperature: float = 1.5

    def __post_init__(self) -> None:
        _need_count("max_segments", self.max_segments, MAX_SEGMENTS)
        _need_count("tries", self.tries, MAX_TRIES)
        _need_count("search", self.search, MAX_CALLS, least=0)
        _need_count("chains", self.chains, MAX_WIDTH, least=0)
        _need_count("search_segments", self.search_segments, MAX_SEGMENTS)
        _need_count("search_width", self.search_width, MAX_WIDTH)
        for name, kind in (
            ("halt", Halt),
            ("branching", Branching),
            ("scorer", Scorer),
            ("variation", Variation),
            ("pick", Pick),
        ):
            if getattr(self, name) not in get_args(kind):
                raise InputError(
                    f"{name} is {getattr(self, name)!r}: give one of {', '.join(get_args(kind))}"
                )
        secs = self.search_seconds
        if secs is not None and not (_is_number(secs) and 0 < secs <= MAX_SECONDS):
            raise InputError(
                f"search_seconds is {secs!r}: give a number of seconds above 0, to {MAX_SECONDS:,}, or none"
            )
        for name in ("conflict_weight", "line_weight"):
            if not _is_number(getattr(self, name)) or not 0 <= getattr(self, name) <= 1000:
                raise InputError(f"{name} is {getattr(self, name)!r}: give a number from 0 to 1000")
        if self.chains and not self.search:
            raise InputError(f"chains is {self.chains}: give search, the calls that they may take")
        for name in ("kill_below", "conflict_above"):
            value = getattr(self, name)
            if name == "kill_below" and value is None:
                continue
            if not _is_number(value) or not 0 <= value <= 1:
                raise InputError(f"{name} is {value!r}: give a number from 0 to 1")
        if not _is_number(self.temperature) or not 0 < self.temperature <= 100:
            raise InputError(f"temperature is {self.temperature!r}: give a number above 0, to 100")
        if not _is_number(self.min_confidence) or not 0 <= self.min_confidence < 1:
            raise InputError(f"min_confidence is {self.min_confidence!r}: give a number from 0 to below 1")
        for name in ("noise_std", "start_std"):
            if not _is_number(getattr(self, name)) or not 0 < getattr(self, name) <= 10:
                raise InputError(f"{name} is {getattr(self, name)!r}: give a number above 0, to 10")
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or not 0 <= self.seed < 2**63:
            raise InputError(f"seed is {self.seed!r}: give a whole number from 0 to 2^63 - 1")
        if type(self.abstains) is not bool:
            raise InputError(f"abstains is {self.abstains!r}: give true or false")

    @property
    def kills_below(self) -> float:
        """`kill_below`, or its default for the way of solving."""
        if self.kill_below is not None:
            return self.kill_below
        return CHAINS_KILL_BELOW if self.chains else SEARCH_KILLS_BELOW

    @property
    def needs_verifier(self) -> bool:
        return self.halt == "verifier" or self.abstains or (self.search > 0 and not self.chains)

    def changed(self, **changes: Any) -> SolveSettings:
        """A copy with some fields changed. InputError for an unknown name."""
        names = [field.name for field in dataclasses.fields(self)]
        for name in changes:
            if name not in names:
                raise InputError(f"{name}: unknown setting: give one of {', '.join(names)}")
        return dataclasses.replace(self, **changes)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _need_count(name: str, value: object, most: int, *, least: int = 1) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InputError(f"{name} is {value!r}: give a whole number from {least} to {most}")


#: A search that follows tries without a verified answer where nothing else is asked for: `sage solve`, HTTP.
USUAL_SEARCH = {"search": 64, "search_seconds": 5.0}
#: One plain try of at most 16 segments, ended by the Q head.
USUAL = SolveSettings()
