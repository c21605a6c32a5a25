"""The whole Hierarchical Reasoning Model in plain Python: scalar autograd, two nets, ACT with Q-learning.

It learns a^n b^n: `.aaab` continues as `bb.`, which requires counting. It is also the reference of the real
model: tests load the same weights into both and compare outputs and gradients.

    python examples/micro_hrm.py [--steps 800] [--seed 0] [--max-n 5]

Invariant: arithmetic on Values builds a graph, the same arithmetic on floats builds none; the paper's
one-step gradient needs nothing else. Weights are named as in the published files. Shapes: S tokens, D hidden,
E a head.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import signal
import sys
import time
from dataclasses import dataclass
from operator import mul

SYMBOLS, EPS, THETA = ".ab", 1e-5, 10000.0


class Value:
    """A number with its graph: `slopes` are its derivatives with respect to its `parents`."""

    __slots__ = ("data", "grad", "parents", "slopes")
    tape: list[Value] = []  # noqa: RUF012  all Values in order of creation: backward needs no sort

    def __init__(self, data: float, parents: tuple[Value, ...] = (), slopes: tuple[float, ...] = ()) -> None:
        self.data, self.grad, self.parents, self.slopes = data, 0.0, parents, slopes
        if parents:
            Value.tape.append(self)

    def __add__(self, other: Value | float) -> Value:
        return Value(
            self.data + plain(other), (self, other) if isinstance(other, Value) else (self,), (1.0, 1.0)
        )

    def __mul__(self, other: Value | float) -> Value:
        return Value(
            self.data * plain(other),
            (self, other) if isinstance(other, Value) else (self,),
            (plain(other), self.data),
        )

    __radd__, __rmul__ = __add__, __mul__

    @classmethod
    def backward(cls, loss: Value) -> None:
        """Add d loss / d leaf to every leaf's grad, then clear the graph."""
        loss.grad = 1.0
        for node in reversed(cls.tape):
            if node.grad:
                for parent, slope in zip(node.parents, node.slopes):
                    parent.grad += slope * node.grad
        cls.tape.clear()


Number = Value | float
Vector = list[Number]
Matrix = list[Vector]
Weights = dict[str, Matrix]
Carry = tuple[Matrix, Matrix]  # z_H, z_L, each (S, D)


def plain(x: Number) -> float:
    return x.data if type(x) is Value else x


def floats(x: Vector) -> list[float]:
    return [each.data for each in x] if type(x[0]) is Value else x


def function(x: Number, y: float, slope: float) -> Number:
    """y = f(x), with the derivative of f at x."""
    return Value(y, (x,), (slope,)) if isinstance(x, Value) else y


def power(x: Number, exponent: float) -> Number:
    return function(x, plain(x) ** exponent, exponent * plain(x) ** (exponent - 1.0))


def exp(x: Number) -> Number:
    return function(x, math.exp(plain(x)), math.exp(plain(x)))


def sigmoid(x: float) -> float:
    return 0.5 * (1.0 + math.tanh(0.5 * x))


def silu(x: Number) -> Number:
    gate = sigmoid(plain(x))
    return function(x, plain(x) * gate, gate * (1.0 + plain(x) * (1.0 - gate)))


def cross_entropy(q: Number, target: float) -> Number:
    """Binary cross entropy of a logit: log(1 + e^q) - target q."""
    x = plain(q)
    return function(q, max(x, 0.0) + math.log1p(math.exp(-abs(x))) - target * x, sigmoid(x) - target)


def argmax(x: Vector) -> int:
    return max(range(len(x)), key=lambda i: plain(x[i]))


def dot(a: Vector, b: Vector) -> Number:
    """sum a_i b_i as one node instead of two a term. A vector has only Values or only floats."""
    x, y = (floats(each) for each in (a, b))
    total, parents, slopes = sum(map(mul, x, y)), [], []
    for vector, own, other in ((a, x, y), (b, y, x)):
        if own is not vector:
            parents += vector
            slopes += other
    return Value(total, tuple(parents), tuple(slopes)) if parents else total


