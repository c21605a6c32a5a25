"""Symptoms of made-up reports become named causes: HRM's answer, checked; debounced, and none without one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sage.app.diagnosis.causes import SourceAbout, build_graph, derived_from
from sage.app.diagnosis.monitor import ENDED, NAMED, DiagnosisMonitor
from sage.app.diagnosis.naming import Answers, Namer, _solved, load_answers
from sage.app.diagnosis.symptoms import SymptomMeter
from sage.errors import InputError
from sage.hrm_core.tasks.diagnosis.config import DiagnosisConfig
from sage.hrm_core.tasks.diagnosis.graphs import draw_graphs
from sage.hrm_core.tasks.diagnosis.task import DiagnosisTask
from sage.runtime.report import (
    CoherenceFacts,
    LearningFacts,
    MemoryFacts,
    SourceFacts,
    State,
    TickFacts,
    TickReport,
    TickTiming,
)

SECS = 1_000_000_000
SOURCES = (
    SourceAbout(name="a", kind="synthetic", period_ns=SECS // 10),
    SourceAbout(name="b", kind="synthetic", period_ns=SECS // 10),
    SourceAbout(name="c", kind="synthetic", period_ns=SECS // 10),
    SourceAbout(name="d", kind="host", period_ns=SECS // 5),
    SourceAbout(name="e", kind="host", period_ns=SECS, device="/dev/i2c-1"),
    SourceAbout(name="f", kind="imu", period_ns=SECS // 10, device="/dev/i2c-1"),
    SourceAbout(name="x", kind="language", period_ns=SECS // 5, lineage=("a",), is_physical=False),
    SourceAbout(name="y", kind="totality", period_ns=SECS // 5, lineage=("x",), is_physical=False),
)


@pytest.fixture(scope="module")
def hrm() -> tuple[DiagnosisTask, Answers]:
    return load_answers("diagnosis")


class Session:
    """Reports of a session, with what is wrong by source, and the machine's figures."""

    def __init__(self, hrm: tuple[DiagnosisTask, Answers]) -> None:
        self.wrong: dict[str, str] = {}
        self.share, self.room, self.problem, self.overruns = 0.0, True, "", False
        self.events: list[tuple[str, str]] = []
        self.time_ns = 0
        self.monitor = DiagnosisMonitor(
            SymptomMeter(SOURCES, self),
            lambda: Namer(build_graph(SOURCES), *hrm),
            note=lambda kind, text: self.events.append((kind, text.partition(" (symptoms")[0])),
            every_ns=SECS,
            is_inline=True,
        )

    def wait_share(self) -> float:
        return self.share

    def has_room(self) -> bool:
        return self.room

    def store_problem(self) -> str:
        return self.problem

    def go_on(self, secs: float) -> None:
        for _ in range(round(10 * secs)):
            self.time_ns += SECS // 10
            self.monitor.on_tick(self._report())

    def _report(self) -> TickReport:
        facts = TickFacts(
            tick=self.time_ns * 10 // SECS,
            time_ns=self.time_ns,
            state=State.WAKE,
            num_segments=0,
            value=0.0,
            sources=tuple(self._source(each) for each in SOURCES),
            coherence=CoherenceFacts(),
            memory=MemoryFacts(),
            learning=LearningFacts(),
            actions=(),
            events=(),
        )
        timing = TickTiming(total_ns=1, stages=(), model_ns=0, is_overrun=self.overruns)
        return TickReport(facts=facts, timing=timing)

    def _source(self, about: SourceAbout) -> SourceFacts:
        wrong = self.wrong.get(about.name, "")
        return SourceFacts(
            name=about.name,
            status="quarantined" if wrong == "fails" else "running",
            sequence=1,
            age_ns=4 * SECS if wrong == "drifts" else 0,
            is_fresh=self.time_ns % about.period_ns == 0 and wrong not in ("silent", "fails"),
            is_attended=True,
            trust=0.3 if wrong in ("stuck", "false") else 0.9,
            num_faults=int(wrong == "fails"),
            reason="stuck" if wrong == "stuck" else "",
        )


CASES = [
    ({"b": "stuck"}, ["b repeats one value"]),
    ({"c": "drifts"}, ["the clock of c drifts"]),
    ({"d": "silent"}, ["d delivers nothing"]),
    ({"d": "fails"}, ["d fails"]),
    ({"e": "false"}, ["e reads false values"]),
    ({"d": "silent", "e": "silent"}, ["the driver of kind host delivers nothing"]),
    ({"e": "fails", "f": "fails"}, ["the device /dev/i2c-1 fails"]),
    ({"x": "silent", "y": "silent"}, ["the line from a to what is derived from it is cut"]),
    ({"a": "silent", "x": "silent", "y": "silent"}, ["a delivers nothing, nor what is derived from it"]),
    (dict.fromkeys("abcdef", "silent"), ["all physical sources are without power"]),
    (dict.fromkeys((each.name for each in SOURCES), "drifts"), ["the system clock steps"]),
    ({"b": "stuck", "c": "drifts"}, ["b repeats one value", "the clock of c drifts"]),
]


def test_each_fault_is_named_first_within_ten_seconds_and_ends(hrm: tuple[DiagnosisTask, Answers]) -> None:
    session = Session(hrm)
    session.go_on(15)
    for wrong, causes in CASES:
        session.events.clear()
        session.wrong = wrong
        session.go_on(10)
        found = [text for kind, text in session.events if kind == NAMED]
        texts = [text.partition(", or ")[0] for text in found]
        assert sorted(texts) == sorted(causes), (wrong, session.events)
        assert session.monitor.notices() == tuple(f"cause: {text}" for text in session.monitor.named)
        session.wrong = {}
        session.go_on(8)
        assert sorted(text for kind, text in session.events if kind == ENDED) == sorted(found)
        assert session.monitor.named == ()
    figures = session.monitor.figures()
    assert figures.num_calls >= len(CASES)
    assert figures.num_agreed >= 0.8 * figures.num_calls, figures
    assert figures.num_too_large == 0


