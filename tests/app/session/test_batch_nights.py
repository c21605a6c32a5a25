"""Nights between two sessions: the job that one leaves, and the candidate that the next one takes."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import structlog
import torch

from sage.app.cli.main import invoke
from sage.app.config.sage_config import build_config
from sage.app.config.yaml_file import YamlDocument
from sage.app.session.batch_nights import OTHER_WEIGHTS, BatchNights, leave_night
from sage.app.session.build import Run, build_run
from sage.app.session.snapshot_keeper import SnapshotKeeper
from sage.app.store.metrics_store import MetricsStore
from sage.durable import checked_json
from sage.hrm_core.checkpoint.weights_file import save_model
from sage.hrm_core.model_family import weights_digest
from sage.hrm_core.observation.model import ObservationModel
from sage.mailbox.clock import ManualClock
from sage.runtime.report import Event, SleepOutcome, SleepReport, to_plain
from sage.runtime.sleep import consolidate
from sage.runtime.sleep.puzzles.candidate import Candidate, write_candidate
from sage.runtime.tick.reasoner import load_observation_model

SETTINGS = {
    "tick": {"rate_hz": 20, "rest_rate_hz": 20},
    "model": {"hidden_size": 8, "num_heads": 1, "H_cycles": 1, "L_cycles": 1},
    "practice": {"every_ticks": 16, "batch_size": 2, "window_ticks": 4, "burn_in_ticks": 1},
    "memory": {"num_experiences": 32, "num_recall": 32, "num_transitions": 64, "write_rate": 0.5},
    "sleep": {"enabled": False, "examined_fraction": 0.3, "block_secs": 0.3, "min_examined": 4},
    "budget": {"segments": 1},
    "sensors": [{"kind": "synthetic", "name": "a", "shape": [2], "rate_hz": 20}],
    "environments": [
        {"kind": "puzzles", "name": "riddles", "levels": [{"task": "sudoku", "options": {"size": 4}}]}
    ],
    "policy": {"rules": [{"decision": "allow", "effect": "cognitive", "states": ["wake", "rest", "dream"]}]},
    "solver_training": {"practises": False},
}
ACCEPTED = SleepReport(
    outcome=SleepOutcome.ACCEPTED,
    reason="gain",
    tick=700,
    num_replayed=8,
    num_examined=9,
    num_steps=6,
)


@dataclass(kw_only=True)
class Session:
    """A run with its keeper, and what it reports."""

    run: Run
    keeper: SnapshotKeeper
    nights: BatchNights
    sleeps: list[SleepReport] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def on_tick(self, report: object) -> None: ...

    def on_sleep(self, report: SleepReport) -> None:
        self.sleeps.append(report)

    def on_event(self, event: Event) -> None:
        self.events.append(event)

    @property
    def family(self):
        return self.run.loop.solving.solvers[0].family

    @property
    def model(self) -> ObservationModel:
        return self.run.loop.reasoner.model

    @property
    def notes(self) -> list[str]:
        return [event.message for event in self.events if "candidate" in event.message]

    def end(self, num_ticks: int = 240) -> None:
        self.run.loop.run(num_ticks=num_ticks)
        self.keeper.save()
        leave_night(self.run.loop, self.keeper)
        self.close()

    def close(self) -> None:
        self.keeper.close()
        self.run.close()


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[..., Session]]:
    """A session in tmp_path."""
    sessions: list[Session] = []

    def started(*, is_replay: bool = False) -> Session:
        clock = ManualClock()
        config = build_config(YamlDocument(data=SETTINGS, source="test"))
        run = build_run(config, clock, directory=tmp_path / "sleep")
        keeper = SnapshotKeeper(tmp_path / "mind", clock, journal_home=tmp_path / "journal")
        keeper.attach(run.loop)
        nights = BatchNights(run.loop, tmp_path, None if is_replay else keeper)
        session = Session(run=run, keeper=keeper, nights=nights)
        sessions.append(session)
        run.open()
        keeper.begin()
        run.loop.observe(keeper, session)
        nights.take()
        return session

    yield started
    for session in sessions:
        session.close()


def changed(model: ObservationModel) -> ObservationModel:
    other = copy.deepcopy(model)
    with torch.no_grad():
        for weight in other.parameters():
            weight += 0.01
    return other


def is_equal(one, other) -> bool:
    return all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def slept(folder: Path, candidate: ObservationModel) -> None:
    """As `sage sleep` leaves an accepted night."""
    save_model(folder / "candidate.safetensors", candidate)
    (folder / "report.json").write_bytes(checked_json(to_plain(ACCEPTED)))


def slept_on_puzzles(folder: Path, family, made_from: str | None = None) -> dict[str, torch.Tensor]:
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor + 0.01 for name, tensor in family.weights().items()}
    made_from = made_from or weights_digest(family.weights())
    report = dataclasses.replace(ACCEPTED, stream="riddles")
    write_candidate(folder, Candidate(weights=weights, made_from=made_from, report=report))
    (folder / "report.json").write_bytes(checked_json(to_plain(report)))
    return weights


def left_job(tmp_path: Path) -> Path:
    (path,) = (tmp_path / "sleep").glob("*/job.json")
    return path.parent


def test_a_session_leaves_the_job_of_the_next_night_with_the_weights_of_its_snapshot(begin, tmp_path):
    first = begin()
    first.end()
    folder = left_job(tmp_path)
    opened = consolidate.open_night(folder)
    assert is_equal(opened.night.model.state_dict(), begin().model.state_dict())
    assert opened.plan.tick == 240
    assert opened.plan.limit_secs is None  # no run waits for it
    assert len(opened.night.replay) > 0
    assert len(opened.night.examined) > 0


def test_the_next_session_takes_an_accepted_candidate_once(begin, tmp_path):
    first = begin()
    first.end()
    folder = left_job(tmp_path)
    candidate = changed(load_observation_model(folder / "model.safetensors"))
    slept(folder, candidate)
    second = begin()
    assert is_equal(second.model.state_dict(), candidate.state_dict())
    assert second.run.loop.between_ticks.weights_version == 1
    assert second.notes == [f"the candidate of the night in sleep/{folder.name} is taken"]
    assert [(report.outcome, report.tick, report.stream) for report in second.sleeps] == [
        (SleepOutcome.ACCEPTED, 0, "")
    ]
    assert not second.run.loop.memory_writer.memory.examination.num_new
    assert (folder / "candidate.safetensors").exists()  # until a snapshot has it
    second.run.loop.run(num_ticks=1)
    second.keeper.save()
    assert not (folder / "candidate.safetensors").exists()
    after = copy.deepcopy(second.model.state_dict())
    second.close()
    third = begin()
    assert is_equal(third.model.state_dict(), after)
    assert third.notes == []


def test_a_session_that_ends_without_a_snapshot_leaves_the_candidate_to_the_next(begin, tmp_path):
    first = begin()
    first.end()
    folder = left_job(tmp_path)
    candidate = changed(load_observation_model(folder / "model.safetensors"))
    slept(folder, candidate)
    begin().end(num_ticks=0)
    assert is_equal(begin().model.state_dict(), candidate.state_dict())


def test_a_candidate_that_was_made_from_other_weights_is_left(begin, tmp_path):
    begin().end()
    folder = left_job(tmp_path)
    model = load_observation_model(folder / "model.safetensors")
    save_model(folder / "model.safetensors", changed(model))
    slept(folder, changed(model))
    slept_on_puzzles(tmp_path / "solving" / "riddles", begin().family, made_from="0" * 32)
    second = begin()
    assert is_equal(second.model.state_dict(), model.state_dict())
    assert second.notes == [
        f"the candidate of the night in solving/riddles is left: {OTHER_WEIGHTS}",
        f"the candidate of the night in sleep/{folder.name} is left: {OTHER_WEIGHTS}",
    ]
    assert second.sleeps == []
    second.run.loop.run(num_ticks=1)
    second.keeper.save()
    assert (folder / "candidate.safetensors").exists()
    assert (tmp_path / "solving" / "riddles" / "candidate.safetensors").exists()


def test_a_puzzle_stream_begins_with_its_candidate(begin, tmp_path):
    first = begin()
    folder = tmp_path / "solving" / "riddles"
    weights = slept_on_puzzles(folder, first.family)
    first.end()
    second = begin()
    assert is_equal(second.family.weights(), weights)
    trainer = second.run.loop.solving.solvers[0].learner.trainer
    assert is_equal(trainer.weights(), weights)  # so that it offers none from before the night
    assert second.notes == ["the candidate of the night in solving/riddles is taken"]
    assert [(report.stream, report.outcome) for report in second.sleeps] == [
        ("riddles", SleepOutcome.ACCEPTED)
    ]
    second.end(num_ticks=1)
    assert list(folder.iterdir()) == []
    third = begin()
    assert is_equal(third.family.weights(), weights)
    assert third.notes == []


@pytest.mark.parametrize("problem", ["damaged", "earlier", "other models"])
def test_a_puzzle_candidate_that_cannot_be_taken_is_left_with_the_reason(begin, tmp_path, problem):
    first = begin()
    folder = tmp_path / "solving" / "riddles"
    slept_on_puzzles(folder, first.family)
    path = folder / "candidate.safetensors"
    if problem == "damaged":
        path.write_bytes(path.read_bytes()[:-1])
    elif problem == "earlier":
        path.unlink()
        (folder / "candidate").mkdir()
    else:
        made_from = weights_digest(first.family.weights())
        write_candidate(folder, Candidate(weights={}, made_from=made_from, report=ACCEPTED))
    second = begin()
    (note,) = second.notes
    assert note.startswith("the candidate of the night in solving/riddles is left: ")
    assert {"damaged": "is damaged", "earlier": "an earlier version", "other models": "missing"}[
        problem
    ] in note
    assert is_equal(second.family.weights(), first.family.weights())


def test_a_replay_takes_nothing(begin, tmp_path):
    weights = slept_on_puzzles(tmp_path / "solving" / "riddles", begin().family)
    replay = begin(is_replay=True)
    assert replay.notes == []
    assert not is_equal(replay.family.weights(), weights)


SMALL = """
name: small
tick: {rate_hz: 100, rest_rate_hz: 100, dream_rate_hz: 100}
model: {hidden_size: 16, num_heads: 2, H_cycles: 1, L_cycles: 1}
budget: {segments: 1}
practice: {every_ticks: 8, batch_size: 2, window_ticks: 4, burn_in_ticks: 1}
sleep: {enabled: false, num_steps: 4, min_examined: 4, block_secs: 0.2, examined_fraction: 0.3}
memory: {num_experiences: 128, num_recall: 32, num_transitions: 128, write_rate: 0.5}
sensors:
  - {kind: synthetic, name: one, shape: [2], rate_hz: 100}
