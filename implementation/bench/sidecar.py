"""The sidecar's capacity: pairs of a key and a value written once each, then recalled, by five write rules.

A pair is recalled if, of all values written, the one most similar to what is read (cosine) is its own. Keys
and values have 256 dimensions. Random keys are independent; correlated ones share a common direction, so that
two of them have a cosine of about 0.5. Values are independent.

RLS and delta are sage.memory.sidecar, one thread, float64 unless stated. Hebb adds v k' for keys of
length 1. "public Sidecar" is the rule of the public "Transformer Sidecar" v0.3.3 (SidecarV3, MIT
licence), written here from its source: mixture a = softmax(U'k / 0.5) over the key's 32 largest entries,
U and V decay by 0.995, then U += k a', V += v a', both times the gain, and each column of U and V is
scaled to length 1; read V a. The gain cancels in that scaling. Its read is a convex mixture of 64
columns, whatever was written.

CPU microseconds are the process's, median of the seeds; they vary with the machine and its load.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

import harness
import numpy as np
import torch

from sage.memory.sidecar.fast_weights import DeltaRule, RecursiveLeastSquares

DIM = 256
NUMS_OF_PAIRS = (64, 128, 256, 512, 1024)
QUICK_NUMS = (64, 1024)
SEEDS, QUICK_SEEDS = (0, 1, 2), (0,)
KINDS = ("random", "correlated")
LEAST_RECALL = 0.99


class Rule(Protocol):
    def write(self, key: torch.Tensor, value: torch.Tensor) -> object: ...

    def read(self, keys: torch.Tensor) -> torch.Tensor: ...


class Hebb:
    """M += v k' / |k|: no term for what is already bound."""

    def __init__(self, dim: int) -> None:
        self._weights = torch.zeros(dim, dim, dtype=torch.float64)

    def write(self, key: torch.Tensor, value: torch.Tensor) -> None:
        self._weights.addr_(value, key / key.norm())

    def read(self, keys: torch.Tensor) -> torch.Tensor:
        return keys @ self._weights.T


