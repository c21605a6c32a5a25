"""The bench of sleep: its tasks, what a record keeps, its bars by hand-made runs, and bad nights."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sleep
import torch
from _sleep_digits import NUM_TEST, make_tasks
from _sleep_injected import FAULTS, Injected, cut_nights, inject_all
from _sleep_learners import Learner, Way, is_examined, make_augment
from _sleep_runs import (
    DER,
    DER_EQUAL,
    DER_SLEEP,
    MEMORIES,
    NAIVE,
    NAIVE_SLEEP,
    PEER_ROWS,
    Record,
    Run,
    joint,
)
from _sleep_table import Cells, deviations, gains_table, make_bars

from sage.runtime.sleep.rehearsal import RehearsalPlan

NUM_ROWS = 1200
PLAN = RehearsalPlan(num_steps=40, learning_rate=2e-3)
RUN = Run(
    row="naive",
    scenario="split",
    memory=0,
    seed=0,
    accuracies=[[1.0, 0.0], [0.4, 0.8]],
    steps=10,
    cpu_secs=1.0,
    num_bytes=0,
    nights=[],
)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten patterns with noise, in the form of scikit-learn's file."""
    generator = np.random.default_rng(0)
    patterns = generator.integers(0, 17, (10, 64))
    labels = np.arange(NUM_ROWS) % 10
    pixels = np.clip(patterns[labels] + generator.normal(0, 2, (NUM_ROWS, 64)), 0, 16).round()
    path = tmp_path_factory.mktemp("digits") / "digits.csv.gz"
    with gzip.open(path, "wt") as file:
        np.savetxt(file, np.column_stack((pixels, labels)), delimiter=",", fmt="%d")
    return path


@pytest.fixture(scope="module")
def learner(digits: Path) -> Learner:
    tasks = make_tasks(digits, "permuted", 0)[:1]
    learner = Learner(replace(DER_SLEEP, num_steps=0), tasks, "permuted", 100, 0)
    learner.live(0, tasks[0], 3)
    return learner


def test_split_tasks_have_two_new_classes_each(digits: Path) -> None:
    tasks = make_tasks(digits, "split", 3)
    classes = [set(task.train_y.tolist()) for task in tasks]
    assert [len(each) for each in classes] == [2] * 5
    assert set.union(*classes) == set(range(10))
    assert [set(task.test_y.tolist()) for task in tasks] == classes
    assert sum(len(task.train_y) for task in tasks) == NUM_ROWS - NUM_TEST


def test_permuted_tasks_have_the_same_digits_with_moved_pixels(digits: Path) -> None:
    first, *others = make_tasks(digits, "permuted", 3)
    assert np.array_equal(first.pixel_order, np.arange(64))
    for task in others:
        assert np.array_equal(task.train_x, first.train_x[:, task.pixel_order])
        assert not np.array_equal(task.pixel_order, first.pixel_order)


def test_a_tenth_is_examined_and_permuting_does_not_change_which(digits: Path) -> None:
    first, second, *_ = make_tasks(digits, "permuted", 3)
    held = is_examined(first.train_x)
    assert np.array_equal(held, is_examined(second.train_x))
    assert 0.05 < held.mean() < 0.15


def test_an_augmented_image_moves_by_at_most_a_pixel_before_it_is_permuted(digits: Path) -> None:
    tasks = make_tasks(digits, "permuted", 3)
    order = tasks[2].pixel_order
    image = torch.zeros(8, 8)
    image[4, 4] = 1.0
    given = image.flatten()[order].repeat(200, 1)
    moved = make_augment(tasks, "permuted")(given, torch.full((200,), 2), torch.Generator().manual_seed(0))
    images = torch.empty_like(moved)
    images[:, order] = moved
    places = {divmod(int(each.argmax()), 8) for each in images}
    assert places == {(4, 4), (3, 4), (5, 4), (4, 3), (4, 5)}
    assert torch.equal(images.sum(1), torch.ones(200))


def test_examined_digits_are_never_replayed(learner: Learner) -> None:
    replayed = {row.tobytes() for row in learner.replay.all().inputs.numpy()}
    assert len(learner.examined) == 64
    assert all(row.tobytes() not in replayed for row in learner.examined.all().inputs.numpy())


def test_wrong_labels_are_a_share_of_them(digits: Path) -> None:
    task = make_tasks(digits, "permuted", 0)[0]
    learner = Learner(Way(name="lies", wrong_labels=0.15), [task], "permuted", 50, 0)
    assert (learner._labels(task) != task.train_y).mean() == pytest.approx(0.15, abs=0.04)


def test_bad_nights_are_rolled_back_and_named(learner: Learner) -> None:
    injected = inject_all(learner, PLAN)
    assert [each.fault for each in injected] == list(FAULTS)
    assert all(each.is_rolled_back and each.reason for each in injected), injected


