"""The examples and figures of docs/sensors.md and docs/effectors.md are those of the code."""

from __future__ import annotations

import re
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sage.app.audit.log import SEGMENT_BYTES
from sage.app.config.sage_config import build_config
from sage.app.config.yaml_file import YamlDocument, parse_yaml
from sage.app.session.build import build_run
from sage.mailbox.clock import ManualClock, RealClock
from sage.runtime.config import PolicyConfig, PolicyRule
from sage.sensors.config import EffectorConfig, LimitsConfig
from sage.sensors.conformance import check_effector
from sage.sensors.contract import SensorContext
from sage.sensors.devices.table_csv import DELIMITERS
from sage.sensors.devices.table_file import SUFFIXES
from sage.sensors.driver.effector_driver import BACKOFF_SECS, MAX_BACKOFF_SECS, OPEN_SECS
from sage.sensors.limits import MAX_SLEW_SECS


def blocks(repository: Path, page: str, language: str) -> list[str]:
    text = (repository / "docs" / page).read_text()
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_the_effector_of_the_docs_passes_the_conformance_kit(repository: Path) -> None:
    module = types.ModuleType("documented")
    code = blocks(repository, "effectors.md", "python")[0]
    exec(compile(code, "docs/effectors.md", "exec", dont_inherit=True), module.__dict__)
    clock = RealClock()
    context = SensorContext(clock=clock, epoch_ns=0)
    config = module.FanConfig(timeout_secs=10.0)
    for result in check_effector(lambda: module.FanEffector(config, context), clock=clock):
        assert result.is_ok, f"{result.name}: {result.detail}"


def test_the_five_lines_of_the_docs_run(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = blocks(repository, "effectors.md", "python")[1]
    exec(compile(code, "docs/effectors.md", "exec", dont_inherit=True), {})
    assert capsys.readouterr().out == "[ 0.5 -1. ] False\n"


def test_the_policy_of_the_docs_is_a_valid_one(repository: Path) -> None:
    import yaml

    text = blocks(repository, "effectors.md", "yaml")[0]
    data: dict[str, Any] = yaml.safe_load(text)
    (rule,) = build_config(YamlDocument(data={"policy": data["policy"]}, source="docs")).policy.rules
    assert rule.effect == "airflow"
    assert set(data["effectors"][0]) - {"kind"} <= EffectorConfig.model_fields.keys()


def test_the_limits_of_the_docs_build_a_run(repository: Path, tmp_path: Path) -> None:
    text = blocks(repository, "effectors.md", "yaml")[1]
    document = parse_yaml(text, "docs/effectors.md")
    document.data["sensors"] = [{"kind": "clock"}]
    run = build_run(build_config(document), ManualClock(), directory=tmp_path)
    assert run.loop.effector_gate.names == ("arm", "key_door.action")
    assert run.loop.effector_gate.needs == ("vision",)
    run.close()


def test_the_policy_file_of_the_docs_is_a_valid_one(repository: Path) -> None:
    text = blocks(repository, "effectors.md", "yaml")[2]
    policy = PolicyConfig.model_validate(parse_yaml(text, "docs/effectors.md").data)
    assert [rule.decision for rule in policy.rules] == ["allow", "warn", "deny"]


def test_the_spec_of_the_docs_is_limited(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = blocks(repository, "effectors.md", "python")[2]
    names: dict[str, Any] = {}
    exec(compile(code, "docs/effectors.md", "exec", dont_inherit=True), names)
    assert capsys.readouterr().out == "(0.5, 0.5)\n"
    assert names["spec"].limits.permit(np.array([2.0, 0.0])).tolist() == [1.0, 0.0]


def test_every_key_of_a_rule_and_every_verb_is_documented(repository: Path) -> None:
    page = (repository / "docs" / "effectors.md").read_text()
    assert all(f"`{key}`" in page for key in PolicyRule.model_fields)
    assert all(
        f"`{name}`" in page
        for name in (*EffectorConfig.model_fields.keys() & LimitsConfig.model_fields.keys(),)
    )
    assert f"at most {MAX_SLEW_SECS:g} s" in page
    assert f"files of {SEGMENT_BYTES >> 20} MB" in page


def test_the_figures_of_the_docs_are_those_of_the_code(repository: Path) -> None:
    page = (repository / "docs" / "effectors.md").read_text()
    assert f"({EffectorConfig.model_fields['timeout_secs'].default:g} by default)" in page
    assert f"quarantine: {BACKOFF_SECS:g} s, doubled at each fault up to\n   {MAX_BACKOFF_SECS:g} s" in page
    assert f"({OPEN_SECS:g} s at most)" in page


def test_every_form_of_a_table_is_documented(repository: Path) -> None:
    page = (repository / "docs" / "sensors.md").read_text()
    assert all(f"`{suffix}`" in page for suffix in SUFFIXES)
    names = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
    assert f"({', '.join(names[delimiter] for delimiter in DELIMITERS)})" in page
