"""How a model with deduction heads is trained: the weights of its losses, and the states it is trained on.
Imports no torch.

Invariant: a value that is out of range is an InputError that names the field.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from sage.hrm_core.optim.config import require

#: How the cell of a guess is chosen: by the probability of its second choice, or any undecided cell alike.
PinKind = Literal["second", "uniform"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeductionConfig:
    """One step is a call of the model for every state of the pool, `loops` segments with a loss on each; then
    each state moves on by the model's own decisions (LDT, arXiv 2605.08605).

    loops: a segment of preset deduce is two calls of its layers, so 4 are LDT's 8 loops.
    gradient_loops: the segments in a row that a gradient crosses, from 1; a divisor of `loops`.
    keep_weight, kill_weight: of the binary cross entropy of a true and of a false candidate.
    cross_entropy_weight: of the softmax over the symbols of a cell and over the places of a symbol in a line.
    conflict_weight: of the conflict head.  kill_below: the keep probability under which a candidate goes.
    conflict_above: the probability from which a conflict ends a chain.  temperature: of the guessed symbol.
    pin_true: the share of guesses that take the true symbol.  pin: how the guessed cell is chosen.
    max_age: calls that a chain of states lasts at most; 1: only whole puzzles, no state of the model's own.
    max_lost: age from which a chain that lost the solution ends, after one call that sees the loss.
    fresh_carry: the share of states whose next call starts from a fresh hidden state, as solving does; the
    others keep that of the call before.
    pair_share: the share of the pool that consists of pairs, one state with a true and with a false guess.
    """

    loops: int = 4
    gradient_loops: int = 1
    keep_weight: float = 4.0
    kill_weight: float = 0.5
    cross_entropy_weight: float = 1.0
    conflict_weight: float = 0.1
    kill_below: float = 0.1
    conflict_above: float = 0.5
    temperature: float = 1.5
    pin_true: float = 0.6
    pin: PinKind = "second"
    max_age: int = 100
    max_lost: int = 8
    fresh_carry: float = 0.5
    pair_share: float = 0.25

    def __post_init__(self) -> None:
        for name in ("loops", "gradient_loops", "max_age", "max_lost"):
            value = getattr(self, name)
            is_count = type(value) is int and 1 <= value <= 4096
            require(is_count, f"deduction.{name}", value, "give a whole number from 1 to 4096")
        divides = self.loops % self.gradient_loops == 0
        require(divides, "deduction.gradient_loops", self.gradient_loops, f"give a divisor of {self.loops}")
        for name in ("keep_weight", "kill_weight", "cross_entropy_weight", "conflict_weight"):
            value = getattr(self, name)
            require(0 <= value < 1e6, f"deduction.{name}", value, "give 0 or more")
        for name in ("kill_below", "conflict_above", "pin_true", "fresh_carry", "pair_share"):
            value = getattr(self, name)
            require(0 <= value <= 1, f"deduction.{name}", value, "give a number from 0 to 1")
        require(
            0 < self.temperature < 1e3, "deduction.temperature", self.temperature, "give a number above 0"
        )
        kinds = get_args(PinKind)
        require(self.pin in kinds, "deduction.pin", self.pin, f"give one of {', '.join(kinds)}")
