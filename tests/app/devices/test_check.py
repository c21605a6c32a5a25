"""`sage sensors check`: what holds, what fails, and what is missing."""

from __future__ import annotations

import json
from typing import Any

import psutil
import pytest
import structlog

from sage.app.cli.main import invoke
from sage.sensors.contract import SensorError
from sage.sensors.devices.clock import ClockSensor
from sage.sensors.effectors.recording import RecordingEffector


def checked(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code = invoke(["sensors", "check", *arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("kind", ["clock", "recording"])
def test_a_kind_that_keeps_its_contract(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, document = checked(capsys, kind, *(["--set", "timeout_secs=10"] if kind == "recording" else []))
    assert code == 0
    assert document["kind"] == kind
    assert document["is_ok"]
    assert len(document["checks"]) >= 10
    assert set(document["checks"][0]) == {"name", "is_ok", "detail"}


def test_log_lines_are_not_in_the_document(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        structlog.get_logger("sage.sensors").warning("a line of a device")
        raise NotImplementedError("not on this machine")

    monkeypatch.setattr(psutil, "cpu_freq", fail)
    code = invoke(["sensors", "check", "host", "--json"])
    output = capsys.readouterr()
    assert code == 0
    assert json.loads(output.out)["is_ok"]
    assert "a line of a device" in output.err


def test_a_sensor_that_breaks_its_contract(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise SensorError("broken")

    monkeypatch.setattr(ClockSensor, "read_into", fail)
    code, document = checked(capsys, "clock")
    assert code == 1
    failed = {check["name"]: check["detail"] for check in document["checks"] if not check["is_ok"]}
    assert failed["readings_are_whole"] == "SensorError: broken"


def test_what_a_plug_in_prints_is_not_in_the_document(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = ClockSensor.open

    def open_and_print(self: ClockSensor) -> None:
        print("SDK 3.1 ready")
        opened(self)

    monkeypatch.setattr(ClockSensor, "open", open_and_print)
    assert invoke(["sensors", "check", "clock", "--json"]) == 0
    output = capsys.readouterr()
    assert json.loads(output.out)["is_ok"]
    assert "SDK 3.1 ready" in output.err


def test_a_spec_that_is_none_is_the_result_of_a_check(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ClockSensor, "spec", {"name": "clock"})
    code, document = checked(capsys, "clock")
    assert code == 1
    failed = {check["name"]: check["detail"] for check in document["checks"] if not check["is_ok"]}
    assert failed["spec_is_known_before_open"] == "spec is a dict: give a SensorSpec"


def test_an_effector_that_breaks_its_contract(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RecordingEffector, "abort", lambda self: None)
    code, document = checked(capsys, "recording", "--set", "timeout_secs=10")
    assert code == 1
    failed = [check["name"] for check in document["checks"] if not check["is_ok"]]
    assert failed == ["it_holds_after_abort_until_opened", "it_stops_during_an_action"]


def test_a_plug_in_whose_constructor_raises_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: ClockSensor, *_: object) -> None:
        raise NotImplementedError("not on this machine")

    monkeypatch.setattr(ClockSensor, "__init__", fail)
    assert invoke(["sensors", "check", "clock"]) == 2
    assert (
        capsys.readouterr().err.strip()
        == "sage: sensor clock: ClockSensor cannot be made: NotImplementedError: not on this machine: correct"
        " the plug-in"
    )
