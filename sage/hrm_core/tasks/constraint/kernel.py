"""Depth-first search for the first model of a formula and the first colouring of a graph, in the order of the
numbers.

Invariant: what is found is the lexicographically first solution, whatever was ruled out on the way.
"""

# mypy: no-warn-return-any
# what an array holds is known to numba, not to mypy
from __future__ import annotations

import numpy as np

from sage.hrm_core.tasks.loops import inner, loop


@inner
def propagate(clauses: np.ndarray, values: np.ndarray, depth_of: np.ndarray, depth: int) -> bool:
    """Set what a clause with one literal left demands, marked with `depth`; False if a clause has none left.
    A row of zeros is no clause. values (V + 1,): -1 unset, 0, 1."""
    is_changed = True
    while is_changed:
        is_changed = False
        for row in range(clauses.shape[0]):
            open_literal, num_open, is_true, is_clause = 0, 0, False, False
            for column in range(clauses.shape[1]):
                literal = clauses[row, column]
                if literal == 0:
                    continue
                is_clause = True
                value = values[abs(literal)]
                if value < 0 and literal != open_literal:
                    open_literal = literal
                    num_open += 1
                elif value == (1 if literal > 0 else 0):
                    is_true = True
            if is_true or num_open > 1 or not is_clause:
                continue
            if num_open == 0:
                return False
            values[abs(open_literal)] = 1 if open_literal > 0 else 0
            depth_of[abs(open_literal)] = depth
            is_changed = True
    return True


@loop
def first_models(clauses: np.ndarray, models: np.ndarray, max_steps: int) -> np.ndarray:
    """(N,) 1 where a model was found, 0 where there is none, -1 undecided. clauses (N, M, K) signed variables
    from 1, 0 unused; models (N, V) is filled with 0 and 1, the first in the order 0 before 1."""
    found = np.zeros(len(clauses), np.int64)
    num_vars = models.shape[1]
    values, depth_of, tried = (
        np.zeros(num_vars + 1, np.int64),
        np.zeros(num_vars + 1, np.int64),
        np.zeros(num_vars + 2, np.int64),
    )
    for row in range(len(clauses)):
        for variable in range(num_vars + 1):
            values[variable] = -1
        depth, steps, is_alive = 0, 0, propagate(clauses[row], values, depth_of, 0)
        while found[row] == 0 and steps < max_steps:
            steps += 1
            variable = 1
            while variable <= num_vars and values[variable] >= 0:
                variable += 1
            if is_alive and variable > num_vars:
                found[row] = 1
            elif is_alive:
                depth += 1
                tried[depth] = variable
                values[variable], depth_of[variable] = 0, depth
                is_alive = propagate(clauses[row], values, depth_of, depth)
            else:
                # back to the last 0 that can be a 1; what is set at `depth` by trial is marked positive
                is_free = False
                while depth > 0 and not is_free:
                    variable = abs(tried[depth])
                    for each in range(1, num_vars + 1):
                        if values[each] >= 0 and depth_of[each] == depth:
                            values[each] = -1
                    is_free = tried[depth] > 0
                    if not is_free:
                        depth -= 1
                if not is_free:
                    break
                tried[depth] = -variable
                values[variable], depth_of[variable] = 1, depth
                is_alive = propagate(clauses[row], values, depth_of, depth)
        if found[row] == 0 and steps >= max_steps:
            found[row] = -1
        for variable in range(num_vars):
            models[row, variable] = values[variable + 1] if found[row] == 1 else 0
    return found


@loop
def first_colourings(edges: np.ndarray, num_colours: int, colours: np.ndarray, max_steps: int) -> np.ndarray:
    """(N,) 1 where a colouring was found, 0 where there is none, -1 undecided. edges (N, V, V); colours (N,
    V) is filled with 1..num_colours; a vertex takes at most one colour more than those before it."""
    found = np.zeros(len(edges), np.int64)
    for row in range(len(edges)):
        mine, vertex, steps = colours[row], 0, 0
        for each in range(len(mine)):
            mine[each] = 0
        while vertex >= 0 and vertex < len(mine) and steps < max_steps:
            steps += 1
            most = 1
            for before in range(vertex):
                most = max(most, mine[before] + 1)
            colour, is_fit = mine[vertex] + 1, False
            while not is_fit and colour <= min(most, num_colours):
                is_fit = True
                for before in range(vertex):
                    if edges[row, vertex, before] and mine[before] == colour:
                        is_fit = False
                        break
                if not is_fit:
                    colour += 1
            mine[vertex] = colour if is_fit else 0
            vertex += 1 if is_fit else -1
        found[row] = 1 if vertex == len(mine) else 0 if vertex < 0 else -1
    return found
