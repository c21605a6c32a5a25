"""The runs of the digits suite: what is run, in which cell of the table, and the record it goes on from.

Invariant: a run is one row, one scenario, one memory and one seed; its result is one JSON line of the record.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _sleep_digits import BATCH_SIZE, EPOCHS, NUM_TASKS, SCENARIOS, DigitsTask, make_tasks
from _sleep_learners import (
    LOGITS_BYTES,
    NUM_EXAMINED,
    PLAIN_BYTES,
    Learner,
    Way,
    accuracy,
    build_network,
)

MEMORIES = (50, 200)
NAIVE = Way(name="naive", num_steps=0)
NAIVE_SLEEP = Way(name="naive wake, then sleep", learning_rate=2e-3)
NAIVE_AUGMENTED = Way(name="the same with augmentation", learning_rate=2e-3, augmented=True)
DER = Way(name="DER++ wake", wake="DER++", num_steps=0)
DER_SLEEP = Way(name="DER++ wake + augmented sleep", wake="DER++", learning_rate=3e-4, augmented=True)
NAIVE_EQUAL = Way(
    name="naive wake, then sleep, equal steps", learning_rate=2e-3, wake_epochs=0.4, num_steps=120
)
DER_EQUAL = Way(
    name="DER++ wake + augmented sleep, equal steps",
    wake="DER++",
    learning_rate=3e-4,
    augmented=True,
    wake_epochs=0.7,
    num_steps=60,
)
DER_LIES = Way(
    name="DER++ wake + augmented sleep, 15% wrong labels",
    wake="DER++",
    learning_rate=3e-4,
    augmented=True,
    wrong_labels=0.15,
)
WITH_MEMORY = (NAIVE_SLEEP, NAIVE_AUGMENTED, DER, DER_SLEEP, NAIVE_EQUAL, DER_EQUAL)
JOINT = "joint training"
#: The bytes of the examined digits as experiences with logits: a peer may keep so many more.
MORE_AT_EQUAL_BYTES = round(NUM_EXAMINED * PLAIN_BYTES / (PLAIN_BYTES + LOGITS_BYTES))
PEERS = ("EWC", "LwF", "replay", "DER++")
PEER_ROWS = {name: f"{name} (Avalanche)" for name in PEERS}
EQUAL_BYTES = "DER++ (Avalanche), memory of equal bytes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """accuracies[i][j]: of task j after task i.  steps: all of them.  num_bytes: stored besides the network.
    nights: how each ended.
    """

    row: str
    scenario: str
    memory: int
    seed: int
    accuracies: list[list[float]]
    steps: int
    cpu_secs: float
    num_bytes: int
    nights: list[str]

    @property
    def key(self) -> tuple[str, str, int, int]:
        return self.row, self.scenario, self.memory, self.seed

    @property
    def accuracy(self) -> float:
        """Mean over tasks after the last."""
        return float(np.mean(self.accuracies[-1]))

    @property
    def forgetting(self) -> float:
        """Mean over earlier tasks of the best accuracy less the last."""
        table = np.array(self.accuracies)
        return float((table.max(0) - table[-1])[:-1].mean()) if len(table) > 1 else float("nan")

    @property
    def backward_transfer(self) -> float:
        """Mean over earlier tasks of the last accuracy less that when the task was learned (Lopez-Paz &
        Ranzato 2017, BWT).
        """
        table = np.array(self.accuracies)
        return float((table[-1] - table.diagonal())[:-1].mean()) if len(table) > 1 else float("nan")

    @property
    def forward_transfer(self) -> float:
        """Mean over later tasks of the accuracy before the task was learned (Lopez-Paz & Ranzato 2017, FWT,
        without their constant, the accuracy of fresh weights).
        """
        table = np.array(self.accuracies)
        return float(table.diagonal(offset=1).mean()) if len(table) > 1 else float("nan")


class Record:
    """The results so far, read from `path` if it is there; a result is written when it is added."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        lines = path.read_text().splitlines() if path is not None and path.exists() else []
        self.runs = {run.key: run for run in (Run(**json.loads(line)) for line in lines)}

    def add(self, run: Run) -> None:
        self.runs[run.key] = run
        if self._path is not None:
            with self._path.open("a") as file:
                file.write(json.dumps({name: getattr(run, name) for name in Run.__slots__}) + "\n")


def own_cells(seeds: Sequence[int], memories: Sequence[int]) -> Iterator[tuple[Way | None, str, int, int]]:
    """(way, None for joint training; scenario, memory, seed); memory 0 where none is used."""
    for seed in seeds:
        for scenario in SCENARIOS:
            yield None, scenario, 0, seed
            yield NAIVE, scenario, 0, seed
            for memory in memories:
                for way in WITH_MEMORY:
                    yield way, scenario, memory, seed
            yield DER_LIES, scenario, max(memories), seed


