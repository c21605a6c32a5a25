"""Entity memory: who was right, in what context; the trust in a source moves by it where a context begins.

Each entity (a source, a teacher) has a Beta distribution in every context and one over all contexts, to which
a context with few judgements backs off. Invariant: constant size; counts are finite and not negative.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from sage.compiled import has_compiler, kernel
from sage.errors import DataError, InputError

#: Before the first judgement, as in TrustConfig: right nine times in ten.
PRIOR_RIGHT, PRIOR_WRONG = 9.0, 1.0
#: The distribution over all contexts counts like this many judgements in one context.
BACK_OFF = 10.0
#: Weight that earlier judgements keep when another one comes: the last 2,000 count.
FORGETTING = 0.9995
#: A share within so many standard deviations of the mean agrees with a record.
NUM_DEVIATIONS = 2.0
_MAX_LOG_ODDS, _NUM_STEPS = 40.0, 8001


@dataclass(frozen=True, slots=True)
class EntityRecord:
    """right, wrong: judgements, forgotten at FORGETTING each.  trust: 0..1.  by_context: trust in each
    context with judgements.
    """

    name: str
    right: float
    wrong: float
    trust: float
    by_context: dict[int, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """One name in one context. context: None for all contexts together.  right, wrong: judgements, forgotten
    at FORGETTING each.  trust, low, high: 0..1, with the interval that holds 90% of the distribution.
    """

    name: str
    context: int | None
    right: float
    wrong: float
    trust: float
    low: float
    high: float


class EntityMemory:
    """At most `num_entities` names in `num_contexts` contexts; a new name replaces the one not judged for the
    longest time. InputError for sizes under 1. is_compiled: None uses numba where it is installed.
    """

    def __init__(
        self, num_contexts: int = 1, *, num_entities: int = 128, is_compiled: bool | None = None
    ) -> None:
        if min(num_contexts, num_entities) < 1:
            raise InputError(
                f"num_contexts is {num_contexts}, num_entities {num_entities}: give each 1 or more"
            )
        self._names: list[str] = []
        self._slots: dict[str, int] = {}
        # [..., 0]: right, [..., 1]: wrong; the last context is all of them together.
        self._counts = np.zeros((num_entities, num_contexts + 1, 2))
        self._last_judged = np.zeros(num_entities, np.int64)
        self._num_judged = 0
        self._note: Callable[..., None] = note
        if has_compiler() if is_compiled is None else is_compiled:
            self._note = _compiled()  # now, not in the first tick
            self._note(self._counts, self._last_judged, np.zeros(0, np.int64), np.zeros(0), 0, 0)

    def __len__(self) -> int:
        return len(self._names)

    def judge(self, names: Sequence[str], right: np.ndarray, context: int = 0) -> None:
        """Note how right each of `names` was: right (n,), 0 to 1, NaN where it was not judged."""
        given = np.ascontiguousarray(right, float)
        is_judged = np.isfinite(given).tolist()
        if True not in is_judged:
            return
        self._num_judged += 1
        slots = [self._slot(name) if is_one else -1 for name, is_one in zip(names, is_judged)]
        where = np.array(slots, np.int64)
        self._note(self._counts, self._last_judged, where, given, self._context(context), self._num_judged)

    def trust(self, name: str, context: int = 0) -> float:
        """Probability that `name` is right in `context`, 0..1; of the prior for a name never judged."""
        slot = self._slots.get(name)
        counts = np.zeros((2, 2)) if slot is None else self._counts[slot, [self._context(context), -1]]
        return _backed_off(counts[0], counts[1])

    @property
    def num_contexts(self) -> int:
        """As given."""
        return self._counts.shape[1] - 1

    def expected(self, names: Sequence[str], context: int) -> np.ndarray:
        """(n,) the highest share of right judgements that agrees with each name's record in `context`, 0..1.

        It is NUM_DEVIATIONS standard deviations above the backed-off mean, at most the prior's share: a short
        record, and one without errors, give the prior's.
        """
        counts, whole = self._counts_of(names, self._context(context)), self._counts_of(names, -1)
        mean = (whole[:, 0] + PRIOR_RIGHT) / (whole.sum(axis=1) + PRIOR_RIGHT + PRIOR_WRONG)
        total = counts.sum(axis=1) + BACK_OFF
        share = (counts[:, 0] + BACK_OFF * mean) / total
        highest = share + NUM_DEVIATIONS * np.sqrt(share * (1 - share) / (total + 1))
        expected: np.ndarray = np.minimum(highest, PRIOR_RIGHT / (PRIOR_RIGHT + PRIOR_WRONG))
        return expected

    def records(self) -> list[EntityRecord]:
        """One for each name, least trusted first."""
        found = []
        for name, slot in self._slots.items():
            counts, whole = self._counts[slot, :-1], self._counts[slot, -1]
            judged = np.flatnonzero(counts.sum(axis=1)).tolist()
            found.append(
                EntityRecord(
                    name=name,
                    right=float(whole[0]),
                    wrong=float(whole[1]),
                    trust=_mean(whole),
                    by_context={context: _backed_off(counts[context], whole) for context in judged},
                )
            )
        return sorted(found, key=lambda each: (each.trust, each.name))

    def judgements(self) -> list[Judgement]:
        """Of each name in every context where it was judged, then in all of them; names in order."""
        found = []
        for name in sorted(self._slots):
            counts, whole = self._counts[self._slots[name], :-1], self._counts[self._slots[name], -1]
            mean = _mean(whole)
            back_off = (BACK_OFF * mean, BACK_OFF * (1 - mean))
            judged = np.flatnonzero(counts.sum(axis=1)).tolist()
            found += [_judgement(name, context, counts[context], back_off) for context in judged]
            found.append(_judgement(name, None, whole, (PRIOR_RIGHT, PRIOR_WRONG)))
        return found

    def state(self) -> dict[str, np.ndarray]:
        """For a snapshot."""
        num = len(self)
        return {
            "names": np.frombuffer(json.dumps(self._names).encode(), np.uint8).copy(),
            "counts": self._counts[:num].copy(),
            "last_judged": self._last_judged[:num].copy(),
        }

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Restore a state. An empty one changes nothing; with another number of contexts, only what is known
        over all contexts is kept. DataError, and nothing changed, for a damaged one.
        """
        if not state:
            return
        names = json.loads(state["names"].tobytes())
        counts = np.asarray(state["counts"], float)
        if counts.shape[:1] != (len(names),) or counts.ndim != 3 or not np.isfinite(counts).all():
            raise DataError(f"entities: {len(names)} names with counts of shape {counts.shape}: damaged")
        order = np.argsort(-state["last_judged"], kind="stable")[: len(self._counts)]
        self._names = [names[at] for at in order.tolist()]
        self._slots = {name: slot for slot, name in enumerate(self._names)}
        self._counts[:] = 0.0
        self._counts[: len(order), -1] = counts[order, -1]
        if counts.shape[1] == self._counts.shape[1]:
            self._counts[: len(order)] = counts[order]
        self._last_judged[:] = 0
        self._last_judged[: len(order)] = state["last_judged"][order]
        self._num_judged = int(self._last_judged.max(initial=0))

    def _counts_of(self, names: Sequence[str], column: int) -> np.ndarray:
        """(n, 2) right and wrong, 0 for a name never judged. column: a context, -1 for all of them."""
        slots = np.array([self._slots.get(name, -1) for name in names], dtype=np.int64)
        return np.where(slots[:, None] >= 0, self._counts[slots, column], 0.0)

    def _slot(self, name: str) -> int:
        slot = self._slots.get(name)
        if slot is not None:
            return slot
        if len(self._names) < len(self._counts):
            slot = len(self._names)
            self._names.append(name)
        else:
            slot = int(self._last_judged.argmin())
            del self._slots[self._names[slot]]
            self._names[slot] = name
        self._slots[name] = slot
        self._counts[slot] = 0.0
        self._last_judged[slot] = self._num_judged
        return slot

    def _context(self, context: int) -> int:
        num = self._counts.shape[1] - 1
        if not 0 <= context < num:
            raise InputError(f"context is {context}: give 0 to {num - 1}")
        return context