def linear(rows: Matrix, x: Vector) -> Vector:
    return [dot(row, x) for row in rows]


def rms_norm(x: Vector) -> Vector:
    scale = power(dot(x, x) * (1.0 / len(x)) + EPS, -0.5)
    return [each * scale for each in x]


def add(x: Vector, y: Vector) -> Vector:
    return [one + other for one, other in zip(x, y)]


def rotate(x: Vector, position: int) -> Vector:
    """RoPE: components i and i + E/2 are one pair, rotated by position * theta^(-2i/E)."""
    half = len(x) // 2
    angles = [position * THETA ** (-i / half) for i in range(half)]
    left = [x[i] * math.cos(angle) + x[i + half] * -math.sin(angle) for i, angle in enumerate(angles)]
    return left + [x[i + half] * math.cos(angle) + x[i] * math.sin(angle) for i, angle in enumerate(angles)]


def attention(w: Weights, name: str, xs: Matrix, num_heads: int) -> Matrix:
    """Causal: each token attends to itself and to earlier tokens."""
    size = len(xs[0])
    width, qkv = size // num_heads, [linear(w[f"{name}.qkv_proj.weight"], x) for x in xs]
    mixed: Matrix = [[] for _ in xs]
    for first in range(0, size, width):
        q, k = ([rotate(row[start + first :][:width], s) for s, row in enumerate(qkv)] for start in (0, size))
        for s, out in enumerate(mixed):
            weights = [exp(dot(q[s], each) * width**-0.5) for each in k[: s + 1]]
            share = power(dot(weights, [1.0] * len(weights)), -1.0)
            for column in range(2 * size + first, 2 * size + first + width):
                out.append(dot(weights, [row[column] for row in qkv[: s + 1]]) * share)
    return [linear(w[f"{name}.o_proj.weight"], out) for out in mixed]


def swiglu(w: Weights, name: str, x: Vector) -> Vector:
    both, inner = linear(w[f"{name}.gate_up_proj.weight"], x), len(w[f"{name}.gate_up_proj.weight"]) // 2
    return linear(
        w[f"{name}.down_proj.weight"], [silu(gate) * up for gate, up in zip(both[:inner], both[inner:])]
    )


def net(w: Weights, name: str, h: Matrix, injection: Matrix, num_heads: int) -> Matrix:
    """h + injection, then blocks: rms(h + attention(h)), rms(h + swiglu(h))."""
    h, layer = [add(x, y) for x, y in zip(h, injection)], 0
    while (block := f"{name}.layers.{layer}") + ".mlp.down_proj.weight" in w:
        h = [rms_norm(add(x, y)) for x, y in zip(h, attention(w, f"{block}.self_attn", h, num_heads))]
        h = [rms_norm(add(x, swiglu(w, f"{block}.mlp", x))) for x in h]
        layer += 1
    return h


@dataclass
class HRM:
    """Weights and counts. The carry is an argument and a result, as floats: no graph spans two segments."""

    weights: Weights
    num_heads: int = 2
    H_cycles: int = 1
    L_cycles: int = 2

    def start(self, num_tokens: int) -> Carry:
        H_init, L_init = (self.weights[name][0] for name in ("H_init", "L_init"))
        return [[*H_init] for _ in range(num_tokens)], [[*L_init] for _ in range(num_tokens)]

    def segment(
        self, carry: Carry, tokens: list[int], *, has_graph: bool = True
    ) -> tuple[Carry, Matrix, Vector]:
        """The carry (floats), logits (S, V), [q_halt, q_continue]. Gradients flow through the last L call and
        the last H call only.
        """
        frozen: Weights = {name: [[*floats(row)] for row in rows] for name, rows in self.weights.items()}
        w, num_calls, (z_H, z_L) = self.weights if has_graph else frozen, self.H_cycles * self.L_cycles, carry
        for call in range(num_calls):
            now = w if call == num_calls - 1 else frozen
            xs = [
                [x * len(z_H[0]) ** 0.5 for x in now["embed_tokens.embedding_weight"][token]]
                for token in tokens
            ]
            z_L = net(now, "L_level", z_L, [add(x, z) for x, z in zip(xs, z_H)], self.num_heads)
            if (call + 1) % self.L_cycles == 0:
                z_H = net(now, "H_level", z_H, z_L, self.num_heads)
        logits = [linear(w["lm_head.weight"], z) for z in z_H]
        q = add(linear(w["q_head.weight"], z_H[-1]), w["q_head.bias"][0])
        return ([floats(z) for z in z_H], [floats(z) for z in z_L]), logits, q