def run_own(
    record: Record, digits: Path, seeds: Sequence[int], memories: Sequence[int], *, share: float
) -> None:
    for way, scenario, memory, seed in own_cells(seeds, memories):
        name = JOINT if way is None else way.name
        if (name, scenario, memory, seed) in record.runs:
            continue
        tasks = make_tasks(digits, scenario, seed)
        epochs = max(round(EPOCHS[scenario] * share), 1)
        record.add(
            joint(tasks, scenario, seed, epochs)
            if way is None
            else live(_shortened(way, share), tasks, scenario, memory, seed, epochs)
        )


def _shortened(way: Way, share: float) -> Way:
    return replace(way, num_steps=round(way.num_steps * share))


def live(way: Way, tasks: list[DigitsTask], scenario: str, memory: int, seed: int, epochs: int) -> Run:
    learner = Learner(way, tasks, scenario, max(memory, 1), seed)
    accuracies = []
    for number, task in enumerate(tasks):
        learner.live(number, task, epochs)
        accuracies.append([accuracy(learner.model, each) for each in tasks])
    ledger = learner.ledger
    held = NUM_EXAMINED * PLAIN_BYTES if way.num_steps else 0
    return Run(
        row=way.name,
        scenario=scenario,
        memory=memory,
        seed=seed,
        accuracies=accuracies,
        steps=ledger.wake_steps + ledger.night_steps,
        cpu_secs=ledger.cpu_secs,
        num_bytes=memory * (PLAIN_BYTES + LOGITS_BYTES) + held,
        nights=ledger.nights,
    )


def joint(tasks: list[DigitsTask], scenario: str, seed: int, epochs: int) -> Run:
    """All tasks at once, for as many steps as five tasks one after the other."""
    started = time.process_time()
    torch.manual_seed(seed)
    model = build_network()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    x = torch.from_numpy(np.concatenate([task.train_x for task in tasks]))
    y = torch.from_numpy(np.concatenate([task.train_y for task in tasks]))
    steps = 0
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(BATCH_SIZE):
            loss = torch.nn.functional.cross_entropy(model(x[rows]), y[rows])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            steps += 1
    return Run(
        row=JOINT,
        scenario=scenario,
        memory=0,
        seed=seed,
        accuracies=[[accuracy(model, each) for each in tasks]],
        steps=steps,
        cpu_secs=time.process_time() - started,
        num_bytes=x.numel() + len(y),
        nights=[],
    )


def peer_jobs(seeds: Sequence[int], memories: Sequence[int]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(row, job) of each seed: the methods with each memory, and DER++ in equal bytes."""
    for seed in seeds:
        for scenario in SCENARIOS:
            common = {"scenario": scenario, "seed": seed, "epochs": EPOCHS[scenario]}
            for method in PEERS:
                for memory in memories if method in ("replay", "DER++") else (0,):
                    yield PEER_ROWS[method], {**common, "method": method, "memory": memory}
            more = min(memories) + MORE_AT_EQUAL_BYTES
            yield EQUAL_BYTES, {**common, "method": "DER++", "memory": more}


def run_peers(
    record: Record, digits: Path, python: Path, seeds: Sequence[int], memories: Sequence[int]
) -> str:
    """Run what the record lacks in Avalanche's environment; returns why it could not, or ""."""
    wanted = [
        (row, job)
        for row, job in peer_jobs(seeds, memories)
        if (row, job["scenario"], job["memory"], job["seed"]) not in record.runs
    ]
    if not wanted:
        return ""
    script = Path(__file__).with_name("_sleep_peer.py")
    job = json.dumps({"digits": str(digits), "runs": [job for _, job in wanted]})
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [str(python), str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(job)
            process.stdin.close()
            for (row, _), line in zip(wanted, process.stdout):
                record.add(_peer_run(row, json.loads(line)))
        except BrokenPipeError:
            pass  # it ended before it read the job: its status and last line are the answer
        status = process.wait()
        errors.seek(0)
        lines = errors.read().strip().splitlines()
    return "" if status == 0 else f"it ended with status {status}: {(lines or [''])[-1]}"


def _peer_run(row: str, found: dict[str, Any]) -> Run:
    names = ("scenario", "memory", "seed", "accuracies", "steps", "cpu_secs", "num_bytes")
    return Run(row=row, nights=[], **{name: found[name] for name in names})


def steps_a_task(run: Run) -> float:
    return run.steps / NUM_TASKS
