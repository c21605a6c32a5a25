"""The second stage of a puzzle by a model with deduction heads: chains of deductions and guesses (LDT, arXiv
2605.08605).

A chain is a candidate set. The model reads it and removes the candidates that it finds unlikely; then one
cell is guessed: that of the strongest second choice, its symbol drawn. A chain whose conflict head fires, or
that has a cell without candidates, starts again from the puzzle. The first chain with one candidate in each
cell is the answer: with rules when they accept it, without rules when the model, having read it once more,
finds no conflict in it. A call is one chain through its segments; the plain try is the first.

Invariant: all chains of a puzzle are read in waves, and a wave counts when all of it has ended: the answer
does not depend on the other rows of the batch.
Shapes: L cells, K interchangeable symbols, V symbols.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sage.hrm_core.solving.attempt import Attempt
from sage.hrm_core.solving.candidate_sets import DECIMALS, CandidateSets
from sage.hrm_core.solving.noise import uniforms
from sage.hrm_core.solving.row import Reading, Row
from sage.hrm_core.solving.rules import Verifier
from sage.hrm_core.solving.settings import SolveSettings
from sage.hrm_core.solving.solutions import SearchTrace


@dataclass(slots=True, kw_only=True)
class _Chain:
    """candidates (L, K) bool.  guesses: (cell, symbol) since the puzzle.  num_guesses: of all its lives."""

    index: int
    candidates: np.ndarray
    guesses: tuple[tuple[int, int], ...] = ()
    num_guesses: int = 0


class Deduction:
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
        self.best: Attempt | None = None
        self.num_diverged = 0
        self._sets = sets
        self._verifier = verifier
        self._puzzle = puzzle
        self._settings = settings
        self._seed = seed
        self._clock = clock
        self._ends_at = None if settings.search_seconds is None else clock() + settings.search_seconds
        self._num_calls = 1
        self._num_states = 1
        self._depth = 0
        self._guesses: tuple[tuple[int, int], ...] = ()
        self._wave: dict[int, _Chain] = {}
        self._waiting: deque[int] = deque()
        self._ended: dict[int, Row] = {}
        self._chains: list[_Chain] = []
        self._root: tuple[np.ndarray, Reading] | None = None
        self._begin(first)

    @property
    def has_more(self) -> bool:
        """Whether a chain of this wave is still to be started."""
        return bool(self._waiting)

    @property
    def is_over(self) -> bool:
        return not self._wave

    @property
    def is_exhausted(self) -> bool:
        """False: chains prove nothing."""
        return False

    @property
    def is_accepted(self) -> bool:
        """Whether a chain gave the answer: by the rules, or without rules by the conflict head."""
        return self.best is not None

    def trace_of(self, answer: Attempt) -> SearchTrace:
        """answer: the puzzle's; the guesses are its own where a chain found it."""
        return SearchTrace(
            calls=self._num_calls,
            budget=self._settings.search,
            nodes=self._num_states,
            depth=self._depth,
            width=self._settings.chains,
            guesses=self._guesses if answer is self.best else (),
        )

    def start(self) -> Row:
        number = self._waiting.popleft()
        self._num_calls += 1
        return Row(
            number=number,
            inputs=self._puzzle,
            settings=self._settings,
            max_segments=self._settings.search_segments,
            is_try=False,
            reads_output=True,
            candidates=self._wave[number].candidates,
        )

    def needs(self, row: Row) -> bool:
        return row.number in self._wave and row.number not in self._ended

    def end(self, row: Row) -> None:
        """Record the output of a chain's call; the last of its wave ends the wave."""
        self._ended[row.number] = row
        if len(self._ended) == len(self._wave):
            wave = [(chain, self._ended[number]) for number, chain in self._wave.items()]
            self._wave.clear()
            self._ended.clear()
            for chain, each in wave:
                self._move(chain, each)
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
        self._num_states += 1
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
        self._guesses = chain.guesses
        self.best = Attempt(
            number=self._settings.tries,
            cells=answer,
            q=row.q,
            merit=math.inf,
            is_verified=is_verified,
            num_segments=row.num_segments,
            is_early=False,
        )

    def _killed(self, candidates: np.ndarray, reading: Reading) -> np.ndarray:
        assert reading.keep is not None
        return self._sets.after_kills(candidates, reading.keep, self._puzzle, self._settings.kill_below)

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
        self._num_states += 1
        self._depth = max(self._depth, len(chain.guesses))

    def _begin_wave(self) -> None:
        """A call of every chain, as far as the budget allows."""
        if self._ends_at is not None and self._clock() >= self._ends_at:
            return
        num = min(len(self._chains), self._settings.search - self._num_calls)
        for offset, chain in enumerate(self._chains[: max(0, num)]):
            number = self._num_calls + offset  # of the call, so that no two rows of a puzzle have one number
            self._wave[number] = chain
            self._waiting.append(number)


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
