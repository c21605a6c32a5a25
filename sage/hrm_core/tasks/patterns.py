"""Number sequences to continue: arithmetic, geometric (up and down) and recursive ones, as decimal digits.

Invariant: the terms shown fix the hidden terms, and these alone are labelled. Cells: 0 pad (unused), 1
blank, 2..11 the digits, `digits` a term.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sage.errors import InputError
from sage.hrm_core.tasks.contract import IGNORED, Baseline, Examples, TaskSpec
from sage.hrm_core.tasks.split import Generated, are_held_out, row_keys, without_ids

BLANK, ZERO = 1, 2
#: Kind -> its share of the draws, relative to the others: of three digits there are 60 geometric sequences in
#: all.
SHARES = {"arithmetic": 5, "geometric": 1, "recursive": 5}
KINDS = tuple(SHARES)
MAX_RATIO = 5
MAX_DRAWS = 64
MIN_SHOWN = 4
MOST_TERMS = 1000
#: Of a term that is read.
MOST_DIGITS = 18


@dataclass(frozen=True, slots=True, kw_only=True)
class PatternsConfig:
    """terms: of a sequence, the last `hidden` to be found.  digits: of a term.  kinds: which sequences."""

    terms: int = 6
    hidden: int = 2
    digits: int = 3
    kinds: tuple[str, ...] = KINDS

    def __post_init__(self) -> None:
        if self.terms - self.hidden < MIN_SHOWN or self.hidden < 1:
            raise InputError(
                f"terms is {self.terms}, hidden is {self.hidden}: hide 1 or more and show {MIN_SHOWN} or more"
            )
        if self.terms > MOST_TERMS:
            raise InputError(f"terms is {self.terms}: give up to {MOST_TERMS}")
        if not 2 <= self.digits <= 9:
            raise InputError(f"digits is {self.digits}: give 2 to 9")
        if not self.kinds or not set(self.kinds) <= set(KINDS):
            raise InputError(f"kinds is {self.kinds}: give some of {', '.join(KINDS)}")

    @property
    def seq_len(self) -> int:
        return self.terms * self.digits


class PatternsTask(Generated):
    """x + d; x r, also read backwards; x + y from the last two, or r x + c from the last one."""

    def __init__(self, config: PatternsConfig | None = None) -> None:
        super().__init__()
        self.config = config or PatternsConfig()
        self._limit = 10**self.config.digits

    @property
    def spec(self) -> TaskSpec:
        return TaskSpec(name="patterns", vocab_size=ZERO + 10, seq_len=self.config.seq_len)

    def draw(self, num: int, rng: np.random.Generator, *, is_held_out: bool) -> Examples:
        shares = np.array([SHARES[kind] for kind in self.config.kinds])
        kinds = rng.choice(len(shares), size=num, p=shares / shares.sum())
        parts = [
            self._terms(kind, int((kinds == index).sum()), rng)
            for index, kind in enumerate(self.config.kinds)
        ]
        terms = rng.permutation(np.concatenate(parts))
        inputs, labels = self._cells(terms), self._cells(terms)
        num_shown = self.config.seq_len - self.config.hidden * self.config.digits
        inputs[:, num_shown:], labels[:, :num_shown] = BLANK, IGNORED
        is_mine = are_held_out(row_keys(inputs)) == is_held_out
        return without_ids(inputs[is_mine], labels[is_mine])

    def _terms(self, kind: str, num: int, rng: np.random.Generator) -> np.ndarray:
        """(num, terms) int64, all below the limit."""
        draw = {"arithmetic": self._arithmetic, "geometric": self._geometric, "recursive": self._recursive}[
            kind
        ]
        kept = np.zeros((0, self.config.terms), np.int64)
        for _ in range(MAX_DRAWS):
            if len(kept) >= num:
                break
            terms = draw(4 * num + 16, rng)
            kept = np.concatenate([kept, terms[((terms >= 0) & (terms < self._limit)).all(axis=1)]])
        return kept[:num]

    def _arithmetic(self, num: int, rng: np.random.Generator) -> np.ndarray:
        start = rng.integers(0, self._limit, size=(num, 1))
        widest = self._limit // (self.config.terms - 1)
        return start + rng.integers(-widest, widest, size=(num, 1), endpoint=True) * np.arange(
            self.config.terms
        )

    def _geometric(self, num: int, rng: np.random.Generator) -> np.ndarray:
        growth = np.power(
            rng.integers(2, MAX_RATIO, size=(num, 1), endpoint=True), np.arange(self.config.terms)
        )
        most = np.maximum((self._limit - 1) // growth[:, -1:], 1)
        terms = (1 + rng.integers(0, 1 << 30, size=(num, 1)) % most) * growth
        found: np.ndarray = np.where(rng.random((num, 1)) < 0.5, terms[:, ::-1], terms)
        return found

    def _recursive(self, num: int, rng: np.random.Generator) -> np.ndarray:
        terms = np.zeros((num, self.config.terms), np.int64)
        terms[:, 0] = rng.integers(1, max(3, self._limit // 16), size=num)
        terms[:, 1] = rng.integers(1, max(3, self._limit // 8), size=num)
        ratio, offset = (
            rng.integers(2, 3, size=num, endpoint=True),
            rng.integers(1, self._limit // 20 + 2, size=num),
        )
        is_sum = rng.random(num) < 0.5
        terms[:, 1] = np.where(is_sum, terms[:, 1], ratio * terms[:, 0] + offset)
        for index in range(2, self.config.terms):
            terms[:, index] = (
                np.where(is_sum, terms[:, index - 2], offset)
                + np.where(is_sum, 1, ratio) * terms[:, index - 1]
            )
        return terms

    def _cells(self, terms: np.ndarray) -> np.ndarray:
        """(N, L) from (N, terms)."""
        powers = 10 ** np.arange(self.config.digits - 1, -1, -1)
        cells: np.ndarray = (terms[:, :, None] // powers % 10 + ZERO).reshape(len(terms), -1).astype(np.int32)
        return cells

    def _numbers(self, cells: np.ndarray) -> np.ndarray:
        """(N, terms) int64, -1 for a term with a cell that is no digit."""
        digits = cells.reshape(len(cells), self.config.terms, self.config.digits).astype(np.int64) - ZERO
        numbers = (digits * 10 ** np.arange(self.config.digits - 1, -1, -1)).sum(axis=2)
        return np.where(((digits >= 0) & (digits < 10)).all(axis=2), numbers, -1)

    def verify(self, inputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """Every continuation that some rule allows, the terms shown left as they were."""
        shown, answered = self._numbers(inputs)[:, : -self.config.hidden], self._numbers(answers)
        allowed = [_summed(shown, self.config.hidden), _scaled(shown, self.config.hidden)]
        keeps = (answered[:, : -self.config.hidden] == shown).all(axis=1)
        is_right: np.ndarray = keeps & np.any(
            [(answered[:, -self.config.hidden :] == each).all(axis=1) for each in allowed], axis=0
        )
        return is_right

    def with_givens(self, inputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """(N, L) int32: the hidden terms of answers, and the terms shown."""
        return np.where(inputs == BLANK, answers, inputs).astype(np.int32)

    def baseline(self, inputs: np.ndarray) -> Baseline:
        terms = self._numbers(inputs)
        for index in range(self.config.terms - self.config.hidden, self.config.terms):
            terms[:, index] = np.clip(2 * terms[:, index - 1] - terms[:, index - 2], 0, self._limit - 1)
        return Baseline(name="the last difference again", answers=self._cells(terms))

    def encode(self, text: str) -> np.ndarray:
        """Terms with commas or spaces between, the last ones '?' or left out."""
        words = text.replace(",", " ").split()
        shown = [word for word in words if set(word) != {"?"}]
        if len(shown) != len(words) and words[: len(shown)] != shown:
            raise InputError(f"{text!r}: a '?' before a term: only the last terms are asked for")
        if (
            len(shown) not in (self.config.terms, self.config.terms - self.config.hidden)
            or len(words) > self.config.terms
        ):
            raise InputError(
                f"the sequence shows {len(shown)} terms: give {self.config.terms - self.config.hidden}"
            )
        for word in shown:
            is_number = word.isascii() and word.isdigit() and len(word) <= MOST_DIGITS
            if not is_number or int(word) >= self._limit:
                raise InputError(f"term {word[:40]!r}: give a whole number of 0 to {self._limit - 1}")
        terms = np.array([[int(word) for word in shown] + [0] * (self.config.terms - len(shown))])
        cells: np.ndarray = self._cells(terms)[0]
        cells[len(shown) * self.config.digits :] = BLANK
        return cells

    def decode(self, cells: np.ndarray) -> str:
        return " ".join(
            "?" if number < 0 else str(number)
            for number in self._numbers(np.asarray(cells)[None])[0].tolist()
        )

    def render(self, cells: np.ndarray) -> str:
        return self.decode(cells).replace(" ", ", ")


def _summed(shown: np.ndarray, num: int) -> np.ndarray:
    """(N, num) where each term is the sum of the two before, else -2."""
    holds = (shown[:, 2:] == shown[:, 1:-1] + shown[:, :-2]).all(axis=1)
    last, terms = [shown[:, -2], shown[:, -1]], []
    for _ in range(num):
        last = [last[1], last[0] + last[1]]
        terms.append(last[1])
    return np.where(holds[:, None], np.stack(terms, axis=1), -2)


def _scaled(shown: np.ndarray, num: int) -> np.ndarray:
    """(N, num) where each difference is the one before times the same ratio (arithmetic: 1), else -2."""
    steps = np.diff(shown, axis=1)
    first, second = steps[:, :1], steps[:, 1:2]
    holds = (steps[:, 2:] * first == steps[:, 1:-1] * second).all(axis=1)
    step, term, terms = steps[:, -1], shown[:, -1], []
    divisor = np.where(first[:, 0] == 0, 1, first[:, 0])
    for _ in range(num):
        holds &= step * second[:, 0] % divisor == 0
        step = step * second[:, 0] // divisor
        term = term + step
        terms.append(term)
    return np.where(holds[:, None], np.stack(terms, axis=1), -2)
