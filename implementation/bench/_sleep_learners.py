"""Digits learned awake, then consolidated in nights with the package's own store and rehearsal.

Awake: about 200 steps a task, naive or DER++. Of the training digits a tenth, chosen by a hash, is never
trained on: it examines the nights. After a task its digits are offered to the replay store.
"""

from __future__ import annotations

import hashlib
import itertools
import time
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from _sleep_digits import BATCH_SIZE, LEARNING_RATE, NUM_CLASSES, SIDE, WIDTH, DigitsTask
from torch import Tensor, nn

from sage.memory.stores.labelled import Labelled, LabelledStore
from sage.memory.stores.replay import replay_weight
from sage.runtime.report import SleepOutcome
from sage.runtime.sleep.rehearsal import RehearsalPlan, Rehearsed, rehearsal_loss, rehearse

NUM_EXAMINED = 64
EXAMINED_RUN = 10  # one in so many digits is examined
MOVES = ((0, 1), (2, 1), (1, 0), (1, 2))  # corners in an image with a border of one pixel
#: Bytes of a stored experience: pixels and label; logits as float32.
PLAIN_BYTES, LOGITS_BYTES = SIDE * SIDE + 1, 4 * NUM_CLASSES

Wake = Literal["naive", "DER++"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How a row of the table learns. num_steps: of a night; 0: none.  wrong_labels: share of training
    labels replaced by another class.
    """

    name: str
    wake: Wake = "naive"
    num_steps: int = 300
    augmented: bool = False
    learning_rate: float = 1e-3
    wrong_labels: float = 0.0
    wake_epochs: float = 1.0


def build_network() -> nn.Module:
    widths = (SIDE * SIDE, WIDTH, WIDTH, NUM_CLASSES)
    first, second, last = (nn.Linear(given, made) for given, made in itertools.pairwise(widths))
    return nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), last)


def is_examined(x: np.ndarray) -> np.ndarray:
    """(n,) bool: a tenth of the digits by a hash of their pixels, whatever their order."""
    digests = [hashlib.blake2b(np.sort(row).tobytes(), digest_size=8).digest() for row in x]
    return np.array([int.from_bytes(digest, "big") % EXAMINED_RUN == 0 for digest in digests])


def make_augment(tasks: list[DigitsTask], scenario: str) -> Any:
    """Half of the images move by one pixel in one of four directions, before pixels are permuted; the class
    stays.
    """
    orders = torch.stack([torch.from_numpy(task.pixel_order) for task in tasks])  # (tasks, 64)
    inverses = orders.argsort(-1)
    is_split = scenario == "split"

    def augment(inputs: Tensor, contexts: Tensor, generator: torch.Generator) -> Tensor:
        num = len(inputs)
        images = inputs if is_split else inputs.gather(1, inverses[contexts])
        padded = F.pad(images.view(num, SIDE, SIDE), (1, 1, 1, 1))
        move = torch.randint(2 * len(MOVES), (num,), generator=generator)
        moved = images.clone()
        for number, (down, right) in enumerate(MOVES):
            rows = move == number
            moved[rows] = padded[rows, down : down + SIDE, right : right + SIDE].flatten(1)
        return moved if is_split else moved.gather(1, orders[contexts])

    return augment


@dataclass(slots=True)
class Ledger:
    """What a run cost and how each night ended."""

    wake_steps: int = 0
    night_steps: int = 0
    cpu_secs: float = 0.0
    nights: list[str] = field(default_factory=list)


class Learner:
    """One network, its two stores, and the tasks so far."""

    def __init__(self, way: Way, tasks: list[DigitsTask], scenario: str, memory: int, seed: int) -> None:
        torch.manual_seed(seed)
        self.way = way
        self.seed = seed
        self.ledger = Ledger()
        self.model = build_network()
        self._optimizer = torch.optim.Adam(self.model.parameters(), lr=LEARNING_RATE, fused=True)
        self._generator = torch.Generator().manual_seed(seed)
        self._noise = np.random.default_rng(seed + 1)
        self._augment = make_augment(tasks, scenario) if way.augmented else None
        self.replay = LabelledStore(memory, (SIDE * SIDE,), NUM_CLASSES, seed=seed)
        self.examined = LabelledStore(NUM_EXAMINED, (SIDE * SIDE,), NUM_CLASSES, seed=seed)
        self._past_losses = np.zeros(0)

    def live(self, number: int, task: DigitsTask, epochs: int) -> None:
        """One task awake, its digits offered to the stores, and a night."""
        started = time.process_time()
        x, y = torch.from_numpy(task.train_x), torch.from_numpy(self._labels(task))
        held = torch.from_numpy(is_examined(task.train_x))
        first_losses = self._losses(x, y)
        self._wake(x[~held], y[~held], round(epochs * self.way.wake_epochs))
        self._store(self.examined, x[held], y[held], number, np.ones(int(held.sum())))
        weights = self._weights(first_losses, self._losses(x, y))
        self._store(self.replay, x[~held], y[~held], number, weights[~held.numpy()])
        if self.way.num_steps:
            self._night(number)
        self.ledger.cpu_secs += time.process_time() - started

    def _labels(self, task: DigitsTask) -> np.ndarray:
        is_wrong = self._noise.random(len(task.train_y)) < self.way.wrong_labels
        others = (task.train_y + self._noise.integers(1, NUM_CLASSES, len(task.train_y))) % NUM_CLASSES
        return np.where(is_wrong, others, task.train_y)

    def _wake(self, x: Tensor, y: Tensor, epochs: int) -> None:
        past = self.replay.all() if self.way.wake == "DER++" and len(self.replay) >= BATCH_SIZE else None
        self.model.train()
        for _ in range(epochs):
            for rows in torch.randperm(len(x), generator=self._generator).split(BATCH_SIZE):
                inputs, num_past = x[rows], 0
                if past is not None:
                    chosen = torch.randint(len(past), (BATCH_SIZE,), generator=self._generator)
                    inputs, num_past = torch.cat((past.inputs[chosen], inputs)), BATCH_SIZE
                outputs = self.model(inputs)
                loss = F.cross_entropy(outputs[num_past:], y[rows])
                if past is not None:
                    loss = loss + rehearsal_loss(
                        outputs[:num_past], past.labels[chosen], past.outputs[chosen]
                    )
                self._optimizer.zero_grad(set_to_none=True)
                loss.backward()
                self._optimizer.step()
                self.ledger.wake_steps += 1

    @torch.no_grad()
    def _losses(self, x: Tensor, y: Tensor) -> np.ndarray:
        self.model.eval()
        losses: np.ndarray = F.cross_entropy(self.model(x), y, reduction="none").numpy()
        return losses

    def _weights(self, first: np.ndarray, last: np.ndarray) -> np.ndarray:
        """surprise x trust + 0.05: surprise is the rank of the first loss, trust the part of it that waking
        removed."""
        surprise = (first[:, None] > first[None, :]).mean(1)
        trust = np.clip(1.0 - last / np.maximum(first, 1e-6), 0.0, 1.0)
        return np.array([replay_weight(float(s), float(t)) for s, t in zip(surprise, trust)])

    def _store(self, store: LabelledStore, x: Tensor, y: Tensor, number: int, weights: np.ndarray) -> None:
        with torch.no_grad():
            outputs = self.model(x)
        num = len(x)
        store.consider(
            Labelled(
                inputs=x,
                labels=y,
                outputs=outputs,
                contexts=torch.full((num,), number),
                is_real=torch.ones(num, dtype=torch.bool),
            ),
            weights,
        )

    def _night(self, number: int) -> None:
        plan = RehearsalPlan(
            num_steps=self.way.num_steps, learning_rate=self.way.learning_rate, seed=self.seed + number
        )
        is_new = self.examined.contexts == number
        ended = rehearse(
            self.model, self.replay.all(), self.examined.all(), is_new, plan, augment=self._augment
        )
        self.note(ended)

    def note(self, ended: Rehearsed) -> None:
        """Count a night; an accepted one refreshes the stored logits and starts the optimizer anew."""
        self.ledger.night_steps += ended.num_steps
        self.ledger.nights.append(f"{ended.verdict.outcome.value}: {ended.verdict.reason}")
        if ended.verdict.outcome is SleepOutcome.ACCEPTED and ended.outputs is not None:
            self.replay.refresh(ended.outputs)
            self._optimizer = torch.optim.Adam(self.model.parameters(), lr=LEARNING_RATE, fused=True)


@torch.no_grad()
def accuracy(model: nn.Module, task: DigitsTask) -> float:
    model.eval()
    return float((model(torch.from_numpy(task.test_x)).argmax(-1).numpy() == task.test_y).mean())