def test_a_cut_night_leaves_the_old_weights(learner: Learner) -> None:
    assert cut_nights(learner, PLAN, 4) == (4, 4)


def test_accuracy_forgetting_and_transfer_of_a_run() -> None:
    assert RUN.accuracy == pytest.approx(0.6)
    assert RUN.forgetting == pytest.approx(0.6)
    shares = replace(RUN, accuracies=[[0.5, 0.2, 0.0], [0.9, 0.7, 0.4], [0.6, 0.8, 1.0]])
    assert shares.forgetting == pytest.approx((0.3 + 0.0) / 2)
    assert shares.backward_transfer == pytest.approx((0.1 + 0.1) / 2)
    assert shares.forward_transfer == pytest.approx((0.2 + 0.4) / 2)


def test_joint_training_learns_the_patterns(digits: Path) -> None:
    assert joint(make_tasks(digits, "split", 0), "split", 0, 5).accuracy > 0.9


def test_a_record_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    Record(path).add(RUN)
    again = Record(path)
    again.add(replace(RUN, seed=1))
    assert list(Record(path).runs.values()) == [RUN, replace(RUN, seed=1)]


def of_cell(row: str, scenario: str, memory: int, accuracies: list[float]) -> list[Run]:
    return [
        replace(RUN, row=row, scenario=scenario, memory=memory, seed=seed, accuracies=[[accuracy] * 5])
        for seed, accuracy in enumerate(accuracies)
    ]


def cells_of(ours: float, row: str = DER_SLEEP.name) -> Cells:
    record = Record(None)
    for scenario in ("split", "permuted"):
        for memory in MEMORIES:
            for run in (
                *of_cell(PEER_ROWS["DER++"], scenario, memory, [0.88, 0.90, 0.92]),
                *of_cell(row, scenario, memory, [ours] * 3),
            ):
                record.add(run)
    return Cells(record, (0, 1, 2))


@pytest.mark.parametrize(("ours", "sds"), [(0.90, 0.0), (0.92, 1.0), (0.87, -1.5)])
def test_deviations_are_in_standard_deviations_of_the_peer(ours: float, sds: float) -> None:
    assert deviations(cells_of(ours), DER_SLEEP.name) == pytest.approx(sds)
    assert deviations(cells_of(ours), DER_EQUAL.name) is None


def test_bars_over_seeds_are_owed_with_few_of_them() -> None:
    injected = [Injected(fault=name, outcome="rolled_back", reason="", is_untouched=True) for name in FAULTS]
    bars = make_bars(cells_of(0.92), injected, (4, 4), num_seeds=1)
    assert [bar.is_met for bar in bars] == [None] * (len(bars) - 2) + [True, True]
    named = {bar.name: bar for bar in make_bars(cells_of(0.92), injected, (4, 3), num_seeds=5)}
    assert named["DER++ wake + sleep less Avalanche's DER++, split, M 200: accuracy"].is_met is True
    assert named["nights cut at a step that left the old weights, share"].is_met is False


def test_what_nights_add_is_paired_with_the_wake_without_them() -> None:
    record = Record(None)
    for run in (
        *of_cell(DER.name, "split", 200, [0.80, 0.90, 0.85]),
        *of_cell(DER_SLEEP.name, "split", 200, [0.81, 0.91, 0.86]),
        *of_cell(PEER_ROWS["DER++"], "split", 200, [0.95] * 3),
        *of_cell(NAIVE.name, "split", 0, [0.2] * 2),
        *of_cell(NAIVE_SLEEP.name, "split", 50, [0.3] * 2),
    ):
        record.add(run)
    rows = [(row[0], row[3], row[4]) for row in gains_table(Cells(record, (0, 1, 2))).rows]
    assert rows == [
        (f"{NAIVE_SLEEP.name}, split", "2", "+10.0 (+10.0 to +10.0)"),
        (f"{DER_SLEEP.name}, split", "3", "+1.0 (+1.0 to +1.0)"),
    ]


def test_without_digits_the_remedy_is_one_line(tmp_path: Path) -> None:
    absent = tmp_path / "none" / "python"
    ran = subprocess.run(
        [sys.executable, sleep.__file__, "--quick", "--avalanche", str(absent)],
        capture_output=True,
        text=True,
    )
    assert ran.returncode != 0
    assert ran.stderr.strip().splitlines() == [
        f"sleep: no digits: no scikit-learn by {absent}: {sleep.REMEDY}"
    ]


@pytest.mark.slow
def test_a_quick_run_prints_its_document_last(digits: Path) -> None:
    ran = subprocess.run(
        [sys.executable, sleep.__file__, "--quick", "--digits", str(digits)],
        capture_output=True,
        text=True,
        check=True,
    )
    whole = json.loads(ran.stdout.splitlines()[-1])
    assert whole["bench"] == "sleep_digits"
    assert whole["results"]["avalanche_absent"] == "left out of a quick run"
    assert {bar["met"] for bar in whole["bars"][:-2]} == {None}