def note(
    counts: np.ndarray,
    last_judged: np.ndarray,
    slots: np.ndarray,
    right: np.ndarray,
    context: int,
    number: int,
) -> None:
    """Add one judgement to each of `slots` (n,) but -1, in its context and over all. right: (n,).  number: of
    this judgement. Compiled where numba is installed.
    """
    for row in range(len(slots)):
        slot = slots[row]
        if slot < 0:
            continue
        share = min(max(right[row], 0.0), 1.0)
        for column in (context, counts.shape[1] - 1):
            counts[slot, column, 0] = FORGETTING * counts[slot, column, 0] + share
            counts[slot, column, 1] = FORGETTING * counts[slot, column, 1] + (1.0 - share)
        last_judged[slot] = number


@cache
def _compiled() -> Any:
    return kernel(note)


def _mean(counts: np.ndarray) -> float:
    right, wrong = counts.tolist()
    return float((right + PRIOR_RIGHT) / (right + wrong + PRIOR_RIGHT + PRIOR_WRONG))


def _backed_off(counts: np.ndarray, whole: np.ndarray) -> float:
    right, wrong = counts.tolist()
    return float((right + BACK_OFF * _mean(whole)) / (right + wrong + BACK_OFF))


def _judgement(name: str, context: int | None, counts: np.ndarray, prior: tuple[float, float]) -> Judgement:
    right, wrong = counts.tolist()
    alpha, beta = right + prior[0], wrong + prior[1]
    low, high = beta_interval(alpha, beta)
    return Judgement(
        name=name, context=context, right=right, wrong=wrong, trust=alpha / (alpha + beta), low=low, high=high
    )


def beta_interval(alpha: float, beta: float, mass: float = 0.9) -> tuple[float, float]:
    """The interval of a Beta distribution with equal tails and `mass` in it. InputError for counts not above
    0, and for a mass not in 0..1.

    From the cumulative sum of the density over the log odds, which is smooth for any counts.
    """
    if not (alpha > 0 and beta > 0 and 0 < mass < 1):
        raise InputError(f"alpha is {alpha}, beta {beta}, mass {mass}: give counts above 0, a mass in 0..1")
    odds = np.linspace(-_MAX_LOG_ODDS, _MAX_LOG_ODDS, _NUM_STEPS)
    logs = -alpha * np.logaddexp(0.0, -odds) - beta * np.logaddexp(0.0, odds)
    cumulative = np.cumsum(np.exp(logs - logs.max()))
    tails = np.array([(1 - mass) / 2, (1 + mass) / 2]) * cumulative[-1]
    low, high = (1 / (1 + np.exp(-np.interp(tails, cumulative, odds)))).tolist()
    return low, high
