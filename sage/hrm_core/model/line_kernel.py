"""Sums along the lines of squares of cells, and the normed gate of a token and its lines, compiled; for
`lines`.

Invariant: the results of torch's operations to fp32's rounding; every array is float32 and contiguous, except
that `sum_lines` takes values in bf16, too: their bits, as uint16.
Shapes: C cells of all puzzles in the order puzzle, row, column; Y tokens a cell; W numbers a token. A row, a
column and a box have one token a symbol, the line through the symbols of a cell has one token.
values (C, Y W); row, col (puzzles * side, Y W); box (puzzles * boxes, Y W); cell (C, W). box and cell have no
rows where the model has no such line.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call"
# numba takes the types from the call; annotating twenty arrays would hide the arithmetic.
from __future__ import annotations

import numpy as np
from numba import types
from numba.extending import overload

from sage.compiled import kernel
from sage.hrm_core.model.norm_kernel import gate_row, inlined


def wide(values, j):
    """values[j] in fp32."""
    return float(values[j])


@overload(wide)
def _compiled_wide(values, j):
    if values.dtype == types.uint16:
        return lambda values, j: np.uint32(np.uint32(values[j]) << np.uint32(16)).view(np.float32)
    return lambda values, j: values[j]


@inlined
def add(total, part):
    for j in range(len(total)):
        total[j] += wide(part, j)


@inlined
def add_two(total, a, b):
    for j in range(len(total)):
        total[j] += wide(a, j) + wide(b, j)


@inlined
def _add_four(total, a, b, c, d):
    for j in range(len(total)):
        total[j] += (a[j] + b[j]) + (c[j] + d[j])


@inlined
def box_of(place, side, box_rows, box_cols):
    """The box of a cell, counted through all puzzles."""
    return place // side // box_rows * (side // box_cols) + place % side // box_cols


@inlined
def _scale(lines, factor):
    for i in range(len(lines)):
        for j in range(lines.shape[1]):
            lines[i, j] *= factor


@inlined
def _root(num):
    return np.float32(1.0) / np.sqrt(np.float32(num))


@kernel
def sum_lines(values, side, box_rows, box_cols, row, col, box, cell):
    """row, col, box, cell = the sum of each line / sqrt(its length)."""
    for lines in (row, col, box, cell):
        lines[:] = np.float32(0.0)
    size = cell.shape[1]
    num = values.shape[1] // size
    for place in range(len(values)):
        own, line = values[place], place // side
        add(row[line], own)
        add(col[line // side * side + place % side], own)
        if len(box):
            add(box[box_of(place, side, box_rows, box_cols)], own)
        if len(cell):
            for k in range(num):
                add(cell[place], own[k * size : (k + 1) * size])
    _scale(row, _root(side))
    _scale(col, _root(side))
    _scale(box, _root(box_rows * box_cols))
    _scale(cell, _root(num))


@kernel
def add_lines(values, side, box_rows, box_cols, row, col, box, cell):
    """values += the lines that each token belongs to."""
    size = cell.shape[1]
    for place in range(len(values)):
        own, line = values[place], place // side
        add_two(own, row[line], col[line // side * side + place % side])
        if len(box):
            add(own, box[box_of(place, side, box_rows, box_cols)])
        if len(cell):
            for k in range(values.shape[1] // size):
                add(own[k * size : (k + 1) * size], cell[place])


@kernel
def gate_lines(gate_up, side, box_rows, box_cols, row, col, box, cell, eps, out, r):
    """gate_up (C Y, 2 F) += its lines; out (C Y, F) = sigmoid(g) * r p, where p = g u; r (C Y,)."""
    wide, size = gate_up.shape[1], out.shape[1]
    num = row.shape[1] // wide
    for place in range(len(gate_up) // num):
        line = place // side
        row_line, col_line = row[line], col[line // side * side + place % side]
        for k in range(num):
            token, first, last = place * num + k, k * wide, k * wide + wide
            own = gate_up[token]
            if len(box) and len(cell):
                box_line = box[box_of(place, side, box_rows, box_cols)]
                _add_four(own, row_line[first:last], col_line[first:last], box_line[first:last], cell[place])
            else:
                add_two(own, row_line[first:last], col_line[first:last])
                if len(box):
                    add(own, box[box_of(place, side, box_rows, box_cols)][first:last])
                if len(cell):
                    add(own, cell[place])
            r[token] = gate_row(own[:size], own[size:], out[token], np.float32(eps))
