"""Endpoints: the wire conformance of the server, in bytes, for every dialect."""

from __future__ import annotations

import sys
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sage.errors import InputError
from sage.gr00t_integration.dialects import DIALECTS, detect, dialect_named
from sage.gr00t_integration.embodiment import Embodiment, load_embodiment, shipped_embodiments
from sage.gr00t_integration.observation import check_actions
from sage.gr00t_integration.server.policies import ScriptedPolicy
from sage.gr00t_integration.server.service import PolicyService, ServiceOptions
from sage.gr00t_integration.wire import codec

EACH = pytest.mark.parametrize("dialect", list(DIALECTS))
PING = bytes.fromhex("81a8656e64706f696e74a470696e67")


def service_of(
    embodiment: Embodiment, dialect: str = "n1.7", policy: Any = None, **options: Any
) -> PolicyService:
    return PolicyService(
        policy or ScriptedPolicy(embodiment), embodiment, dialect_named(dialect), ServiceOptions(**options)
    )


def ask(service: PolicyService, endpoint: str, **more: Any) -> Any:
    return codec.unpack(service.answer(codec.pack({"endpoint": endpoint, **more})))


@EACH
def test_ping_is_answered_in_the_published_words(dialect: str, so100: Embodiment) -> None:
    reply = msgpack.unpackb(service_of(so100, dialect).answer(PING))
    assert reply == {"status": "ok", "message": "Server is running"}


@EACH
@pytest.mark.parametrize("name", shipped_embodiments())
def test_actions_are_those_of_the_embodiment(dialect: str, name: str, observe: Any) -> None:
    embodiment = load_embodiment(name)
    service = service_of(embodiment, dialect)
    assert detect(ask(service, "get_modality_config")).name == dialect
    data = dialect_named(dialect).request(observe(embodiment))
    # Without an endpoint a request is get_action.
    reply = codec.unpack(service.answer(codec.pack({"data": data})))
    actions = dialect_named(dialect).actions(reply)
    check_actions(embodiment, actions, 1)
    limits = zip(embodiment.action.keys.items(), actions.values())
    assert all(((key.low <= values) & (values <= key.high)).all() for (_, key), values in limits)


@EACH
@pytest.mark.parametrize("extra", [np.zeros((3, 1, 4, 4, 3), np.uint8), 5, "text"])
def test_a_camera_that_the_embodiment_lacks_changes_nothing(
    dialect: str, extra: Any, so100: Embodiment, observe: Any
) -> None:
    """Also where it is the first one, of another batch size."""
    if isinstance(extra, (int, str)) and dialect in ("n1.5", "n2-flat"):
        extra = np.zeros((3, 1, 4, 4, 3), np.uint8)  # flat keys are arrays
    data = dialect_named(dialect).request(observe(so100))
    if "observation" in data:
        data["observation"]["video"] = {"extra": extra, **data["observation"]["video"]}
    else:
        data = {"video.extra": extra, **data}
    reply = ask(service_of(so100, dialect), "get_action", data=data)
    check_actions(so100, dialect_named(dialect).actions(reply), 1)


def test_reset_is_there_from_n1_6_on(so100: Embodiment) -> None:
    assert ask(service_of(so100, "n1.5"), "reset") == {"error": "Unknown endpoint: reset"}
    for dialect in ("n1.6", "n1.7", "n2-flat"):
        for data in ({"options": None}, {"options": {"seed": 1}}, None):
            assert ask(service_of(so100, dialect), "reset", data=data) == {}


def test_kill_is_refused_unless_it_is_allowed(so100: Embodiment) -> None:
    service = service_of(so100)
    assert "--allow-kill" in ask(service, "kill")["error"]
    assert not service.is_ended
    service = service_of(so100, allows_kill=True)
    assert service.answer(codec.pack({"endpoint": "kill"})) == b"\xc0"
    assert service.is_ended


def test_another_token_is_refused_in_the_published_words(so100: Embodiment) -> None:
    service = service_of(so100, api_token="right")
    for token in ({}, {"api_token": "wrong"}, {"api_token": 3}, {"api_token": None}):
        assert ask(service, "ping", **token) == {"error": "Unauthorized: Invalid API token"}
    assert ask(service, "ping", api_token="right")["status"] == "ok"
    assert ask(service_of(so100), "ping", api_token="any")["status"] == "ok"


def test_an_unknown_endpoint_is_refused_in_the_published_words(so100: Embodiment) -> None:
    assert ask(service_of(so100), "fly") == {"error": "Unknown endpoint: fly"}


@EACH
@given(data=st.binary(max_size=200))
def test_garbage_gets_an_error_and_the_service_answers_afterwards(dialect: str, data: bytes) -> None:
    service = service_of(load_embodiment("so100"), dialect)
    reply = codec.unpack(service.answer(data))
    assert "error" in reply or reply.get("status") == "ok"
    assert ask(service, "ping")["status"] == "ok"


def test_pickle_gets_the_reason(so100: Embodiment) -> None:
    import pickle

    reply = codec.unpack(service_of(so100).answer(pickle.dumps({"endpoint": "ping"})))
    assert "CVE-2026-25874" in reply["error"]


@EACH
def test_an_observation_of_another_dialect_is_an_error(dialect: str, so100: Embodiment, observe: Any) -> None:
    other = "n1.7" if dialect in ("n1.5", "n2-flat") else "n1.5"
    service = service_of(so100, dialect)
    reply = ask(service, "get_action", data=dialect_named(other).request(observe(so100)))
    assert "get_action: data has no" in reply["error"]
    assert service.num_refused == 1


def test_a_policy_that_fails_or_returns_nan_gets_an_error(so100: Embodiment, observe: Any) -> None:
    class Bad(ScriptedPolicy):
        def act(self, observation: Any) -> dict[str, np.ndarray]:
            if observation.batch_size == 2:
                raise RuntimeError("out of ideas")
            if observation.batch_size == 3:
                sys.exit("gone")
            return {name: array * np.nan for name, array in super().act(observation).items()}

    service = service_of(so100, policy=Bad(so100))
    for batch_size, said in ((1, "NaN"), (2, "RuntimeError: out of ideas"), (3, "SystemExit: gone")):
        data = dialect_named("n1.7").request(observe(so100, batch_size))
        assert said in ask(service, "get_action", data=data)["error"]


def test_the_scripted_policy_reaches_its_target(so100: Embodiment, observe: Any) -> None:
    target = (10.0, -20.0, 30.0, 0.0, 5.0, 50.0)
    policy = ScriptedPolicy(so100, target=target, max_step=0.01)
    observation = observe(so100)
    position = so100.joined({name: observation.state[name] for name in ("single_arm", "gripper")})
    for _ in range(6):
        parts = so100.parted(position)
        for name, values in parts.items():
            observation.state[name] = values
        chunk = so100.joined(policy.act(observation))
        assert np.abs(np.diff(chunk[0], axis=0)).max() <= 3.6 + 1e-4
        position = chunk[:, -1:]
    assert np.allclose(position, target)


@pytest.mark.parametrize("settings", [{"target": [1.0]}, {"target": [np.nan] * 6}, {"max_step": 0}])
def test_a_scripted_policy_with_a_wrong_target_is_refused(settings: Any, so100: Embodiment) -> None:
    with pytest.raises(InputError):
        ScriptedPolicy(so100, **settings)
