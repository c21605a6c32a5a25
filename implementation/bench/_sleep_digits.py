"""Handwritten digits as five tasks in a row: split (two classes a task) and permuted (all classes, pixels
moved).

Imports numpy alone, so that the environment of a peer reads the same tasks. The file is digits.csv.gz of
scikit-learn: 1,797 rows of 64 pixels (0 to 16) and the class (UCI, Optical Recognition of Handwritten
Digits).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

NUM_TASKS, NUM_CLASSES, SIDE = 5, 10, 8
NUM_TEST = 360
MAX_PIXEL = 16.0
SCENARIOS = ("split", "permuted")
EPOCHS = {"split": 22, "permuted": 5}  # about 200 steps a task of BATCH_SIZE
BATCH_SIZE = 32
LEARNING_RATE = 1e-3
WIDTH = 256


@dataclass(frozen=True)
class DigitsTask:
    """x: (n, 64) float32 in 0..1.  y: (n,) int64.  pixel_order: (64,), which pixel of the image each is."""

    train_x: np.ndarray
    train_y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray
    pixel_order: np.ndarray


def make_tasks(file: Path, scenario: str, seed: int) -> list[DigitsTask]:
    """Five tasks; the held-out digits, the order of the classes and the permutations depend on the seed."""
    table = np.loadtxt(file, delimiter=",", dtype=np.float32)
    generator = np.random.default_rng(seed)
    rows = generator.permutation(len(table))
    x, y = table[rows, :-1] / np.float32(MAX_PIXEL), table[rows, -1].astype(np.int64)
    classes = generator.permutation(NUM_CLASSES).reshape(NUM_TASKS, -1)
    tasks = []
    for number in range(NUM_TASKS):
        order = np.arange(x.shape[1])
        chosen = np.ones(len(x), bool)
        if scenario == "split":
            chosen = np.isin(y, classes[number])
        elif number:
            order = generator.permutation(order)
        is_test = np.arange(len(x)) < NUM_TEST
        train, test = chosen & ~is_test, chosen & is_test
        tasks.append(DigitsTask(x[train][:, order], y[train], x[test][:, order], y[test], order))
    return tasks
