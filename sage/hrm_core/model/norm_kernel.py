"""RMS norm and the normed gate, each way in one pass over memory, compiled. Their formulas are in
`norms`.

Invariant: the same as `norms` to fp32's rounding; every array is float32 and contiguous, (N, F) or (N, 2 F),
r (N,).
"""

# mypy: no-warn-return-any
# what an array holds is known to numba, not to mypy
from __future__ import annotations

from typing import Any

import numba
import numpy as np

from sage.compiled import kernel

_ONE, _HALF, _FAR = np.float32(1.0), np.float32(0.5), np.float32(18.0)
#: sigmoid(x) - 1/2 as x P(x^2) / Q(x^2), lowest power first: Eigen's, to 1e-7 where |x| <= 18, and flat
#: beyond.
_P0, _P1, _P2 = (
    np.float32(2.48287947061529e-01),
    np.float32(8.51377133304701e-03),
    np.float32(6.08574864600143e-05),
)
_P3, _P4 = np.float32(1.15627324459942e-07), np.float32(4.37031012579801e-11)
_Q0, _Q1, _Q2 = (
    np.float32(9.93151921023180e-01),
    np.float32(1.16817656904453e-01),
    np.float32(1.70198817374094e-03),
)
_Q3, _Q4, _Q5 = (
    np.float32(6.29106785017040e-06),
    np.float32(5.76102136993427e-09),
    np.float32(6.10247389755681e-13),
)


def inlined(function: Any) -> Any:
    """For loops inside kernels: sums may be reordered, so that they are taken eight and sixteen at a time."""
    no_door: Any = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return numba.njit(error_model="numpy", fastmath={"reassoc", "contract", "nsz"}, **no_door)(function)


@inlined
def _sigmoid(x: np.float32) -> np.float32:
    """Without a call of exp, which would keep the loop from being taken eight at a time."""
    x = min(max(x, -_FAR), _FAR)
    y = x * x
    p = ((((_P4 * y + _P3) * y + _P2) * y + _P1) * y + _P0) * x
    q = ((((_Q5 * y + _Q4) * y + _Q3) * y + _Q2) * y + _Q1) * y + _Q0
    return p / q + _HALF


@inlined
def gate_row(gate: np.ndarray, up: np.ndarray, out: np.ndarray, eps: np.float32) -> np.float32:
    total = np.float32(0.0)
    for j in range(len(out)):
        product = gate[j] * up[j]
        total += product * product
    r = _ONE / np.sqrt(total / np.float32(len(out)) + eps)
    for j in range(len(out)):
        out[j] = _sigmoid(gate[j]) * (gate[j] * up[j] * r)
    return r


@inlined
def gate_row_back(
    do: np.ndarray, gate: np.ndarray, up: np.ndarray, r: np.float32, d_gate: np.ndarray, d_up: np.ndarray
) -> None:
    total = np.float32(0.0)
    for j in range(len(do)):
        s = _sigmoid(gate[j])
        d_gate[j] = s
        total += do[j] * (s * (gate[j] * up[j] * r))
    mean = total / np.float32(len(do))
    for j in range(len(do)):
        s, y = d_gate[j], gate[j] * up[j] * r
        dp = r * (do[j] * s - y * mean)
        d_up[j] = dp * gate[j]
        d_gate[j] = dp * up[j] + do[j] * s * y * (_ONE - s)


@inlined
def _norm_row(a: np.ndarray, b: np.ndarray, out: np.ndarray, eps: np.float32) -> np.float32:
    total = np.float32(0.0)
    for j in range(len(out)):
        out[j] = a[j] + b[j]
        total += out[j] * out[j]
    r = _ONE / np.sqrt(total / np.float32(len(out)) + eps)
    for j in range(len(out)):
        out[j] *= r
    return r


@inlined
def _norm_row_back(do: np.ndarray, out: np.ndarray, r: np.float32, dx: np.ndarray) -> None:
    total = np.float32(0.0)
    for j in range(len(out)):
        total += do[j] * out[j]
    mean = total / np.float32(len(out))
    for j in range(len(out)):
        dx[j] = r * (do[j] - out[j] * mean)


@kernel
def gate(gate_up: np.ndarray, eps: float, out: np.ndarray, r: np.ndarray) -> None:
    """out = sigmoid(g) * r p of cat(g, u), p = g u."""
    size = out.shape[1]
    for row in range(len(out)):
        r[row] = gate_row(gate_up[row, :size], gate_up[row, size:], out[row], np.float32(eps))


@kernel
def gate_back(do: np.ndarray, gate_up: np.ndarray, r: np.ndarray, d_gate_up: np.ndarray) -> None:
    """d_gate_up = cat(dg, du) of do."""
    size = do.shape[1]
    for row in range(len(do)):
        d_row = d_gate_up[row]
        gate_row_back(do[row], gate_up[row, :size], gate_up[row, size:], r[row], d_row[:size], d_row[size:])


@kernel
def norm(a: np.ndarray, b: np.ndarray, eps: float, out: np.ndarray, r: np.ndarray) -> None:
    """out = r (a + b)."""
    for row in range(len(out)):
        r[row] = _norm_row(a[row], b[row], out[row], np.float32(eps))


@kernel
def norm_back(do: np.ndarray, out: np.ndarray, r: np.ndarray, dx: np.ndarray) -> None:
    """dx of do, a's and b's alike."""
    for row in range(len(out)):
        _norm_row_back(do[row], out[row], r[row], dx[row])
