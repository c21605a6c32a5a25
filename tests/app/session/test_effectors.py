"""Limits, needed modalities and dry runs from a configuration to the loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from sage.app.config.sage_config import build_config
from sage.app.config.yaml_file import YamlDocument
from sage.app.session.build import Run, build_run
from sage.app.terminal.errors import UserError
from sage.mailbox.clock import ManualClock
from sage.runtime.report import TickFacts


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    runs: list[Run] = []

    def make(*effectors: dict[str, Any], **sections: Any) -> Run:
        data = {
            "model": {"hidden_size": 16, "num_heads": 2, "H_cycles": 1, "L_cycles": 1},
            "practice": {"enabled": False},
            "sleep": {"enabled": False},
            "sensors": [{"kind": "synthetic", "name": "eye", "shape": [2], "rate_hz": 20}],
            "effectors": list(effectors),
            "policy": {"rules": [{"decision": "allow"}]},
        } | sections
        config = build_config(YamlDocument(data=data, source="run.yaml"))
        run = build_run(config, ManualClock(), directory=tmp_path / "sleep")
        runs.append(run)
        return run

    yield make
    for run in runs:
        run.close()


def ticked(run: Run, num: int) -> list[TickFacts]:
    facts: list[TickFacts] = []

    class Keep:
        def on_tick(self, report: Any) -> None:
            facts.append(report.facts)

        def on_sleep(self, report: Any) -> None: ...

        def on_event(self, event: Any) -> None: ...

    run.open()
    run.loop.observe(Keep())
    run.loop.run(num_ticks=num)
    return facts


def test_limits_of_the_configuration_hold(build) -> None:
    arm = {"kind": "recording", "name": "arm", "max_rate_hz": 10, "workspace": {"0": [0.5, 1]}, "max_slew": 1}
    ticks = ticked(build(arm, tick={"rate_hz": 20, "rest_rate_hz": 20}), 45)
    done = [facts.actions[0].done[0] for facts in ticks if facts.actions[0].done]
    assert done[0] == pytest.approx(0.1)
    assert all(b - a <= 0.1 + 1e-6 for a, b in pairwise(done))
    assert min(done[10:]) == pytest.approx(0.5)
    assert {name for facts in ticks for name in facts.actions[0].limited_by} == {"rate", "workspace", "slew"}
    assert 20 <= len(done) <= 30  # of 45 ticks in 2.25 s


@pytest.mark.parametrize("where", ["effector", "rule"])
def test_a_modality_that_the_run_lacks_is_starved(build, where: str) -> None:
    arm = {"kind": "null", "name": "arm", **({"needs": ["vision"]} if where == "effector" else {})}
    rule = {"decision": "allow", **({"needs": ["vision"]} if where == "rule" else {})}
    facts = ticked(build(arm, policy={"rules": [rule]}), 5)[-1]
    assert facts.posture.starved == ("vision",)
    assert facts.actions[0].decision == "deny"
    assert "needs vision, which is starved" in facts.actions[0].reason


def test_a_modality_of_the_configuration_is_fed_by_its_sources(build) -> None:
    arm = {"kind": "null", "name": "arm", "needs": ["vision"]}
    posture = {"modalities": {"vision": ["eye*"]}}
    ticks = ticked(build(arm, posture=posture), 60)
    assert ticks[-1].posture.starved == ()
    assert ticks[-1].actions[0].decision == "allow"
    assert 0 < ticks[-1].posture.confidence <= 1
    assert ticks[-1].posture.breadth == pytest.approx(1)


@pytest.mark.parametrize("of_all", [True, False])
def test_a_dry_run_decides_and_opens_nothing(build, of_all: bool) -> None:
    arm = {"kind": "recording", "name": "arm", "dry_run": not of_all}
    run = build(arm, policy={"rules": [{"decision": "allow"}], "dry_run": of_all})
    ticks = ticked(run, 5)
    (driver,) = run.loop.effector_gate._drivers
    assert all(facts.actions[0].is_dry and facts.actions[0].is_held for facts in ticks)
    assert ticks[-1].actions[0].done == ticks[-1].actions[0].asked
    assert not driver._effector._is_open
    assert not driver._effector.actions


@pytest.mark.parametrize(
    ("sections", "problem"),
    [
        ({"max_slew": {"elbow": 1}}, r"effectors\.arm: max_slew: there is no channel elbow: give one of 0"),
        ({"workspace": {"0": [2, 3]}}, r"effectors\.arm: workspace of channel 0 is 2 to 3: give a part"),
        ({"workspace": {"0": [1, -1]}}, r"effectors\.arm: workspace .* give low < high"),
        ({"max_slew": -1}, r"effectors\.arm: max_slew"),
        ({"num_steps": 3, "max_slew": 1}, r"effectors\.arm: .*needs step_secs"),
    ],
)
def test_limits_that_do_not_fit_name_their_place(build, sections: dict[str, Any], problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        build({"kind": "recording", "name": "arm", **sections})


def test_limits_of_an_environments_effector(build) -> None:
    room = {"kind": "key_door", "name": "room", "effectors": {"action": {"max_rate_hz": 5}}}
    ticks = ticked(build(environments=[room]), 40)
    assert sum(facts.actions[0].limited_by == ("rate",) for facts in ticks) >= 25
    with pytest.raises(
        UserError, match=r"environments\.room\.effectors: there is no effector hand: give one of action"
    ):
        build(environments=[room | {"effectors": {"hand": {}}}])
    with pytest.raises(UserError, match=r"environments\.room\.effectors\.action: .*a choice has no slew"):
        build(environments=[room | {"effectors": {"action": {"max_slew": 1}}}])
