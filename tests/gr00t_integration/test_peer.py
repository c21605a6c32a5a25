"""Against a checkout of Isaac-GR00T that SAGE_GR00T_PEER names: its serializer, its client, its server.

Skipped without one, and with the reason where its modules need packages that are not installed.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from sage.gr00t_integration.client.zmq_client import ZmqPolicyClient
from sage.gr00t_integration.dialects import dialect_named
from sage.gr00t_integration.embodiment import Embodiment
from sage.gr00t_integration.observation import check_actions
from sage.gr00t_integration.server.policies import ScriptedPolicy
from sage.gr00t_integration.wire import codec

PEER = os.environ.get("SAGE_GR00T_PEER")
pytestmark = pytest.mark.skipif(not PEER, reason="set SAGE_GR00T_PEER to a checkout of NVIDIA/Isaac-GR00T")


@pytest.fixture
def peer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Its module gr00t.policy.server_client (N1.6 and later)."""
    assert PEER is not None
    monkeypatch.syspath_prepend(PEER)
    before = set(sys.modules)
    try:
        yield importlib.import_module("gr00t.policy.server_client")
    except ImportError as error:
        pytest.skip(f"{PEER}: {error}")
    finally:
        for name in set(sys.modules) - before:
            if name.split(".")[0] == "gr00t":
                del sys.modules[name]


def test_both_serializers_read_each_other(peer: Any) -> None:
    value = {"endpoint": "get_action", "data": {"a": np.arange(6, dtype=np.float32).reshape(1, 2, 3)}}
    for back in (
        peer.MsgSerializer.from_bytes(codec.pack(value)),
        codec.unpack(peer.MsgSerializer.to_bytes(value)),
    ):
        assert back["endpoint"] == "get_action"
        assert (back["data"]["a"] == value["data"]["a"]).all()  # type: ignore[index]
    assert peer.MsgSerializer.to_bytes({"endpoint": "ping"}).hex() == "81a8656e64706f696e74a470696e67"


def test_its_client_gets_actions_from_our_server(
    peer: Any, serve: Any, so100: Embodiment, observe: Any
) -> None:
    host, port = serve(so100).address.removeprefix("tcp://").split(":")
    client = peer.PolicyClient(host=host, port=int(port))
    assert client.ping()
    assert client.get_modality_config()["action"].modality_keys == ["single_arm", "gripper"]
    observation = dialect_named("n1.7").request(observe(so100))["observation"]
    actions, _ = client.get_action(observation)
    check_actions(so100, actions, 1)
    client.reset()


def test_our_client_gets_actions_from_its_server(peer: Any, so100: Embodiment, observe: Any) -> None:
    scripted, modalities = ScriptedPolicy(so100), dialect_named("n1.7").modalities(so100)
    types = importlib.import_module("gr00t.data.types")

    class Policy:
        def get_action(self, observation: Any, options: Any = None) -> Any:
            received, _ = dialect_named("n1.7").observation({"observation": observation})
            return scripted.act(received), {}

        def reset(self, options: Any = None) -> Any:
            return {}

        def get_modality_config(self) -> Any:
            return {
                name: types.ModalityConfig(
                    delta_indices=list(each.delta_indices), modality_keys=list(each.modality_keys)
                )
                for name, each in modalities.items()
            }

    server = peer.PolicyServer(Policy(), host="127.0.0.1", port=0)
    address = server.socket.getsockopt_string(importlib.import_module("zmq").LAST_ENDPOINT)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    client = ZmqPolicyClient(address, so100)
    client.ping()
    check_actions(so100, client.infer(observe(so100)), 1)
    client.reset()
    assert client._call({"endpoint": "kill"}) is None
    thread.join(10)
    client.close()