class PublicSidecar:
    """The rule of SidecarV3.fast with its defaults; see the module's docstring. Columns are float32."""

    def __init__(self, dim: int, *, rank: int = 64, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self._keys = torch.linalg.qr(torch.randn(dim, rank, generator=generator))[0]
        self._values = torch.linalg.qr(torch.randn(dim, rank, generator=generator))[0]

    def write(self, key: torch.Tensor, value: torch.Tensor, *, gain: float = 1.0) -> None:
        key, value = key.float(), value.float()
        for columns in (self._keys, self._values):
            columns.mul_(0.995)
        mixture = self._mixture(key[None])[0]
        for columns, vector in ((self._keys, key), (self._values, value)):
            columns.addr_(vector, mixture).mul_(0.1 * gain)
            columns.div_(columns.norm(dim=0, keepdim=True) + 1e-6)

    def read(self, keys: torch.Tensor) -> torch.Tensor:
        return self._mixture(keys.float()) @ self._values.T

    def _mixture(self, keys: torch.Tensor) -> torch.Tensor:
        """(n, dim) -> (n, rank)"""
        magnitudes = keys.abs()
        least = magnitudes.topk(min(32, keys.shape[1]), dim=1).values[:, -1:]
        return torch.softmax((keys * (magnitudes >= least)) @ self._keys / 0.5, dim=1)


RULES: dict[str, Callable[[], Rule]] = {
    "RLS": lambda: RecursiveLeastSquares(DIM, DIM),
    "RLS, float32": lambda: RecursiveLeastSquares(DIM, DIM, dtype=torch.float32),
    "RLS, rank 64": lambda: RecursiveLeastSquares(DIM, DIM, rank=64),
    "delta": lambda: DeltaRule(DIM, DIM),
    "Hebb": lambda: Hebb(DIM),
    "public Sidecar": lambda: PublicSidecar(DIM),
}


@dataclass(frozen=True)
class Capacity:
    """recall: share of pairs, 0..1, mean over the seeds.  write_cpu_us: median."""

    rule: str
    keys: str
    num_pairs: int
    recall: float
    write_cpu_us: float
    state_bytes: int


def make_pairs(kind: str, num: int, seed: int, dim: int = DIM) -> tuple[torch.Tensor, torch.Tensor]:
    """Keys of length 1 and values, (num, dim) each, float64."""
    generator = np.random.default_rng(seed)
    keys = generator.standard_normal((num, dim))
    if kind == "correlated":
        keys += generator.standard_normal(dim)
    keys /= np.linalg.norm(keys, axis=1, keepdims=True)
    return torch.from_numpy(keys), torch.from_numpy(generator.standard_normal((num, dim)))


def recalled_share(rule: Rule, keys: torch.Tensor, values: torch.Tensor) -> float:
    """Of pairs already written. A read without direction recalls nothing."""
    read = rule.read(keys).double()
    similarity = read @ (values / values.norm(dim=1, keepdim=True)).T
    right = similarity.argmax(1) == torch.arange(len(keys))
    return float((right & (read.norm(dim=1) > 0)).double().mean())


def measure(name: str, kind: str, num: int, seeds: Sequence[int]) -> Capacity:
    shares, times, size = [], [], 0
    for seed in seeds:
        keys, values = make_pairs(kind, num, seed)
        rule = RULES[name]()
        started = time.process_time()
        for key, value in zip(keys, values):
            rule.write(key, value)
        times.append((time.process_time() - started) / num * 1e6)
        shares.append(recalled_share(rule, keys, values))
        size = sum(each.nbytes for each in vars(rule).values() if isinstance(each, torch.Tensor))
    return Capacity(
        rule=name,
        keys=kind,
        num_pairs=num,
        recall=statistics.mean(shares),
        write_cpu_us=statistics.median(times),
        state_bytes=size,
    )


def bars_of(measured: Sequence[Capacity]) -> list[harness.Bar]:
    at_most = {(each.rule, each.keys): each for each in measured if each.num_pairs == 4 * DIM}
    return [
        harness.Bar(
            name=f"RLS: recall at {4 * DIM} pairs (4d), {kind} keys",
            value=at_most["RLS", kind].recall if ("RLS", kind) in at_most else None,
            bar=LEAST_RECALL,
            better="higher",
        )
        for kind in KINDS
    ]


def capacity_table(measured: Sequence[Capacity]) -> harness.TextTable:
    nums = sorted({each.num_pairs for each in measured})
    rows = []
    for name in RULES:
        for kind in KINDS:
            mine = [each for each in measured if (each.rule, each.keys) == (name, kind)]
            recall = {each.num_pairs: f"{each.recall:.3f}" for each in mine}
            rows.append(
                (
                    name,
                    kind,
                    *(recall[num] for num in nums),
                    f"{statistics.median(each.write_cpu_us for each in mine):.1f}",
                    f"{mine[0].state_bytes:,}",
                )
            )
    columns = ("rule", "keys", *(f"{num:,} pairs" for num in nums), "CPU us a write", "bytes")
    return harness.TextTable(
        title=f"Top-1 recall, {DIM} dimensions, each pair written once", columns=columns, rows=tuple(rows)
    )


def main() -> None:
    arguments = harness.argument_parser(__doc__).parse_args()
    torch.set_num_threads(1)
    nums, seeds = (QUICK_NUMS, QUICK_SEEDS) if arguments.quick else (NUMS_OF_PAIRS, SEEDS)
    with torch.no_grad():
        measured = [measure(name, kind, num, seeds) for name in RULES for kind in KINDS for num in nums]
    bars = bars_of(measured)
    results = {
        "dim": DIM,
        "seeds": list(seeds),
        "capacity": [asdict(each) for each in measured],
        "calibration": harness.calibrate(),
    }
    document = harness.document("sidecar", results, bars)
    tables = [capacity_table(measured), harness.bars_table(bars)]
    harness.finish(document, tables, is_saved=arguments.save, notes=(__doc__ or "").partition("\n\n")[2])


if __name__ == "__main__":
    main()
