"""Environments in a run: connected as drivers and effectors, refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sage.app.config.sage_config import SageConfig, build_config, effective, load_config
from sage.app.config.yaml_file import YamlDocument
from sage.app.session.build import build_run
from sage.app.terminal.errors import UserError
from sage.mailbox.clock import Clock, ManualClock, RealClock
from sage.runtime.report import State

ROOM = {"kind": "key_door", "name": "room"}
FOUR = {"kind": "puzzles", "task": "sudoku", "options": {"size": 4}}
SIMULATED = {"decision": "allow", "effect": "simulated", "target": "world"}
COGNITIVE = {
    "decision": "allow",
    "effect": "cognitive",
    "target": "puzzle",
    "states": ["wake", "focus", "rest", "dream"],
}


def config(
    *environments: dict[str, Any], rules: tuple[dict[str, Any], ...] = (SIMULATED, COGNITIVE), **sections: Any
) -> SageConfig:
    data = {
        "sensors": [{"kind": "synthetic", "name": "s"}],
        "model": {"hidden_size": 16, "num_heads": 2},
        "environments": list(environments),
        "policy": {"rules": list(rules)},
        "solver_training": {"min_puzzles": 4},
        **sections,
    }
    return build_config(YamlDocument(data=data, source="test.yaml"))


def test_an_environments_sensors_and_effector_are_those_of_the_run(tmp_path: Path) -> None:
    run = build_run(config(ROOM), ManualClock(), directory=tmp_path)
    names = [spec.name for spec in run.loop.layout.specs]
    assert names[1:] == ["room.place", "room.sign", "room.reward", "room.reset"]
    run.open()
    try:
        for _ in range(8):
            report = run.loop.tick()
        assert [facts.effector for facts in report.facts.actions] == ["room.action"]
        faults = [driver.statistics().num_faults for driver in run.loop.senses.drivers]
        readings = [driver.statistics().num_readings for driver in run.loop.senses.drivers]
        assert not any(faults)
        assert readings[1] > 3
        assert readings[1:] == [readings[1]] * 4
    finally:
        run.close()


def life_of(directory: Path, num_ticks: int) -> list[Any]:
    """The facts of the stream's ticks."""
    clock = ManualClock()
    run = build_run(config({**FOUR, "window": 16}), clock, directory=directory)
    assert [spec.name for spec in run.loop.layout.specs] == ["s"]
    run.open()
    try:
        facts = []
        for _ in range(num_ticks):
            facts += run.loop.tick().facts.solving
            assert not run.loop.between_ticks.pass_time(run.loop.tick_count, clock.now_ns())
            clock.advance(50_000_000)
        return facts
    finally:
        run.close()


def test_a_puzzle_stream_is_answered_and_learned_from(tmp_path: Path) -> None:
    facts = life_of(tmp_path / "first", 80)
    answers = [answer for each in facts for answer in each.answers]
    assert [each.stream for each in facts] == ["puzzles"] * 80
    assert facts[-1].levels[0].name == "sudoku 4x4"
    assert facts[-1].levels[0].num_answered == len(answers) > 8
    assert facts[-1].num_steps > 0
    again = life_of(tmp_path / "again", 80)
    assert [answer for each in again for answer in each.answers] == answers


def _rules_of_answers(name: str) -> list[dict[str, Any]]:
    """Of a shipped configuration."""
    return [rule.model_dump() for rule in load_config(name).policy.rules if rule.target == "puzzle"]


def test_a_session_that_focuses_answers_in_focus_too(tmp_path: Path) -> None:
    settings = config(
        {**FOUR, "window": 16},
        rules=tuple(_rules_of_answers("default")),
        metabolism={"focuses": True, "focus_demand": 0.001},
    )
    clock = ManualClock()
    run = build_run(settings, clock, directory=tmp_path)
    run.open()
    decisions: list[str] = []
    try:
        while len(decisions) < 4 and run.loop.tick_count < 300:
            facts = run.loop.tick().facts
            if facts.state is State.FOCUS:
                decisions += [action.decision for action in facts.actions]
            run.loop.between_ticks.pass_time(run.loop.tick_count, clock.now_ns())
            clock.advance(50_000_000)
    finally:
        run.close()
    assert decisions == ["allow"] * 4


