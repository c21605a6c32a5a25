"""Dialects: what each one writes, both ways, and how they are told from each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sage.errors import DataError, InputError
from sage.gr00t_integration import dialects
from sage.gr00t_integration.dialects import DIALECTS, Dialect
from sage.gr00t_integration.embodiment import Embodiment, load_embodiment, shipped_embodiments
from sage.gr00t_integration.observation import check_actions, check_observation
from sage.gr00t_integration.wire import codec
from sage.gr00t_integration.wire.errors import WireError

EACH = pytest.mark.parametrize("dialect", DIALECTS.values(), ids=list(DIALECTS))


def over_the_wire(value: Any) -> Any:
    return codec.unpack(codec.pack(value))


def some_actions(embodiment: Embodiment, batch_size: int = 1) -> dict[str, np.ndarray]:
    random = np.random.default_rng(1)
    return {
        name: random.standard_normal((batch_size, embodiment.action.horizon, key.dim), dtype=np.float32)
        for name, key in embodiment.action.keys.items()
    }


@EACH
@pytest.mark.parametrize("name", shipped_embodiments())
@pytest.mark.parametrize("batch_size", [1, 2])
def test_an_observation_and_its_actions_come_back(
    dialect: Dialect, name: str, batch_size: int, observe: Any
) -> None:
    embodiment = load_embodiment(name)
    observation = observe(embodiment, batch_size)
    back, is_batched = dialect.observation(over_the_wire(dialect.request(observation)))
    check_observation(embodiment, back)
    assert back.language == observation.language
    for mine, theirs in ((observation.video, back.video), (observation.state, back.state)):
        assert list(mine) == list(theirs)
        assert all((mine[key] == theirs[key]).all() for key in mine)
    actions = some_actions(embodiment, batch_size)
    received = dialect.actions(over_the_wire(dialect.reply(actions, is_batched=is_batched)))
    check_actions(embodiment, received, batch_size)
    assert all((received[key] == actions[key]).all() for key in actions)


def test_the_forms_are_those_of_the_generations(so100: Embodiment, observe: Any) -> None:
    observation = observe(so100)
    nested = DIALECTS["n1.7"].request(observation)
    assert set(nested) == {"observation", "options"}
    assert nested["observation"]["video"]["front"].shape == (1, 1, 6, 8, 3)
    assert nested["observation"]["language"] == {so100.language: [["pick up the cube"]]}
    flat = DIALECTS["n1.5"].request(observation)
    assert flat["video.front"].shape == (1, 6, 8, 3)
    assert flat["state.single_arm"].shape == (1, 5)
    assert flat[so100.language] == ["pick up the cube"]
    actions = some_actions(so100)
    assert DIALECTS["n1.6"].reply(actions, is_batched=True) == [actions, {}]
    old = DIALECTS["n1.5"].reply(actions, is_batched=False)
    assert (old["action.gripper"].dtype, old["action.gripper"].shape) == (np.dtype("float64"), (16, 1))
    assert DIALECTS["n1.5"].reply(actions, is_batched=True)["action.gripper"].shape == (1, 16, 1)
    new = DIALECTS["n2-flat"].reply(actions, is_batched=True)
    assert (new["action.gripper"].dtype, new["action.gripper"].shape) == (np.dtype("float32"), (16, 1))


@EACH
def test_a_dialect_is_detected_by_its_modalities(dialect: Dialect, so100: Embodiment) -> None:
    sent = dialect.modalities(so100)
    reply = over_the_wire(sent)
    assert reply == sent
    assert dialects.detect(reply).name == dialect.name
    assert dialects.differences(so100, dialects.read_modalities(reply)) == []


def test_modalities_of_another_embodiment_differ(so100: Embodiment) -> None:
    other = DIALECTS["n1.7"].modalities(load_embodiment("droid"))
    found = dialects.differences(so100, other)
    assert any("front, wrist" in each for each in found)
    assert any("delta_indices are [-15, 0], not [0]" in each for each in found)


@pytest.mark.parametrize("reply", [None, [], {}, {"video": 3}, "ok", {"error": ""}])
def test_a_server_of_something_else_has_no_dialect(reply: Any) -> None:
    with pytest.raises(WireError):
        dialects.detect(reply)


@EACH
@pytest.mark.parametrize(
    "junk", [None, 3, [], {}, "text", {"video.a": 1}, [1, 2], [{}, {}, {}], {"action.a": "x"}]
)
def test_junk_in_place_of_an_observation_or_a_reply_is_an_error(dialect: Dialect, junk: Any) -> None:
    with pytest.raises(WireError):
        dialect.observation(junk)
    with pytest.raises(WireError):
        dialect.actions(junk)


@pytest.mark.parametrize(
    ("group", "key", "change", "said"),
    [
        ("video", "front", lambda a: a.astype(np.float32), "send an array of uint8 with 5 dimensions"),
        ("video", "front", lambda a: a[0], "with 5 dimensions"),
        ("video", "front", lambda a: np.concatenate([a, a], axis=1), "as many frames as delta_indices"),
        ("video", "front", lambda a: a[..., :1], "as many frames"),
        ("video", "front", lambda a: np.concatenate([a, a]), "batch sizes"),
        ("state", "single_arm", lambda a: a.astype(np.float64), "send an array of float32"),
        ("state", "single_arm", lambda a: a[..., :4], r"send \(B, 1, 5\)"),
        ("state", "single_arm", lambda a: a * np.nan, "finite"),
        ("state", "single_arm", lambda a: a.tolist(), "a list"),
        ("language", "annotation.human.task_description", lambda a: ["text"], r"\[\[text\]\]"),
        ("language", "annotation.human.task_description", lambda a: [["a", "b"]], r"\[\[text\]\]"),
    ],
)
def test_a_strict_server_names_what_is_wrong(
    group: str, key: str, change: Any, said: str, so100: Embodiment, observe: Any
) -> None:
    observation = observe(so100)
    getattr(observation, group)[key] = change(getattr(observation, group)[key])
    with pytest.raises(WireError, match=said):
        check_observation(so100, observation)
    del getattr(observation, group)[key]
    with pytest.raises(WireError):
        check_observation(so100, observation)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda a: a[:, :3], "shape"),
        (lambda a: a[0], "shape"),
        (lambda a: a * np.inf, "NaN or infinity"),
        (lambda a: a.astype(int), "floating-point"),
        (lambda a: None, "missing"),
    ],
)
def test_wrong_actions_are_named(change: Any, said: str, so100: Embodiment) -> None:
    actions = some_actions(so100)
    actions["gripper"] = change(actions["gripper"])
    with pytest.raises(WireError, match=said):
        check_actions(so100, actions, 1)


def test_actions_are_joined_and_parted_in_order(so100: Embodiment) -> None:
    actions = some_actions(so100)
    joined = so100.joined(actions)
    assert joined.shape == (1, 16, 6)
    assert all((so100.parted(joined)[key] == actions[key]).all() for key in actions)
    assert so100.action_channels[4:] == ("single_arm.4", "gripper.0")


def test_an_embodiment_with_a_fault_is_refused(tmp_path: Any) -> None:
    with pytest.raises(InputError, match="give a YAML file or one of droid"):
        load_embodiment("so101x")
    file = tmp_path / "arm.yaml"
    for text, said in (("name: a", "control_hz"), ("a: [", "not YAML"), ("[]", "the file")):
        file.write_text(text)
        with pytest.raises(DataError, match=said):
            load_embodiment(file)
