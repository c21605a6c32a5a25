"""Exchanges by question, outcomes, classes with labels, and lineage, without a loop."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sage.runtime.channels.layout import Layout
from sage.runtime.tick.answer_groups import AnswerGroup, ClassGroup, lineage_groups
from sage.runtime.tick.answers import Answers
from sage.runtime.tick.senses import Gathered
from sage.sensors.board import AnswerText, Board
from sage.sensors.contract import SensorSpec

SIZE = 8
Spec = Callable[..., SensorSpec]


def answering(
    spec: Spec, name: str, quantity: str = "answer", *, size: int = SIZE, **changed: Any
) -> SensorSpec:
    return spec(name, size, modality="cognitive", observes=(quantity, "space"), **changed)


def group_of(spec: Spec, num: int = 3) -> AnswerGroup:
    return AnswerGroup(range(num), [answering(spec, f"s{index}") for index in range(num)], None)


def along(axis: int) -> np.ndarray:
    return np.eye(SIZE, dtype=np.float32)[axis]


def test_an_exchange_is_closed_when_all_running_sources_have_answered(spec: Spec) -> None:
    group, is_running = group_of(spec), np.array([True, True, False])
    assert group.add_answer(0, 0, along(0), 1.0, "a", None) is None
    assert group.settle(is_running) is None
    group.add_answer(1, 0, along(0), 1.0, "b", None)
    closed = group.settle(is_running)
    assert closed is not None
    assert closed.exchange.has_answered.tolist() == [True, True, False]
    assert (closed.nearest, closed.text) == ("s0", "a")
    assert group.settle(is_running) is None


def test_the_next_question_closes_the_one_before(spec: Spec) -> None:
    group, is_running = group_of(spec), np.ones(3, dtype=bool)
    group.add_answer(0, 4, along(0), 1.0, "old", None)
    closed = group.add_answer(1, 5, along(0), 1.0, "new", None)
    assert closed is not None
    assert (closed.exchange.sequence, closed.text) == (4, "old")
    assert group.add_answer(0, 4, along(1), 1.0, "late", None) is None
    assert group.num_late == 1
    group.add_answer(0, 5, along(0), 1.0, "new", None)
    group.add_answer(2, 5, along(0), 1.0, "new", None)
    closed = group.settle(is_running)
    assert closed is not None
    assert group.add_answer(2, 5, along(1), 1.0, "twice", None) is None
    assert group.num_late == 2


def test_an_outcome_judges_the_last_exchange(spec: Spec) -> None:
    group = group_of(spec, 2)
    assert np.isnan(group.learn_outcome(along(0))).all()
    for number in range(20):
        group.add_answer(0, number, along(0), 1.0, "right", None)
        group.add_answer(1, number, along(1), 1.0, "wrong", None)
        group.settle(np.ones(2, dtype=bool))
        right = group.learn_outcome(along(0))
    assert right[1] < 0.2 < 0.7 < right[0]
    assert group.trust.trust[1] < 0.5 < group.trust.trust[0]


def test_classes_are_pooled_and_labels_teach_the_pool(spec: Spec) -> None:
    specs = [answering(spec, name, "classes", size=3) for name in "ab"]
    group = ClassGroup([0, 1], specs, label=2)
    right, wrong = np.array([0.8, 0.1, 0.1]), np.array([0.05, 0.05, 0.9])
    is_usable = np.ones(2, dtype=bool)
    assert group.chosen == -1
    assert not group.add_answers({}, is_usable)
    group.add_answers({0: right, 1: wrong}, is_usable)
    before = group.pooled
    for _ in range(60):
        assert group.learn_label(0).tolist() == [0.8, 0.05]
    assert group.add_answers({0: right}, is_usable)  # the pool names another class
    assert group.chosen == 0
    assert group.pooled[0] > before[0]
    assert group.trust.trust[1] < group.trust.trust[0]
    group.add_answers({}, np.array([False, False]))
    assert group.chosen == -1


def test_lineage_joins_sources_directly_and_through_others() -> None:
    groups = lineage_groups([("m",), (), ("n",), ("m", "n"), ("x",)])
    assert groups[0] == groups[2] == groups[3]
    assert len(set(groups.tolist())) == 3


class GroupRun:
    """What the loop gives to Answers in one tick, of readings by source."""

    def __init__(self, layout: Layout) -> None:
        self.events: list[tuple[Any, ...]] = []
        self.board = Board()
        self.answers = Answers(layout, self.board, lambda *event: self.events.append(event))
        self._num = layout.num_sources
        self._last = np.zeros(layout.num_channels)
        self._sequence = 0

    def tick(self, **readings: Any) -> None:
        names = [spec.name for spec in self.answers._layout.specs]
        leases = {
            names.index(name): SimpleNamespace(
                array=np.asarray(array, np.float32), meta=SimpleNamespace(sequence=self._sequence)
            )
            for name, array in readings.items()
        }
        self._sequence += 1
        gathered = Gathered(
            fresh=np.array([source in leases for source in range(self._num)]),
            captured_ns=np.zeros(self._num, np.int64),
            quality=np.ones(self._num),
            confidence=np.ones(self._num),
            states=[],
            leases=leases,  # type: ignore[arg-type]
        )
        scene = SimpleNamespace(usable=np.ones(self._num, dtype=bool))
        fusion = SimpleNamespace(predictor=SimpleNamespace(last=self._last))
        self.answers.meet(gathered, scene, np.ones(self._num, dtype=bool), fusion, 0)  # type: ignore[arg-type]


def test_an_outcome_in_the_run_takes_the_place_of_agreement_in_the_verdicts(spec: Spec) -> None:
    run = GroupRun(
        Layout.of([answering(spec, name) for name in "abc"] + [answering(spec, "truth", "outcome")])
    )
    run.tick(a=along(0), b=along(0), c=along(1))
    assert run.answers.verdicts == []
    run.tick(truth=along(1))
    assert {name: right > 0.5 for name, right in run.answers.verdicts} == {"a": False, "b": False, "c": True}


def test_without_an_outcome_agreement_gives_the_verdicts(spec: Spec) -> None:
    run = GroupRun(Layout.of([answering(spec, name) for name in "abc"]))
    for _ in range(10):
        run.tick(a=along(0), b=along(0), c=along(1))
    assert {name: right > 0.5 for name, right in run.answers.verdicts} == {"a": True, "b": True, "c": False}


def test_a_label_in_the_run_gives_the_verdicts_and_a_bad_one_is_a_fault(spec: Spec) -> None:
    run = GroupRun(
        Layout.of(
            [answering(spec, name, "classes:digit", size=3) for name in "ab"]
            + [answering(spec, "truth", "label:digit", size=1)]
        )
    )
    run.tick(a=[0.8, 0.1, 0.1], b=[0.1, 0.1, 0.8])
    run.tick(truth=[2])
    assert dict(run.answers.verdicts) == pytest.approx({"a": 0.1, "b": 0.8})
    for bad in (3, 0.5, -1):
        run.tick(truth=[bad])
        assert run.answers.verdicts == []
    faults = [event for event in run.events if event[0] == "fault"]
    assert [source for _, _, source in faults] == ["truth"] * 3
    assert faults[0][1] == "the label is 3.0, not one of 0 to 2"


def test_texts_and_notes_of_the_board_become_events(spec: Spec) -> None:
    run = GroupRun(Layout.of([answering(spec, "a")]))
    run.board.post_text("a", AnswerText(sequence=0, text="It is warm."))
    run.board.note("a", "timeout: no answer within 2 s")
    run.tick(a=along(0))
    assert run.events[0][:3] == ("answer", "It is warm.", "a")
    assert run.events[1][:3] == ("fused answer", "It is warm.", "a")
    assert run.events[2] == ("language", "timeout: no answer within 2 s", "a")
    assert run.board.posted.values == {}


def test_readings_are_posted_where_a_sensor_reads_them(spec: Spec) -> None:
    run = GroupRun(Layout.of([spec("lamp", 2), answering(spec, "a")]))
    run.board.has_readers = True
    run.tick()
    assert run.board.posted.values["lamp"].tolist() == [0.0, 0.0]
