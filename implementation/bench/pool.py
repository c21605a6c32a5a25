"""Six digit classifiers pooled online, beside pools without learned weights and Hedge, under faults.

Digits (scikit-learn, 1,797 images of 8 x 8): each classifier learns from the same 300 images, and the rest
comes as a stream whose label is known after each answer. From a third of the stream on, a fault holds until
its end: the source with the least loss so far gives each class the probability of the next one; two sources
are sure of a wrong class; two give equal probabilities. A figure is the mean negative log likelihood in nats
in that window, over the seeds of split, order and classifiers; the rate of the temperatures was chosen on
other seeds (0 to 5). All probabilities are floored at 1e-4. Hedge (Freund and Schapire 1997) is a linear pool
whose weights are exp(-rate x loss so far), rate 0.5. The pools without learned weights are the linear mean,
the equal log pool and the product of experts.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import harness
import numpy as np

from sage.runtime.trust.answers.pool import FLOOR, LogPool

NUM_TRAIN, NUM_CLASSES = 300, 10
CASES = ("nominal", "best lies", "two confidently wrong", "two empty")
FIXED = ("linear mean", "equal log pool", "product of experts")
HEDGE_RATE = 0.5
SURE = 0.99
FIRST_SEED, NUM_SEEDS, QUICK_SEEDS = 100, 10, 2
UNDER_FAULT, NOMINAL = 0.75, 1.12


@dataclass(frozen=True)
class Stream:
    """given: (T, N, K) probabilities.  labels: (T,)."""

    given: np.ndarray
    labels: np.ndarray


def classifiers(seed: int) -> dict[str, Any]:
    """Six of different kinds and skill."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.naive_bayes import GaussianNB
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.tree import DecisionTreeClassifier

    return {
        "logistic": LogisticRegression(C=0.01, max_iter=2000),
        "neighbours": KNeighborsClassifier(8),
        "forest": RandomForestClassifier(40, random_state=seed),
        "discriminant": LinearDiscriminantAnalysis(shrinkage=0.1, solver="lsqr"),
        "bayes": GaussianNB(var_smoothing=1e-2),
        "tree": DecisionTreeClassifier(min_samples_leaf=5, random_state=seed),
    }


def make_stream(seed: int) -> Stream:
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(labels))
    train, rest = order[:NUM_TRAIN], order[NUM_TRAIN:]
    given = np.stack(
        [
            each.fit(images[train], labels[train]).predict_proba(images[rest])
            for each in classifiers(seed).values()
        ],
        axis=1,
    )
    return Stream(given, labels[rest])


def with_fault(stream: Stream, case: str, seed: int) -> Stream:
    """The same stream with a fault from a third of it on."""
    start = len(stream.labels) // 3
    given, generator = stream.given.copy(), np.random.default_rng([seed, 1])
    losses = single_losses(stream)[:start].mean(axis=0)
    if case == "best lies":
        best = int(losses.argmin())
        given[start:, best] = np.roll(given[start:, best], 1, axis=-1)
    elif case != "nominal":
        chosen = np.argsort(losses)[[0, 2]]  # the best one is among them
        for source in chosen.tolist():
            if case == "two empty":
                given[start:, source] = 1 / NUM_CLASSES
            else:
                wrong = (stream.labels[start:] + generator.integers(1, NUM_CLASSES, len(given) - start)) % (
                    NUM_CLASSES
                )
                given[start:, source] = (1 - SURE) / (NUM_CLASSES - 1)
                given[np.arange(start, len(given)), source, wrong] = SURE
    return Stream(given, stream.labels)


def single_losses(stream: Stream) -> np.ndarray:
    """(T, N)"""
    rows = np.arange(len(stream.labels))
    return -np.log(_floored(stream.given)[rows, :, stream.labels])


def log_pool(stream: Stream) -> np.ndarray:
    """(T,) losses of the pool of sage.runtime.trust."""
    pool = LogPool(stream.given.shape[1], NUM_CLASSES)
    losses = []
    for given, label in zip(stream.given, stream.labels.tolist()):
        losses.append(-np.log(pool.fuse(given)[label]))
        pool.update(given, label)
    return np.array(losses)


def linear_mean(stream: Stream) -> np.ndarray:
    return _losses(_floored(stream.given).mean(axis=1), stream.labels)