@pytest.mark.parametrize("name", ["default", "jetson", "maze", "sudoku", "table"])
def test_the_shipped_configurations_allow_answers_in_every_state_but_a_crisis(name: str) -> None:
    (rule,) = _rules_of_answers(name)
    assert rule["states"] == ("wake", "focus", "rest", "dream")


def test_on_a_real_clock_it_runs_in_a_process_of_its_own(tmp_path: Path) -> None:
    clock = RealClock()
    run = build_run(config(ROOM), clock, directory=tmp_path)
    run.open()
    try:
        driver = run.loop.senses.drivers[1]
        deadline_ns = clock.now_ns() + 60_000_000_000
        while driver.statistics().num_readings < 3:
            assert clock.now_ns() < deadline_ns, driver.statistics()
            run.loop.tick()
        assert not driver.is_inline
    finally:
        run.close()
    assert {each.statistics().status for each in run.loop.senses.drivers} == {"closed"}


@pytest.mark.parametrize("environment", [ROOM, FOUR])
def test_an_effector_that_no_policy_rule_matches_is_refused_with_the_rule(
    environment: dict[str, Any], tmp_path: Path
) -> None:
    rule = (
        "{decision: allow, effect: simulated, target: world}"
        if environment is ROOM
        else "{decision: allow, effect: cognitive, target: puzzle, states: [wake, focus, rest, dream]}"
    )
    with pytest.raises(UserError, match="no policy rule matches its effector") as caught:
        build_run(config(environment, rules=()), ManualClock(), directory=tmp_path)
    assert str(caught.value).endswith(f"add to policy.rules: {rule}")
    # A rule that denies is a decision too.
    denied = {"decision": "deny", "effect": "*"}
    build_run(config(environment, rules=(denied,)), ManualClock(), directory=tmp_path).close()


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "task": ({**FOUR, "task": "sudokku"}, "environments.puzzles: task 'sudokku': unknown: did you mean"),
    "level": (
        {"kind": "puzzles", "levels": [{"task": "none"}]},
        "environments.puzzles: levels.0: task 'none'",
    ),
    "file": ({**FOUR, "file": "several.txt"}, "puzzle 1: the puzzle has more than one solution"),
    "contradiction": ({**FOUR, "file": "wrong.txt"}, "puzzle 1: the givens contradict each other"),
    "id": ({"kind": "gymnasium", "id": "None-v0"}, "environments.gymnasium: "),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("clock", [ManualClock(), RealClock()], ids=["manual", "real"])
def test_what_cannot_be_made_is_one_line(name: str, clock: Clock, tmp_path: Path) -> None:
    (tmp_path / "several.txt").write_text("12..34..21..43..\n")
    (tmp_path / "wrong.txt").write_text("1134341221434...\n")
    environment, message = BAD[name]
    with pytest.raises(UserError, match=message) as caught:
        build_run(config(environment), clock, directory=tmp_path, base_dir=tmp_path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).count("environments.") == 1


def test_an_unknown_kind_or_key_is_one_line_with_the_place() -> None:
    with pytest.raises(UserError, match="unknown kind of environment"):
        config({"kind": "puzles"})
    with pytest.raises(UserError, match="teachr"):
        config({**FOUR, "teachr": "never"})
    with pytest.raises(UserError, match="task is missing"):
        config({"kind": "puzzles"})


def test_a_configuration_with_environments_is_written_and_read_back() -> None:
    levels = {"kind": "puzzles", "levels": [{"task": "sudoku", "options": {"size": 4}}]}
    first = config({**levels, "teacher": {"lying": 0.15}}, {**ROOM, "enabled": False})
    assert [entry.name for entry in first.enabled_environments] == ["puzzles"]
    import yaml

    again = build_config(YamlDocument(data=yaml.safe_load(effective(first)), source="again.yaml"))
    assert again == first


def test_two_sensors_with_one_name_are_refused(tmp_path: Path) -> None:
    data = config(ROOM).model_dump(mode="json")
    data["sensors"][0]["name"] = "room.reward"
    built = build_config(YamlDocument(data=data, source="test.yaml"))
    with pytest.raises(UserError, match=r"environments\.room: room\.reward is the name of another"):
        build_run(built, ManualClock(), directory=tmp_path)
