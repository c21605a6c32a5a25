"""No number of a configuration or an option can overflow the nanoseconds of a run."""

from __future__ import annotations

import pytest

from sage.app.cli.main import invoke
from sage.app.config.sage_config import build_config
from sage.app.config.yaml_file import parse_yaml
from sage.app.terminal.errors import UserError

SENSOR = "sensors: [{kind: synthetic, name: a, shape: [2]%s}]"
CLOCK = "sensors: [{kind: clock%s}]"


@pytest.mark.parametrize(
    ("text", "key", "remedy"),
    [
        ("tick: {rate_hz: 1.0e-300}", "tick.rate_hz", "give at least 1e-09"),
        ("metabolism: {focus_rate_hz: 1.0e-300}", "metabolism.focus_rate_hz", "give at least 1e-09"),
        ("budget: {puzzle_secs: 1.0e+300}", "budget.puzzle_secs", "give at most 1e+09"),
        ("sleep: {every_secs: .inf}", "sleep.every_secs", "finite number"),
        ("energy: {costs: {tick: .inf}}", "energy.costs.tick", "finite number"),
        ("practice: {learning_rate: .inf}", "practice.learning_rate", "finite number"),
        (SENSOR % ", hang_secs: 1.0e+300", "sensors.a.hang_secs", "give at most 1e+09"),
        (
            SENSOR % ", faults: [{at_secs: 1.0e+300, for_secs: 1, fault: nan}]",
            "sensors.a.faults.0.at_secs",
            "give at most 1e+09",
        ),
        (CLOCK % ", cycles_secs: [60, 1.0e+300]", "sensors.clock.cycles_secs", "give at most 1e+09"),
        (
            "effectors: [{kind: recording, max_rate_hz: 1.0e-300}]",
            "effectors.recording.max_rate_hz",
            "give at least 1e-09",
        ),
    ],
)
def test_a_time_a_rate_and_infinity_have_limits(text: str, key: str, remedy: str) -> None:
    sensors = "" if "sensors" in text else "\nsensors: [{kind: clock}]"
    with pytest.raises(UserError) as error:
        build_config(parse_yaml(text + sensors, "x.yaml", {}))
    assert key in str(error.value)
    assert remedy in str(error.value)


@pytest.mark.parametrize(
    "command",
    [
        ["run", "--seconds"],
        ["run", "--drain-secs"],
        ["sensors", "record", "clock", "--out", "clock.npz", "--seconds"],
        ["bridge", "serve", "--seconds"],
        ["bridge", "receive", "tcp/127.0.0.1:1", "a", "b", "--seconds"],
        ["daemon", "unit", "--drain-secs"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("value", ["inf", "1e300"])
def test_a_length_of_time_has_a_limit(
    command: list[str], value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke([*command, value]) == 2
    error = capsys.readouterr().err
    assert "Input should be less than or equal to" in error
    assert error.count("\n") == 1
