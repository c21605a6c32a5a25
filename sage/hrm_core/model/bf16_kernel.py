"""The normed gate of a token and its lines, and the norm of a sum, in bf16, compiled; for `lines`.

Invariant: numbers are widened to fp32, computed as by `line_kernel` and `norm_kernel`, and rounded to the
nearest bf16 once, where they are stored.
Shapes: as in `line_kernel`. An array of bf16 has the dtype uint16, its bits.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call"
# numba takes the types from the call; annotating twenty arrays would hide the arithmetic.
from __future__ import annotations

import numpy as np

from sage.compiled import kernel
from sage.hrm_core.model.line_kernel import add, add_two, box_of, wide
from sage.hrm_core.model.norm_kernel import gate_row, inlined

_HIGH = np.uint32(16)
_ONE, _HALF = np.uint32(1), np.uint32(0x7FFF)
_NAN = np.uint16(0x7FC0)


@inlined
def _narrow(value):
    """The nearest bf16 of fp32; of two, the even one."""
    bits = np.float32(value).view(np.uint32)
    rounded = np.uint32(bits + _HALF + ((bits >> _HIGH) & _ONE)) >> _HIGH
    return np.uint16(rounded) if value == value else _NAN  # nan is not itself


@inlined
def _sum(total, a, b):
    for j in range(len(total)):
        total[j] = wide(a, j) + wide(b, j)


@inlined
def _store(values, out):
    for j in range(len(out)):
        out[j] = _narrow(values[j])


@inlined
def _scaled(total, eps):
    """total *= r, 1 / its root mean square: r."""
    square = np.float32(0.0)
    for j in range(len(total)):
        square += total[j] * total[j]
    r = np.float32(1.0) / np.sqrt(square / np.float32(len(total)) + eps)
    for j in range(len(total)):
        total[j] *= r
    return r


@kernel
def gate_lines(gate_up, side, box_rows, box_cols, row, col, box, cell, eps, out, r):
    """out (C Y, F) = sigmoid(g) * r p, p = g u, of cat(g, u) = gate_up (C Y, 2 F) + its lines; r (C Y,)."""
    both, size = gate_up.shape[1], out.shape[1]
    num = row.shape[1] // both
    token, gated = np.empty(both, np.float32), np.empty(size, np.float32)
    for place in range(len(gate_up) // num):
        line = place // side
        row_line, col_line = row[line], col[line // side * side + place % side]
        for k in range(num):
            first, last = k * both, k * both + both
            _sum(token, row_line[first:last], col_line[first:last])
            own = gate_up[place * num + k]
            if len(box):
                box_line = box[box_of(place, side, box_rows, box_cols)]
                add_two(token, own, box_line[first:last])
            else:
                add(token, own)
            if len(cell):
                add(token, cell[place])
            r[place * num + k] = gate_row(token[:size], token[size:], gated, np.float32(eps))
            _store(gated, out[place * num + k])


@kernel
def norm(a, b, eps, out, r):
    """out = r (a + b)."""
    total = np.empty(a.shape[1], np.float32)
    for row in range(len(out)):
        _sum(total, a[row], b[row])
        r[row] = _scaled(total, np.float32(eps))
        _store(total, out[row])
