"""Formulas in conjunctive normal form as files have them: DIMACS .cnf, and lines of JSON {"nvars",
"clauses"}.

Invariant: a literal is a variable from 1, negative for its negation; a file that says otherwise is an error.
No clause is empty: such a formula has no model. None has a literal twice, or one with its negation: such a
clause always holds, and is left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sage.errors import InputError
from sage.user_file import parse_user_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Formula:
    """All clauses must hold."""

    num_vars: int
    clauses: tuple[tuple[int, ...], ...]


def load_formulas(path: str | Path) -> tuple[Formula, ...]:
    """From a .cnf, a folder of them, or a .jsonl."""
    path = Path(path)
    try:
        if path.is_dir():
            found = tuple(
                parse_dimacs(each.read_text("utf-8-sig"), str(each)) for each in sorted(path.glob("*.cnf"))
            )
        elif path.suffix == ".jsonl":
            lines = path.read_text("utf-8-sig").split("\n")
            found = tuple(
                _parse_json(line, f"{path}: line {number}")
                for number, line in enumerate(lines, start=1)
                if line.strip()
            )
        else:
            found = (parse_dimacs(path.read_text("utf-8-sig"), str(path)),)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: cannot be read: {error}: give a .cnf, a folder of them, or a .jsonl"
        ) from error
    if not found:
        raise InputError(f"{path}: no formula: give a .cnf, a folder of them, or a .jsonl")
    return found


def _parse_json(line: str, where: str) -> Formula:
    try:
        row = parse_user_json(line)
        formula = Formula(
            num_vars=_whole(row["nvars"]),
            clauses=tuple(tuple(map(_whole, clause)) for clause in row["clauses"]),
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f'{where}: {error!r}: give {{"nvars": .., "clauses": [[1, -2, 3], ..]}}') from error
    return _checked(formula, where)


def _whole(value: Any) -> int:
    if type(value) is not int:  # a bool is an int to isinstance
        raise ValueError(f"{str(value)[:40]} is no whole number")
    return value


def whole_number(word: str) -> int:
    """As int, but of ASCII digits and a sign alone. ValueError for anything else."""
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", word):
        raise ValueError(f"{word[:40]!r} is no whole number")
    return int(word)


def parse_dimacs(text: str, where: str) -> Formula:
    """Comments, "p cnf VARIABLES CLAUSES", literals with a 0 after each clause; a "%" ends it, as in
    SATLIB.
    """
    num_vars, numbers = -1, []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if not words or words[0] == "c":
            continue
        if words[0] == "%":
            break
        try:
            if words[0] == "p":
                num_vars = whole_number(words[2] if words[1] == "cnf" else "not cnf")
            else:
                numbers += [whole_number(word) for word in words]
        except (ValueError, IndexError):
            raise InputError(
                f"{where}: line {number}: {line.strip()[:80]!r}: give 'p cnf VARIABLES CLAUSES', then"
                " literals"
            ) from None
    if num_vars < 0:
        raise InputError(f"{where}: no line 'p cnf VARIABLES CLAUSES': add it before the clauses")
    clauses: list[tuple[int, ...]] = []
    clause: list[int] = []
    for literal in numbers if numbers[-1:] in ([], [0]) else [*numbers, 0]:
        if literal:
            clause.append(literal)
        else:
            clauses.append(tuple(clause))
            clause = []
    return _checked(Formula(num_vars=num_vars, clauses=tuple(clauses)), where)


def _checked(formula: Formula, where: str) -> Formula:
    for index, clause in enumerate(formula.clauses, start=1):
        if not clause or any(not 1 <= abs(literal) <= formula.num_vars for literal in clause):
            raise InputError(
                f"{where}: clause {index} is {list(clause)}: give literals of variables 1 to"
                f" {formula.num_vars}"
            )
    open_clauses = (clause for clause in formula.clauses if not any(-literal in clause for literal in clause))
    return replace(formula, clauses=tuple(tuple(dict.fromkeys(clause)) for clause in open_clauses))


def to_dimacs(formula: Formula) -> str:
    lines = [f"p cnf {formula.num_vars} {len(formula.clauses)}"]
    return "\n".join(lines + [" ".join(map(str, (*clause, 0))) for clause in formula.clauses])
