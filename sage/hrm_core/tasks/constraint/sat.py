"""Satisfiability: a value for each variable so that every clause holds. Random formulas with a model, or
given ones.

Invariant: a label is the first model where the variables whose literals agree most are asked first, and try
first what most of their literals want; since models are rarely unique, answers are judged by the clauses.
Cells: the values asked for, then a row a clause, its signs by variable, four to a cell. 0 pad, 1 blank, 2
false, 3 true, 4..84 four signs in base 3 (0 negated, 1 absent, 2 there), the first variable's lowest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sage.errors import InputError
from sage.hrm_core.tasks.constraint.formulas import Formula, load_formulas, parse_dimacs, to_dimacs
from sage.hrm_core.tasks.contract import IGNORED, Baseline, Examples, TaskSpec
from sage.hrm_core.tasks.split import Generated, are_held_out, row_keys, without_ids

BLANK, FALSE, TRUE, SIGNS = 1, 2, 3, 4
NUM_PACKED = 4
MAX_STEPS = 200_000
#: Of random formulas.
MOST_CLAUSES = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SatConfig:
    """variables, clauses of `width` literals; clauses None: `ratio` a variable.  instances: a .cnf file, a
    folder of them or a .jsonl of {"nvars", "clauses"} to evaluate on; training is then on random formulas of
    their size."""

    variables: int = 8
    clauses: int | None = None
    ratio: float = 3.5
    width: int = 3
    instances: str | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.width <= self.variables or not 4 <= self.variables <= 512:
            raise InputError(
                f"variables is {self.variables}, width is {self.width}: give 4 to 512 variables, no fewer"
                " than the width"
            )
        if not abs(self.ratio) <= MOST_CLAUSES or not 1 <= self.num_clauses <= MOST_CLAUSES:
            raise InputError(
                f"clauses is {self.clauses}, ratio is {self.ratio}: give 1 to {MOST_CLAUSES:,} clauses"
            )

    @property
    def num_clauses(self) -> int:
        return round(self.ratio * self.variables) if self.clauses is None else self.clauses


class SatTask(Generated):
    """Random formulas, all variables of a clause different, kept where they have a model."""

    def __init__(self, config: SatConfig | None = None) -> None:
        super().__init__()
        self.config = config or SatConfig()
        self._given = load_formulas(self.config.instances) if self.config.instances else ()
        self.num_vars = max((each.num_vars for each in self._given), default=self.config.variables)
        self.num_clauses = max((len(each.clauses) for each in self._given), default=self.config.num_clauses)
        self.width = max(
            (len(clause) for each in self._given for clause in each.clauses), default=self.config.width
        )

    @property
    def spec(self) -> TaskSpec:
        seq_len = self.num_vars + self.num_clauses * self._row_width
        return TaskSpec(name="sat", vocab_size=SIGNS + 3**NUM_PACKED, seq_len=seq_len, blank=BLANK)

    @property
    def _row_width(self) -> int:
        """Cells of a clause."""
        return -(-self.num_vars // NUM_PACKED)

    def draw(self, num: int, rng: np.random.Generator, *, is_held_out: bool) -> Examples:
        shape = (num, self.num_clauses, self.num_vars)
        chosen = (
            np.sort(rng.random(shape).argpartition(self.width - 1, axis=2)[:, :, : self.width], axis=2) + 1
        )
        clauses = np.where(rng.random(chosen.shape) < 0.5, -chosen, chosen)
        clauses = clauses[are_held_out(_keys(clauses)) == is_held_out]
        return self._solved(clauses)

    def _solved(self, clauses: np.ndarray) -> Examples:
        """Of clauses (N, M, K): those with a model, with it."""
        from sage.hrm_core.tasks.constraint import kernel as search_kernel

        votes = votes_of(clauses, self.num_vars)
        order = np.argsort(-np.abs(votes), axis=1, kind="stable")
        models = np.zeros(votes.shape, np.int64)
        found = search_kernel.first_models(_renamed(clauses, order, votes > 0), models, MAX_STEPS) == 1
        values = np.zeros_like(models)
        np.put_along_axis(values, order, models, axis=1)
        values = np.where(votes > 0, 1 - values, values)
        clauses, values = clauses[found], values[found]
        inputs = np.concatenate([np.full(values.shape, BLANK), self._packed(clauses)], axis=1)
        labels = np.full(inputs.shape, IGNORED)
        labels[:, : self.num_vars] = values + FALSE
        return without_ids(inputs, labels)

    def _packed(self, clauses: np.ndarray) -> np.ndarray:
        """(N, cells) from signed variables (N, M, K), 0 unused."""
        num, num_clauses, _ = clauses.shape
        signs = np.zeros((num, num_clauses, 1 + self.num_vars), np.int64)  # the first for what is unused
        rows, columns = np.arange(num)[:, None, None], np.arange(num_clauses)[None, :, None]
        signs[rows, columns, np.abs(clauses)] = np.sign(clauses)
        return self._packed_signs(signs[:, :, 1:])

    def _packed_signs(self, signs: np.ndarray) -> np.ndarray:
        """(N, cells) from signs (N, M, V): the reverse of `_signs`."""
        num, num_clauses, num_vars = signs.shape
        padded = np.zeros((num, num_clauses, self._row_width * NUM_PACKED), np.int64)
        padded[:, :, :num_vars] = signs
        digits = padded.reshape(num, num_clauses * self._row_width, NUM_PACKED) + 1
        cells: np.ndarray = SIGNS + (digits * 3 ** np.arange(NUM_PACKED)).sum(axis=2)
        return cells

    def draw_held_out(self, num: int, seed: Sequence[int], without: Examples) -> Examples:
        """None where the evaluation set was given: there are no others."""
        return without.take(slice(0)) if self._given else super().draw_held_out(num, seed, without)

    def held_out(self, num: int) -> Examples:
        if not self._given:
            return super().held_out(num)
        clauses = np.zeros((min(num, len(self._given)), self.num_clauses, self.width), np.int64)
        for row, formula in zip(clauses, self._given):
            for clause, literals in zip(row, formula.clauses):
                clause[: len(literals)] = literals
        return self._solved(clauses)

    def verify(self, inputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
        found: np.ndarray = self._share_satisfied(inputs, answers) == 1.0
        return found

    def scores(self, examples: Examples, answers: np.ndarray) -> dict[str, np.ndarray]:
        return {"clauses_satisfied": self._share_satisfied(examples.inputs, answers)}

    def _share_satisfied(self, inputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """(N,) a value that is neither false nor true makes no literal hold."""
        signs, values = self._signs(inputs), answers[:, None, : self.num_vars]  # (N, M, V), (N, 1, V)
        holds = ((signs > 0) & (values == TRUE)) | ((signs < 0) & (values == FALSE))
        is_clause = (signs != 0).any(axis=2)
        num_clauses = is_clause.sum(axis=1)
        num_satisfied = (holds.any(axis=2) & is_clause).sum(axis=1)
        return np.where(num_clauses == 0, 1.0, num_satisfied / np.maximum(num_clauses, 1))

    def _signs(self, inputs: np.ndarray) -> np.ndarray:
        """(N, M, V) -1 negated, 0 absent, 1 there."""
        cells = inputs[:, self.num_vars :, None].astype(np.int64) - SIGNS
        digits = cells // 3 ** np.arange(NUM_PACKED) % 3 - 1
        size = self._row_width * NUM_PACKED
        signs: np.ndarray = digits.reshape(len(inputs), self.num_clauses, size)[:, :, : self.num_vars]
        return signs

    def may_extend(self, inputs: np.ndarray, partial: np.ndarray) -> np.ndarray:
        """(N,) bool: chosen values are false or true, and no clause has all of its literals false."""
        signs, values = self._signs(inputs), partial[:, None, : self.num_vars]  # (N, M, V), (N, 1, V)
        is_false = ((signs > 0) & (values == FALSE)) | ((signs < 0) & (values == TRUE))
        is_dead = ((signs != 0).any(axis=2) & (is_false | (signs == 0)).all(axis=2)).any(axis=1)
        is_value = np.isin(partial[:, : self.num_vars], (BLANK, FALSE, TRUE)).all(axis=1)
        keeps = ((inputs == BLANK) | (inputs == partial)).all(axis=1)
        may: np.ndarray = is_value & keeps & ~is_dead
        return may

    def as_inputs(self, inputs: np.ndarray, partial: np.ndarray) -> np.ndarray:
        """The simplified formula: clauses that a choice satisfies are dropped, and literals that a choice
        makes false are removed. A chosen variable is in no clause then, and its value is asked for as before:
        a model reads formulas of its kind, with fewer and shorter clauses.
        """
        signs, values = self._signs(inputs), partial[:, None, : self.num_vars]  # (N, M, V), (N, 1, V)
        holds = ((signs > 0) & (values == TRUE)) | ((signs < 0) & (values == FALSE))
        rest = np.where(holds.any(axis=2, keepdims=True) | (values != BLANK), 0, signs)
        blank = np.full((len(inputs), self.num_vars), BLANK)
        return np.concatenate([blank, self._packed_signs(rest)], axis=1).astype(np.int32)

    def complete(self, inputs: np.ndarray, partial: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """The chosen values, then the answer's; the clauses are those of `inputs`."""
        whole = np.array(inputs, np.int32)
        values = partial[:, : self.num_vars]
        whole[:, : self.num_vars] = np.where(values == BLANK, answers[:, : self.num_vars], values)
        return whole

    def with_givens(self, inputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """(N, L) int32: the values of answers, and the clauses of the formulas."""
        return self.complete(inputs, inputs, answers)

    def baseline(self, inputs: np.ndarray) -> Baseline:
        answers = np.array(inputs, np.int32)
        answers[:, : self.num_vars] = np.where(self._signs(inputs).sum(axis=1) > 0, TRUE, FALSE)
        return Baseline(name="the majority sign of each variable", answers=answers)

    def encode(self, text: str) -> np.ndarray:
        """DIMACS."""
        formula = parse_dimacs(text, "the formula")
        if formula.num_vars > self.num_vars or len(formula.clauses) > self.num_clauses:
            raise InputError(
                f"the formula has {formula.num_vars} variables and {len(formula.clauses)} clauses: "
                f"this task takes {self.num_vars} and {self.num_clauses}"
            )
        clauses = np.zeros((1, self.num_clauses, max(map(len, formula.clauses), default=1)), np.int64)
        for clause, literals in zip(clauses[0], formula.clauses):
            clause[: len(literals)] = literals
        examples = self._solved(clauses)
        if not len(examples):
            raise InputError("the formula has no model, or none was found: check its clauses")
        cells: np.ndarray = examples.inputs[0]
        return cells

    def decode(self, cells: np.ndarray) -> str:
        """The formula of a puzzle; the values of an answer, as solvers print them: "v 1 -2 3 0"."""
        values = np.asarray(cells)[: self.num_vars].tolist()
        signs = {FALSE: -1, TRUE: 1}
        literals = [signs[value] * (at + 1) for at, value in enumerate(values) if value in signs]
        return " ".join(map(str, ("v", *literals, 0))) if literals else to_dimacs(self._formula(cells))

    def _formula(self, cells: np.ndarray) -> Formula:
        signs = self._signs(np.asarray(cells)[None])[0]  # (M, V)
        rows = [tuple(int(sign) * (at + 1) for at, sign in enumerate(row) if sign) for row in signs]
        return Formula(num_vars=self.num_vars, clauses=tuple(clause for clause in rows if clause))

    def render(self, cells: np.ndarray) -> str:
        """The values, then one clause a line."""
        values = " ".join(
            f"x{at + 1}={ {FALSE: '0', TRUE: '1'}.get(int(cell), '?') }"
            for at, cell in enumerate(cells[: self.num_vars])
        )
        clauses = self._formula(cells).clauses
        return "\n".join(
            [
                values,
                *(
                    " or ".join(f"{'' if each > 0 else 'not '}x{abs(each)}" for each in clause)
                    for clause in clauses
                ),
            ]
        )


def votes_of(clauses: np.ndarray, num_vars: int) -> np.ndarray:
    """(N, V) how many positive less negative literals of a variable."""
    votes = np.zeros((len(clauses), num_vars + 1), np.int64)
    np.add.at(votes, (np.arange(len(clauses))[:, None, None], np.abs(clauses)), np.sign(clauses))
    return votes[:, 1:]


def _renamed(clauses: np.ndarray, order: np.ndarray, is_turned: np.ndarray) -> np.ndarray:
    """The formulas with variable order[0] named 1, order[1] named 2 and so on, those that is_turned (N, V)
    negated.
    """
    names = np.zeros((len(clauses), order.shape[1] + 1), np.int64)
    ranks = np.broadcast_to(np.arange(1, order.shape[1] + 1), order.shape)
    np.put_along_axis(names[:, 1:], order, ranks, axis=1)
    names[:, 1:] *= np.where(is_turned, -1, 1)
    renamed = np.sign(clauses) * names[np.arange(len(clauses))[:, None, None], np.abs(clauses)]
    return np.ascontiguousarray(renamed)


def _keys(clauses: np.ndarray) -> np.ndarray:
    """(N,) whatever the order of the clauses."""
    num, num_clauses, width = clauses.shape
    each: np.ndarray = (
        row_keys(clauses.reshape(-1, width)).reshape(num, num_clauses).sum(axis=1, dtype=np.uint64)
    )
    return each
