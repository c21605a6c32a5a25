"""The relay as an effector, and its connection to the effector that it drives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sage.app.session.relays import check_watched, take_relays
from sage.app.terminal.errors import UserError
from sage.errors import InputError
from sage.gr00t_integration.loop.mapping import ObservationMaker, Place
from sage.gr00t_integration.loop.relay import GrootRelay, GrootRelayConfig
from sage.gr00t_integration.loop.sensor import GrootConfig, GrootSensor
from sage.gr00t_integration.observation import check_observation
from sage.mailbox.clock import ManualClock
from sage.sensors.contract import SensorContext, SensorError
from sage.sensors.effectors.recording import RecordingConfig, RecordingEffector
from sage.sensors.limits import EffectorLimits, EffectorSettings
from sage.sensors.relay import Relay
from sage.sensors.testing.effector_conformance import check_effector


@pytest.fixture
def context(tmp_path: Path, tiny: Any) -> SensorContext:
    return SensorContext(clock=ManualClock(), epoch_ns=0, base_dir=tmp_path)


def relay_of(context: SensorContext, **settings: Any) -> GrootRelay:
    return GrootRelay(GrootRelayConfig(**{"embodiment": "tiny.yaml", **settings}), context)


def arm_of(context: SensorContext, **settings: Any) -> RecordingEffector:
    return RecordingEffector(RecordingConfig(**{"name": "arm", "size": 2, **settings}), context)


@pytest.mark.parametrize("has_device", [False, True])
def test_it_holds_the_effector_contract(has_device: bool, context: SensorContext) -> None:
    def make() -> GrootRelay:
        relay = relay_of(context)
        if has_device:
            relay.attach(arm_of(context))
        assert isinstance(relay, Relay)
        return relay

    results = check_effector(make, clock=context.clock)
    assert [result for result in results if not result.is_ok] == []


def test_a_driven_effector_leaves_the_models_and_its_limits_stay(context: SensorContext) -> None:
    arm, other, relay = (
        arm_of(context, high=0.5),
        arm_of(context, name="other"),
        relay_of(context, drives="arm"),
    )
    effectors: list[Any] = [arm, other, relay]
    settings = {
        "arm": EffectorSettings(limits=EffectorLimits(max_rate_hz=5.0), needs=("vision",), is_dry=True),
        "groot_relay": EffectorSettings(limits=EffectorLimits(max_rate_hz=9.0)),
    }
    assert take_relays(effectors, settings) == [relay]
    assert effectors == [other]
    assert settings["groot_relay"] == EffectorSettings(
        limits=EffectorLimits(max_rate_hz=5.0), needs=("vision",), is_dry=True
    )
    assert (relay.spec.low, relay.spec.high) == ((-1.0, -1.0), (0.5, 0.5))


@pytest.mark.parametrize(
    ("arm", "drives", "said"),
    [({"size": 3}, "arm", r"takes actions of shape \(3,\)"), ({}, "leg", "no other effector leg"),
     ({"low": 2.0, "high": 3.0}, "arm", "low")],
)  # fmt: skip
def test_an_effector_that_does_not_fit_is_refused(
    arm: Any, drives: str, said: str, context: SensorContext
) -> None:
    with pytest.raises(UserError, match=said):
        take_relays([arm_of(context, **arm), relay_of(context, drives=drives)], {})


def test_an_effector_is_driven_by_one_relay(context: SensorContext) -> None:
    relays = [relay_of(context, name=name, drives="arm") for name in ("one", "two")]
    with pytest.raises(UserError, match=r"effectors\.two\.drives: there is no other effector arm"):
        take_relays([arm_of(context), *relays], {})


def test_a_source_that_the_run_does_not_have_is_refused(context: SensorContext) -> None:
    GrootSensor(
        GrootConfig(embodiment="tiny.yaml", video={"front": "camera"}, state={"arm": "joints"}), context
    )
    check_watched(context.latest, ["camera", "joints"])
    with pytest.raises(UserError, match=r"sensors\.groot: there is no source joints: did you mean joint\?"):
        check_watched(context.latest, ["camera", "joint"])


def test_an_observation_has_history_and_parts(context: SensorContext, tmp_path: Path) -> None:
    from sage.gr00t_integration.embodiment import load_embodiment

    droid = load_embodiment("droid")
    latest = context.latest
    maker = ObservationMaker(
        droid,
        video={"exterior_image_1_left": "camera", "wrist_image_left": "camera"},
        state={"eef_9d": "robot[0:9]", "gripper_position": "robot[9:10]", "joint_position": "robot[10:17]"},
        latest=latest,
        watcher="groot",
    )
    assert maker.sources == ("camera", "robot")
    assert maker.newest_ns() is None
    for stamp in range(20):
        latest.put("camera", np.full((4, 4, 3), stamp, dtype=np.uint8), stamp)
    latest.put("robot", np.arange(17.0), 7)
    assert maker.newest_ns() == (7, 19)
    observation = maker.observation("go")
    check_observation(droid, observation)
    assert observation.video["wrist_image_left"][0, :, 0, 0, 0].tolist() == [4, 19]
    assert observation.state["gripper_position"].tolist() == [[[9.0]]]
    latest.put("robot", np.arange(5.0), 8)
    with pytest.raises(SensorError, match=r"give 1, for example with robot\[0:1\]|give 9"):
        maker.observation("go")


def test_before_there_is_history_the_oldest_frame_is_repeated(context: SensorContext, tiny: Any) -> None:
    maker = ObservationMaker(
        tiny, video={"front": "camera"}, state={"arm": "joints"}, latest=context.latest, watcher="groot"
    )
    context.latest.put("camera", np.zeros((4, 4), dtype=np.uint8), 0)
    context.latest.put("joints", np.zeros(2), 0)
    with pytest.raises(SensorError, match=r"give a source of \(height, width, 3\) uint8"):
        maker.observation("go")


@pytest.mark.parametrize("text", ["", "a[1]", "a[3:3]", "a[1:2]b", "[0:1]"])
def test_a_place_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="START < STOP"):
        Place.parse(text)


@pytest.mark.parametrize("mapping", [{"video": {}}, {"state": {"arm": "a", "leg": "b"}}])
def test_a_mapping_that_is_not_whole_is_refused(mapping: Any, context: SensorContext) -> None:
    given = {"video": {"front": "camera"}, "state": {"arm": "joints"}} | mapping
    with pytest.raises(InputError, match="give a source for each"):
        GrootSensor(GrootConfig(embodiment="tiny.yaml", **given), context)


def test_a_token_file_that_is_missing_or_empty_is_refused(context: SensorContext, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    for name, said in (("none", "no such file"), ("empty", "empty")):
        config = GrootConfig(
            embodiment="tiny.yaml", video={"front": "c"}, state={"arm": "j"}, api_token_file=Path(name)
        )
        with pytest.raises(ValueError, match=f"(?i){said}"):
            GrootSensor(config, context).open()