def equal_log_pool(stream: Stream) -> np.ndarray:
    return _losses(_pooled(stream.given, 1 / stream.given.shape[1]), stream.labels)


def product_of_experts(stream: Stream) -> np.ndarray:
    return _losses(_pooled(stream.given, 1.0), stream.labels)


def hedge(stream: Stream) -> np.ndarray:
    losses = single_losses(stream)
    before = np.vstack([np.zeros(losses.shape[1]), np.cumsum(losses, axis=0)[:-1]])
    weights = np.exp(-HEDGE_RATE * (before - before.min(axis=1, keepdims=True)))
    weights /= weights.sum(axis=1, keepdims=True)
    return _losses(np.einsum("tn,tnk->tk", weights, _floored(stream.given)), stream.labels)


POOLS: dict[str, Callable[[Stream], np.ndarray]] = {
    "online log pool": log_pool,
    "linear mean": linear_mean,
    "equal log pool": equal_log_pool,
    "product of experts": product_of_experts,
    "Hedge": hedge,
}


def _floored(given: np.ndarray) -> np.ndarray:
    floored = np.maximum(given, FLOOR)
    return floored / floored.sum(axis=-1, keepdims=True)


def _pooled(given: np.ndarray, weight: float) -> np.ndarray:
    """(T, K)"""
    logs = weight * np.log(_floored(given)).sum(axis=1)
    logs = np.exp(logs - logs.max(axis=-1, keepdims=True))
    return logs / logs.sum(axis=-1, keepdims=True)


def _losses(pooled: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return -np.log(np.maximum(pooled[np.arange(len(labels)), labels], FLOOR / NUM_CLASSES))


def measure(num_seeds: int) -> dict[str, dict[str, list[float]]]:
    """Pool -> case -> the window's loss of each seed; "best single" has that of the best classifier."""
    found: dict[str, dict[str, list[float]]] = {}
    for seed in range(FIRST_SEED, FIRST_SEED + num_seeds):
        clean = make_stream(seed)
        start = len(clean.labels) // 3
        for case in CASES:
            stream = with_fault(clean, case, seed)
            losses = {name: float(pool(stream)[start:].mean()) for name, pool in POOLS.items()}
            losses["best single"] = float(single_losses(stream)[start:].mean(axis=0).min())
            for name, loss in losses.items():
                found.setdefault(name, {}).setdefault(case, []).append(loss)
    return found


def bars_of(means: dict[str, dict[str, float]], *, is_quick: bool) -> list[harness.Bar]:
    """Owed with fewer seeds."""
    ours = means["online log pool"]
    ratios = {
        f"{case}: against the best pool without learned weights": (
            ours[case] / min(means[name][case] for name in FIXED),
            UNDER_FAULT,
        )
        for case in CASES[1:]
    }
    ratios["nominal: against the best single source"] = (
        ours["nominal"] / means["best single"]["nominal"],
        NOMINAL,
    )
    return [
        harness.Bar(name=name, value=None if is_quick else value, bar=bar, better="lower")
        for name, (value, bar) in ratios.items()
    ]


def losses_table(found: dict[str, dict[str, list[float]]]) -> harness.TextTable:
    rows = [
        (name, *(f"{np.mean(by_case[case]):.3f} ± {np.std(by_case[case]):.3f}" for case in CASES))
        for name, by_case in found.items()
    ]
    title = "Negative log likelihood in the window, nats: mean and standard deviation over the seeds"
    return harness.TextTable(title=title, columns=("pool", *CASES), rows=tuple(rows))


def main() -> None:
    parser = harness.argument_parser(__doc__)
    arguments = parser.parse_args()
    if importlib.util.find_spec("sklearn") is None:
        raise SystemExit("pool: scikit-learn is missing: pip install scikit-learn")
    found = measure(QUICK_SEEDS if arguments.quick else NUM_SEEDS)
    means = {
        name: {case: float(np.mean(each)) for case, each in by_case.items()}
        for name, by_case in found.items()
    }
    bars = bars_of(means, is_quick=arguments.quick)
    whole = harness.document(
        "pool",
        {"losses": found, "means": means, "calibration": harness.calibrate()},
        bars,
        peers=("scikit-learn",),
    )
    tables = [losses_table(found), harness.bars_table(bars)]
    harness.finish(whole, tables, is_saved=arguments.save, notes=(__doc__ or "").partition("\n\n")[2])


if __name__ == "__main__":
    main()