def stablemax_loss(logits: Vector, label: int) -> Number:
    """-log(s_label / sum s), s(x) = x + 1 above 0, 1 / (1 - x) below."""
    s = [x + 1.0 if plain(x) >= 0 else power(x * -1.0 + 1.0, -1.0) for x in logits]
    total = dot([*s], [1.0] * len(s)) * power(s[label], -1.0)
    return function(total, math.log(plain(total)), 1.0 / plain(total))


def segment_loss(logits: Matrix, q: Vector, labels: list[int | None], q_target: float) -> tuple[Number, bool]:
    """Mean cross entropy of the labelled cells + 0.5 (BCE(q_halt, is_exact) + BCE(q_continue, q_target));
    is_exact: all labelled cells are correct.
    """
    counted = [(row, label) for row, label in zip(logits, labels) if label is not None]
    is_exact = all(argmax(row) == label for row, label in counted)
    losses = [stablemax_loss(row, label) for row, label in counted]
    q_loss = cross_entropy(q[0], float(is_exact)) + cross_entropy(q[1], q_target)
    return dot(losses, [1.0 / len(losses)] * len(losses)) + q_loss * 0.5, is_exact


def draw_weights(rng: random.Random, *, size: int = 8, inner: int = 16, num_layers: int = 1) -> Weights:
    """Normal, std 1/sqrt(fan in). Initial states: std 1, not trained. Q head: weights 0, bias -5."""

    def matrix(num_rows: int, num_columns: int, std: float) -> Matrix:
        return [[Value(rng.gauss(0.0, std)) for _ in range(num_columns)] for _ in range(num_rows)]

    shapes = {"embed_tokens.embedding_weight": (len(SYMBOLS), size), "lm_head.weight": (len(SYMBOLS), size)}
    for name in (f"{each}_level.layers.{layer}" for each in "HL" for layer in range(num_layers)):
        shapes |= {
            f"{name}.self_attn.qkv_proj.weight": (3 * size, size),
            f"{name}.self_attn.o_proj.weight": (size, size),
        }
        shapes |= {
            f"{name}.mlp.gate_up_proj.weight": (2 * inner, size),
            f"{name}.mlp.down_proj.weight": (size, inner),
        }
    weights = {name: matrix(*shape, shape[1] ** -0.5) for name, shape in shapes.items()}
    starts: Weights = {name: [[rng.gauss(0.0, 1.0) for _ in range(size)]] for name in ("H_init", "L_init")}
    q_head = {"q_head.weight": matrix(2, size, 0.0), "q_head.bias": [[Value(-5.0), Value(-5.0)]]}
    return weights | starts | q_head


class Adam:
    """AdamATan2: the step is atan2(m, sqrt(v)), bounded for any gradient."""

    def __init__(self, weights: Weights) -> None:
        self.leaves = [x for rows in weights.values() for row in rows for x in row if isinstance(x, Value)]
        self.m, self.v = [0.0] * len(self.leaves), [0.0] * len(self.leaves)
        self.count = 0

    def step(self, learning_rate: float) -> None:
        self.count += 1
        m_scale, v_scale = 1.0 - 0.9**self.count, 1.0 - 0.95**self.count
        for i, leaf in enumerate(self.leaves):
            self.m[i] += 0.1 * (leaf.grad - self.m[i])
            self.v[i] += 0.05 * (leaf.grad**2 - self.v[i])
            leaf.data -= learning_rate * math.atan2(self.m[i] / m_scale, math.sqrt(self.v[i] / v_scale))
            leaf.grad = 0.0


