"""The second stage of a puzzle by a model with deduction heads: chains of deductions and guesses (LDT, arXiv
2605.08605).

A chain is a candidate set. The model reads it and removes the candidates that it finds unlikely; then one
cell is guessed: that of the strongest second choice, its symbol drawn. A chain whose conflict head fires, or
that has a cell without candidates, starts again from the puzzle. The first chain with one candidate in each
cell is the answer: with rules when they accept it, without rules when the model, having read it once more,
finds no conflict in it. A call is one chain through its segments; the plain try is the first.

Invariant: the answer is a function of the puzzle, the settings and the seed (see `waves`), unless a time
limit ends it.
Shapes: L cells, K interchangeable symbols, V symbols.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sage.hrm_core.solving.candidate_sets import DECIMALS, CandidateSets
from sage.hrm_core.solving.noise import uniforms
from sage.hrm_core.solving.row import Reading, Row
from sage.hrm_core.solving.rules import Verifier
from sage.hrm_core.solving.settings import SolveSettings
from sage.hrm_core.solving.waves import Waves


@dataclass(slots=True, kw_only=True)
class _Chain:
    """candidates (L, K) bool.  guesses: (cell, symbol) since the puzzle.  num_guesses: since the first
    start, also before it started again."""

    index: int
    candidates: np.ndarray
    guesses: tuple[tuple[int, int], ...] = ()
    num_guesses: int = 0


class Deduction(Waves[_Chain]):
    """puzzle (L,) int32.  verifier: the rules, None without.  first: the plain try, which has ended.  clock:
    seconds.
    """

    def __init__(
        self,
        sets: CandidateSets,
        verifier: Verifier | None,
        puzzle: np.ndarray,
        settings: SolveSettings,
        *,
        seed: int,
        first: Row,
        clock: Callable[[], float],
    ) -> None:
        super().__init__(puzzle, settings, clock)
        self._sets = sets
        self._verifier = verifier
        self._seed = seed
        self._chains: list[_Chain] = []
        self._root: tuple[np.ndarray, Reading] | None = None
        self._begin(first)

    @property
    def width(self) -> int:
        return self._settings.chains

    @property
    def is_exhausted(self) -> bool:
        """False: chains prove nothing."""
        return False

    @property
    def is_accepted(self) -> bool:
        """Whether a chain gave the answer: by the rules, or without rules by the conflict head."""
        return self.best is not None

    def _read_by(self, state: _Chain) -> tuple[np.ndarray, np.ndarray | None]:
        return self._puzzle, state.candidates

    def _judge(self, wave: list[tuple[_Chain, Row]]) -> None:
        for chain, row in wave:
            self._move(chain, row)
            if self.best is not None:
                return
        self._begin_wave()

    def _begin(self, first: Row) -> None:
        """The output of the plain try is that of every chain's first call."""
        assert first.reading is not None
        reading = first.reading
        start = self._sets.start(self._puzzle)
        if not _is_finite(reading):
            self.num_diverged += 1
            return
        candidates = self._killed(start, reading)
        if self._sets.is_empty(candidates):
            candidates = start
        self._root = candidates, reading
        for index in range(self._settings.chains):
            chain = _Chain(index=index, candidates=candidates)
            self._chains.append(chain)
            if not self._sets.is_decided(candidates):
                self._guess(chain, reading)
        self._begin_wave()

    def _move(self, chain: _Chain, row: Row) -> None:
        """Kill, accept, start again or guess, by the output of the chain's call."""
        assert row.reading is not None
        reading, sets = row.reading, self._sets
        if not _is_finite(reading):
            self.num_diverged += 1
            self._restart(chain)
            return
        if self._accepts_answer(chain, row, reading):
            return
        assert reading.conflict is not None
        in_conflict = round(_sigmoid(reading.conflict), DECIMALS) > self._settings.conflict_above
        was_decided = sets.is_decided(chain.candidates)
        if was_decided and not in_conflict and self._verifier is None:
            self._accept(chain, row, sets.symbols(chain.candidates), is_verified=False)
            return
        candidates = self._killed(chain.candidates, reading)
        if in_conflict or was_decided or sets.is_empty(candidates):
            self._restart(chain)
            return
        chain.candidates = candidates
        self.num_states += 1
        if not sets.is_decided(candidates):
            self._guess(chain, reading)

    def _accepts_answer(self, chain: _Chain, row: Row, reading: Reading) -> bool:
        """Whether the rules accept the most probable symbols of the chain's candidates."""
        if self._verifier is None:
            return False
        answer = reading.log_probs.argmax(axis=-1).astype(np.int32)
        if not bool(self._verifier.verify(self._puzzle[None], answer[None])[0]):
            return False
        self._accept(chain, row, answer, is_verified=True)
        return True

    def _accept(self, chain: _Chain, row: Row, answer: np.ndarray, *, is_verified: bool) -> None:
        self.guesses = chain.guesses
        self.best = self.attempt(row, answer, is_verified=is_verified, merit=math.inf)

    def _killed(self, candidates: np.ndarray, reading: Reading) -> np.ndarray:
        assert reading.keep is not None
        return self._sets.after_kills(candidates, reading.keep, self._puzzle, self._settings.kills_below)

    def _restart(self, chain: _Chain) -> None:
        """From the puzzle's own candidates, with another guess."""
        assert self._root is not None
        candidates, reading = self._root
        chain.candidates = candidates
        chain.guesses = ()
        if self._sets.is_decided(candidates):  # no guess is left: all candidates of the puzzle again
            chain.candidates = self._sets.start(self._puzzle)
        self._guess(chain, reading)

    def _guess(self, chain: _Chain, reading: Reading) -> None:
        """The cell of the strongest second choice gets one candidate, drawn from its probabilities at the
        temperature of the settings."""
        sets, candidates = self._sets, chain.candidates
        logits = np.where(candidates, reading.log_probs[:, sets.first :].astype(np.float64), -np.inf)
        with np.errstate(invalid="ignore"):
            p = np.nan_to_num(np.exp(logits - logits.max(axis=1, keepdims=True)))
        p /= p.sum(axis=1, keepdims=True).clip(1e-300)
        second = np.where(candidates.sum(axis=1) > 1, np.sort(p, axis=1)[:, -2], -1.0)
        cell = int(second.round(DECIMALS).argmax())
        weights = (p[cell] ** (1.0 / self._settings.temperature)).round(DECIMALS) + 1e-3 * candidates[cell]
        edges = np.cumsum(weights)
        [drawn] = uniforms(self._seed, chain.index, chain.num_guesses, num=1)
        symbol = sets.first + int(np.searchsorted(edges, drawn * edges[-1], side="right"))
        chain.candidates = sets.pinned(candidates, cell, symbol)
        chain.guesses = (*chain.guesses, (cell, symbol))
        chain.num_guesses += 1
        self.num_states += 1
        self.depth = max(self.depth, len(chain.guesses))

    def _begin_wave(self) -> None:
        """A call of every chain, as far as the budget allows; numbered by the calls of the puzzle."""
        self.begin(
            (self.num_calls + offset, chain) for offset, chain in enumerate(self._chains[: self.calls_left])
        )


def _is_finite(reading: Reading) -> bool:
    assert reading.keep is not None
    assert reading.conflict is not None
    return bool(
        np.isfinite(reading.log_probs).all()
        and np.isfinite(reading.keep).all()
        and math.isfinite(reading.conflict)
    )


def _sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-max(-60.0, min(60.0, x))))
