"""Sources that answer, in the loop: two good ones and a liar, outcomes, texts, snapshots."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sage.app.config.sage_config import SageConfig
from sage.app.session.build import Run
from sage.runtime.report import Event, SleepReport, TickReport
from sage.sensors.testing.scripted_answers import contrary, honest, is_right, liar

NUM_EXCHANGES = 50
Start = Callable[..., Run]
Settings = Callable[..., SageConfig]


class Reports:
    def __init__(self) -> None:
        self.events: list[Event] = []
        self.ticks: list[TickReport] = []

    def on_tick(self, report: TickReport) -> None:
        self.ticks.append(report)

    def on_sleep(self, report: SleepReport) -> None: ...

    def on_event(self, event: Event) -> None:
        self.events.append(event)

    def of(self, kind: str) -> list[Event]:
        return [event for event in self.events if event.kind == kind]


def speaker(name: str, function: str, seed: int = 0, **changed: Any) -> dict[str, Any]:
    return {
        "kind": "language",
        "name": name,
        "backend": "function",
        "function": f"sage.sensors.testing.scripted_answers:{function}",
        "returns_at_once": True,
        "prompt": f"{name}: what happened after {{time_secs:.2f}} s? (house {seed})",
        "embedder": "hashing",
        "period_secs": 0.05,
        "calls_a_minute": 100_000,
        "tokens_an_hour": 1e9,
        **changed,
    }


def converse(
    start: Start,
    settings: Settings,
    *sensors: dict[str, Any],
    num_ticks: int = NUM_EXCHANGES,
    **sections: Any,
) -> tuple[Run, Reports]:
    reports = Reports()
    quiet = {"practice": {"enabled": False}} | sections
    run = start(settings(sensors=list(sensors), **quiet), instruments=(reports,))
    run.loop.run(num_ticks=num_ticks)
    return run, reports


def trusts(run: Run) -> dict[str, float]:
    return dict(zip((spec.name for spec in run.loop.layout.specs), run.loop.trust.trust.tolist()))


@pytest.mark.parametrize(
    ("lie", "embedder", "seed"),
    [
        ("liar", "hashing", 0),
        ("liar", "hashing", 1),
        ("liar", "wordllama", 2),
        ("contrary", "wordllama", 3),
        ("contrary", "wordllama", 4),
    ],
)
def test_with_two_good_sources_and_a_liar_the_fused_answer_follows_the_good_ones(
    start: Start, settings: Settings, lie: str, embedder: str, seed: int
) -> None:
    if embedder == "wordllama":
        pytest.importorskip("wordllama", reason="pip install wordllama")
    speakers = [speaker(name, "honest", seed, embedder=embedder) for name in ("ann", "bob")]
    speakers.insert(seed % 3, speaker("eve", lie, seed, embedder=embedder))
    run, reports = converse(start, settings, *speakers)
    fused = reports.of("fused answer")
    assert len(fused) == NUM_EXCHANGES
    assert all(is_right(event.message, _prompt(event, seed)) for event in fused[5:])
    trust = trusts(run)
    assert trust["eve"] < min(trust["ann"], trust["bob"])
    assert run.loop.memory_writer.entities.records()[0].name == "eve"


def _prompt(event: Event, seed: int) -> str:
    """Sensors read the newest readings of the tick before."""
    secs = max(0, event.tick - 2) * 0.05
    return f": what happened after {secs:.2f} s? (house {seed})"


def test_the_scripts_are_what_they_claim() -> None:
    for number in range(20):
        prompt = f"ann: what happened after {number} s?"
        assert is_right(honest(prompt), prompt)
        assert not is_right(contrary(prompt), prompt)
    assert sum(is_right(liar(f"ann: {number}?"), f"ann: {number}?") for number in range(20)) == 0


def test_texts_are_events_and_disagreement_is_conflict(start: Start, settings: Settings) -> None:
    run, reports = converse(
        start, settings, speaker("ann", "honest"), speaker("bob", "honest"), speaker("eve", "liar")
    )
    assert {event.source for event in reports.of("answer")} == {"ann", "bob", "eve"}
    assert reports.of("answer")[0].message == honest("ann: what happened after 0.00 s? (house 0)")
    conflict = [dict(event.data)["conflict"] for event in reports.of("fused answer")]
    assert 0.1 < sum(conflict) / len(conflict) < 1
    responsibility = run.loop.trust.responsibility  # conflict for salience is 1 - responsibility
    assert responsibility[2] < 0.5 < min(responsibility[:2])
    other = start(settings(sensors=[speaker(name, "honest") for name in ("ann", "bob", "eve")]))
    other.loop.trust.load_state(run.loop.trust.state())
    assert trusts(other) == trusts(run)


def test_a_checker_decides_between_two(start: Start, settings: Settings) -> None:
    checker = "sage.sensors.testing.scripted_answers:is_right"
    run, _ = converse(
        start,
        settings,
        speaker("ann", "honest", checker=checker),
        speaker("eve", "contrary", checker=checker),
    )
    trust = trusts(run)
    assert trust["eve"] < 0.5 < trust["ann"]
    by_name = {record.name: record for record in run.loop.memory_writer.entities.records()}
    assert by_name["ann"].right == pytest.approx(NUM_EXCHANGES, rel=0.05)
    assert by_name["eve"].wrong == pytest.approx(NUM_EXCHANGES, rel=0.05)


def test_sources_of_another_topic_are_not_compared(start: Start, settings: Settings) -> None:
    run, _ = converse(
        start,
        settings,
        speaker("ann", "honest"),
        speaker("bob", "honest"),
        speaker("eve", "liar", topic="another"),
        num_ticks=12,
    )
    assert len(run.loop.answers.groups) == 2
    assert trusts(run)["eve"] == pytest.approx(trusts(run)["ann"])


def test_equal_runs_have_equal_digests(start: Start, settings: Settings) -> None:
    speakers = [speaker("ann", "honest"), speaker("bob", "honest"), speaker("eve", "liar")]
    one, two = (converse(start, settings, *speakers, num_ticks=20)[1] for _ in range(2))
    assert [tick.facts.digest() for tick in one.ticks] == [tick.facts.digest() for tick in two.ticks]


def test_a_prompt_reads_the_other_sources(start: Start, settings: Settings) -> None:
    lamp = {"kind": "synthetic", "name": "lamp", "shape": [2], "rate_hz": 20, "seed": 1}
    run, reports = converse(
        start, settings, lamp, speaker("ann", "honest", prompt="ann: {lamp[0]:.3f}"), num_ticks=12
    )
    said = {event.message for event in reports.of("answer")}
    assert honest("ann: unknown") in said
    assert len(said) > 3
    assert trusts(run)["lamp"] > 0


def test_a_run_without_answers_has_the_base_form(start: Start, settings: Settings) -> None:
    run = start(settings())
    assert run.loop.answers.groups == run.loop.answers.class_groups == []
    assert type(run.loop.trust).__name__ == "TrustEstimator"