def puzzle(n: int) -> tuple[list[int], list[int | None]]:
    """`.aaabbb` and the next symbols; None where the next symbol is undetermined (up to the last a)."""
    text = "." + "a" * n + "b" * n
    ids = [SYMBOLS.index(symbol) for symbol in text + "."]
    return ids[:-1], [None if s <= n else ids[s + 1] for s in range(len(text))]


def train(model: HRM, *, num_steps: int, max_n: int, rng: random.Random, max_segments: int = 3) -> None:
    """One optimizer step a segment; a puzzle ends when q_halt > q_continue, or after max_segments."""
    optimizer, is_halted, num_done = Adam(model.weights), True, 0
    for step in range(num_steps):
        if is_halted:
            tokens, labels = puzzle(rng.randint(1, max_n))
            carry, num_done = model.start(len(tokens)), 0
            fewest = rng.randint(2, max_segments) if rng.random() < 0.1 else 1  # exploration
        carry, logits, q = model.segment(carry, tokens)
        num_done += 1
        is_last = num_done >= max_segments
        after = floats(model.segment(carry, tokens, has_graph=False)[2])  # Q-learning: Q of one segment more
        loss, is_exact = segment_loss(logits, q, labels, sigmoid(after[0] if is_last else max(after)))
        Value.backward(loss)
        optimizer.step(0.01 * (1.0 - step / num_steps))
        is_halted = is_last or (plain(q[0]) > plain(q[1]) and num_done >= fewest)
        if step % 100 == 0:
            print(
                f"step {step:5d}  loss {plain(loss):.4f}  n {labels.count(None) - 1}  exact {is_exact}",
                flush=True,
            )


def complete(model: HRM, prompt: str, max_segments: int = 3) -> str:
    """Greedy text after the prompt, up to the full stop; segments a symbol: until q_halt > q_continue."""
    text = prompt
    while len(text) < 3 * len(prompt) and (text == prompt or not text.endswith(".")):
        tokens = [SYMBOLS.index(symbol) for symbol in text]
        carry = model.start(len(tokens))
        for _ in range(max_segments):
            carry, logits, q = model.segment(carry, tokens, has_graph=False)
            if plain(q[0]) > plain(q[1]):
                break
        text += SYMBOLS[argmax(logits[-1])]
    return text[len(prompt) :]


def stop(number: int, _frame: object) -> None:
    print(f"micro_hrm: stopped by {signal.Signals(number).name}", file=sys.stderr)
    sys.exit(128 + signal.SIGTERM)


def main() -> None:
    parser = argparse.ArgumentParser(description="HRM in plain Python learns a^n b^n.")
    for name, default in (("--steps", 800), ("--seed", 0), ("--max-n", 5)):
        parser.add_argument(name, type=int, default=default)
    options = parser.parse_args()
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, stop)
    rng, began = random.Random(options.seed), time.process_time()
    model = HRM(draw_weights(rng))
    train(model, num_steps=options.steps, max_n=options.max_n, rng=rng)
    answers = {n: complete(model, "." + "a" * n + "b") for n in range(1, options.max_n + 1)}
    for n, answer in answers.items():
        print(f".{'a' * n}b -> {answer}")
    num_right = sum(answer == "b" * (n - 1) + "." for n, answer in answers.items())
    print(f"{num_right} of {options.max_n} prompts are completed with the right number of b's")
    print(
        json.dumps(
            {"right": num_right, "of": options.max_n, "cpu_secs": round(time.process_time() - began, 2)}
        )
    )


if __name__ == "__main__":
    main()
