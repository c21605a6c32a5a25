"""A configuration is complete, frozen, printable and the same when read back."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from sage.app.config.sage_config import (
    build_config,
    config_hash,
    effective,
    find_config,
    load_config,
    shipped_configs,
)
from sage.app.config.yaml_file import YamlDocument, parse_yaml
from sage.app.terminal.errors import UserError

SHIPPED = (
    "coherence",
    "default",
    "flight",
    "groot",
    "gym",
    "jetson",
    "language",
    "maze",
    "measurements",
    "robot",
    "sudoku",
    "table",
    "totality",
    "walk",
    "xio",
)


def test_these_configurations_are_shipped() -> None:
    assert tuple(shipped_configs()) == SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_configuration_is_valid_and_says_its_name(name: str) -> None:
    assert load_config(name).name == name


@pytest.mark.parametrize("name", SHIPPED)
def test_the_effective_configuration_reads_back_equal(name: str, tmp_path: Path) -> None:
    config = load_config(name)
    path = tmp_path / "effective.yaml"
    path.write_text(effective(config))
    again = load_config(path)
    assert again == config
    assert config_hash(again) == config_hash(config)


@pytest.mark.parametrize("name", ["flight", "walk", "xio"])
def test_the_recordings_of_a_replay_are_there(
    name: str, recordings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGE_DATA", str(recordings))
    config = load_config(name, with_files=True)
    assert config.tick.rate_hz == 50


@pytest.mark.parametrize("name", ["flight", "walk", "xio"])
def test_the_recordings_of_a_replay_stand_on_one_clock(name: str) -> None:
    replayed = [
        entry.config for entry in load_config(name).sensors if hasattr(entry.config, "time_zero_secs")
    ]
    assert len(replayed) >= 3
    assert len({config.time_zero_secs for config in replayed}) == 1
    assert replayed[0].time_zero_secs is not None


def test_what_watches_people_is_off_by_default() -> None:
    config = load_config("default")
    assert {entry.kind for entry in config.sensors if not entry.enabled} == {"video", "audio"}
    assert not {entry.kind for entry in config.enabled_sensors} & {"video", "audio"}


def test_the_default_run_has_one_effector_one_puzzle_stream_and_a_rule_for_each() -> None:
    config = load_config("default")
    assert [entry.kind for entry in config.enabled_effectors] == ["recording"]
    assert [entry.name for entry in config.enabled_environments] == ["puzzles"]
    rules = [(rule.decision, rule.effect) for rule in config.policy.rules]
    assert rules == [("allow", "record"), ("allow", "cognitive")]


def test_an_empty_configuration_has_every_default() -> None:
    config = build_config(parse_yaml("", "file"))
    assert config.name == "sage"
    assert config.sensors == ()
    assert config.practice.enabled


@pytest.mark.parametrize(
    ("override", "read"),
    [
        ("tick.rate_hz=7e-1", lambda config: config.tick.rate_hz == 0.7),
        ("sensors.cpu.period_secs=0.5", lambda config: config.sensors[0].config.period_secs == 0.5),
        ("sensors.0.period_secs=0.5", lambda config: config.sensors[0].config.period_secs == 0.5),
        (
            "sensors.camera.enabled=true",
            lambda config: "camera" in [entry.name for entry in config.enabled_sensors],
        ),
        ("sensors=[{kind: clock}]", lambda config: [entry.name for entry in config.sensors] == ["clock"]),
        ("store.keep_days=1", lambda config: config.store.keep_days == 1),
        ("memory.num_recall=16", lambda config: config.memory.num_recall == 16),
        ("state_dir=/tmp/x", lambda config: config.state_path == Path("/tmp/x")),
        ("name=night", lambda config: config.name == "night"),
    ],
)
def test_an_override_changes_one_key(override: str, read) -> None:  # type: ignore[no-untyped-def]
    assert not read(load_config("default"))
    assert read(load_config("default", [override]))


def test_the_last_override_of_a_key_counts() -> None:
    assert load_config("default", ["seed=1", "seed=2"]).seed == 2


def test_an_optional_sensor_whose_device_is_absent_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("sensors: [{kind: video, device: /dev/no-such-camera, consent: true, optional: true}]\n")
    assert load_config(path, with_files=True).enabled_sensors[0].optional
    with pytest.raises(UserError, match="no such device"):
        load_config(path, ["sensors.video.optional=false"], with_files=True)


def test_where_a_run_is_kept_does_not_change_its_hash() -> None:
    config = load_config("default")
    assert config_hash(load_config("default", ["state_dir=/tmp/x"])) == config_hash(config)
    assert config_hash(load_config("default", ["seed=1"])) != config_hash(config)


def test_the_state_directory_is_the_platforms_unless_it_is_given(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert load_config("default").state_path == tmp_path / "sage"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_config("default", ["state_dir=~/kept"]).state_path == tmp_path / "kept"


def test_a_configuration_is_frozen() -> None:
    config = load_config("default")
    with pytest.raises(ValidationError, match="frozen"):
        config.seed = 1  # type: ignore[misc]


def test_a_file_of_that_name_goes_before_a_shipped_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_config("default").is_absolute()
    assert find_config("configs/default.yaml").is_absolute()
    (tmp_path / "default").write_text("seed: 5\n")
    assert load_config("default").seed == 5


def test_a_policy_may_be_in_a_file_of_its_own(tmp_path: Path) -> None:
    rules = tmp_path / "policy.yaml"
    rules.write_text("rules:\n  - {decision: warn, effect: motion, needs: [vision], priority: 3}\n")
    (rule,) = build_config(YamlDocument(data={"policy": str(rules)}, source="run")).policy.rules
    assert (rule.decision, rule.needs, rule.priority) == ("warn", ("vision",), 3)
    rules.write_text("rules:\n  - {decision: perhaps}\n")
    with pytest.raises(UserError, match=r"policy\.yaml:2: .*decision"):
        build_config(YamlDocument(data={"policy": str(rules)}, source="run"))
    with pytest.raises(UserError, match=r"missing\.yaml"):
        build_config(YamlDocument(data={"policy": str(tmp_path / "missing.yaml")}, source="run"))