def test_faults_of_the_session_are_told_apart(hrm: tuple[DiagnosisTask, Answers]) -> None:
    session = Session(hrm)
    session.go_on(3)
    session.problem, session.room = "no space left on device", False
    session.go_on(8)
    assert session.monitor.named == ("the state disk is full",)
    session.room = True
    session.go_on(8)
    assert session.monitor.named == ("the store's file cannot be written",)
    session.problem, session.share, session.overruns = "", 0.8, True
    session.go_on(8)
    assert session.monitor.named == ("other work takes the loop's core",)
    session.share = 0.0
    session.go_on(8)
    assert session.monitor.named == ("the loop's own work is longer than its period",)


def test_nothing_is_named_in_a_quiet_hour_nor_for_a_short_symptom(hrm: tuple[DiagnosisTask, Answers]) -> None:
    session = Session(hrm)
    session.go_on(3600)
    for what in ("stuck", "drifts", "false"):
        session.wrong = {"b": what}
        session.go_on(1)
        session.wrong = {}
        session.go_on(5)
    assert session.events == []
    assert session.monitor.figures().num_calls == 0


def test_a_wrong_answer_is_replaced_by_the_exact_solver_and_counted() -> None:
    task = DiagnosisTask()

    def nothing(inputs: np.ndarray) -> np.ndarray:
        return task.with_causes(inputs, np.zeros((1, 30), bool))

    session = Session((task, nothing))
    session.go_on(3)
    session.wrong = {"c": "drifts"}
    session.go_on(8)
    assert session.events == [(NAMED, "the clock of c drifts")]
    figures = session.monitor.figures()
    assert (figures.num_calls, figures.num_agreed) == (1, 0)


def test_the_graph_joins_causes_with_equal_symptoms_and_follows_lineage() -> None:
    graph = build_graph(SOURCES)
    assert len({cause.symptoms for cause in graph.causes}) == len(graph.causes)
    assert [each.name for each in derived_from("a", SOURCES)] == ["x", "y"]
    assert [each.name for each in derived_from("y", SOURCES)] == []
    joined = [cause.text for cause in graph.causes if ", or " in cause.text]
    assert any("the line from x" in text and "y delivers nothing" in text for text in joined)


def test_a_model_of_another_task_is_refused() -> None:
    with pytest.raises(InputError, match="not a model of the task diagnosis"):
        load_answers("sudoku4")


def test_many_symptoms_that_do_not_fit_the_model_are_left_to_the_exact_solver(
    hrm: tuple[DiagnosisTask, Answers],
) -> None:
    sources = tuple(SourceAbout(name=f"s{i}", kind=f"k{i}", period_ns=SECS) for i in range(40))
    namer = Namer(build_graph(sources), *hrm)
    few = namer.name(frozenset({"s3: stuck", "s7: clock off"}))
    assert set(few.causes) == {"s3 repeats one value", "the clock of s7 drifts"}
    many = namer.name(frozenset(f"s{i}: silent" for i in range(40)))
    assert many.is_too_large
    assert many.causes == ("all physical sources are without power",)


def test_more_symptoms_than_a_machine_word_has_bits_are_all_explained(
    hrm: tuple[DiagnosisTask, Answers],
) -> None:
    """A host with 32 sources is 64 symptoms, and there is one more."""
    sources = tuple(
        SourceAbout(name=f"s{i:02}", kind=f"k{i}", period_ns=SECS, host="far" if i < 32 else "")
        for i in range(60)
    )
    namer = Namer(build_graph(sources), *hrm)
    far = {f"s{i:02}: {what}" for i in range(32) for what in ("silent", "faulted")}
    found = namer.name(frozenset(far | {"s59: stuck"}))
    assert set(found.causes) == {"the network connection to far fails", "s59 repeats one value"}
    assert found.is_unique


def test_the_exact_solver_of_a_session_is_that_of_the_task() -> None:
    graphs, _ = draw_graphs(DiagnosisConfig(), 40, np.random.default_rng(0))
    task = DiagnosisTask()
    named, sizes, counts = task.solved(graphs)
    for at in range(len(graphs)):
        own, own_size, own_count = _solved(graphs.take(np.array([at])))
        assert (own[0] == named[at]).all()
        assert (own_size[0], own_count[0]) == (sizes[at], counts[at])


def test_a_fault_in_naming_ends_neither_the_session_nor_its_end(hrm: tuple[DiagnosisTask, Answers]) -> None:
    def broken() -> Namer:
        raise RuntimeError("out of\nmemory")

    session = Session(hrm)
    for is_inline in (True, False):
        session.monitor._make_namer, session.monitor._is_inline = broken, is_inline
        assert session.monitor._ask(frozenset({"b: stuck"}))
        session.monitor.close()
        assert session.monitor.notices() == ("diagnosis: RuntimeError('out of\\nmemory')",)


def test_a_model_that_is_missing_is_a_line_in_the_live_view(tmp_path: Path) -> None:
    session = Session((DiagnosisTask(), lambda inputs: inputs))

    def missing() -> Namer:
        raise InputError(f"{tmp_path}: no model")

    session.monitor._make_namer = missing
    session.go_on(3)
    session.wrong = {"c": "drifts"}
    session.go_on(8)
    assert session.monitor.notices() == (f"diagnosis: {tmp_path}: no model",)
    assert session.events == []