"""


def test_a_night_of_a_state_directory_is_a_night_of_its_next_session(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    config, state = tmp_path / "small.yaml", tmp_path / "state"
    config.write_text(SMALL)
    run = ["run", str(config), "--no-live", "--state-dir", str(state)]
    judge = consolidate.judge

    def accepting(*given: object, **named: object):
        return dataclasses.replace(judge(*given, **named), outcome=SleepOutcome.ACCEPTED)

    monkeypatch.setattr(consolidate, "judge", accepting)
    monkeypatch.setattr("os.nice", lambda by: 0)
    try:
        assert invoke([*run, "--ticks", "800"]) == 0
        assert invoke(["sleep", str(state)]) == 0
        capsys.readouterr()
        assert invoke([*run, "--ticks", "20", "--json"]) == 0
    finally:
        structlog.reset_defaults()
    captured = capsys.readouterr()
    logged = [json.loads(line) for line in captured.err.splitlines() if line.startswith("{")]
    (outcome,) = [str(line["outcome"]) for line in logged if line["event"] == "night"]
    assert outcome.startswith("the candidate of the night in sleep/")
    assert outcome.endswith(" is taken")
    with MetricsStore(state / "store.sqlite") as store:
        session = store.sessions()[-1].id
        assert [report.outcome for report in store.sleeps(session)] == [SleepOutcome.ACCEPTED]
    assert not list(state.glob("sleep/*/candidate.safetensors"))
