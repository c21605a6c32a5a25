"""openpi's protocol: our client against our server, and against servers with every fault."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import msgpack
import numpy as np
import pytest
import websockets.sync.client
import websockets.sync.server

from sage.errors import InputError
from sage.gr00t_integration.client.connect import make_client
from sage.gr00t_integration.client.contract import PolicyFailure, PolicyRefusal, PolicyTimeout
from sage.gr00t_integration.client.openpi_client import OpenpiPolicyClient
from sage.gr00t_integration.client.zmq_client import ZmqPolicyClient
from sage.gr00t_integration.embodiment import Embodiment, load_embodiment, shipped_embodiments
from sage.gr00t_integration.openpi_form import actions_to_reply
from sage.gr00t_integration.server.openpi_server import OpenpiPolicyServer
from sage.gr00t_integration.server.policies import ScriptedPolicy
from sage.gr00t_integration.wire import openpi_codec

Serve = Callable[..., str]


@pytest.fixture
def openpi() -> Iterator[Serve]:
    """Starts our server; the address."""
    servers: list[tuple[OpenpiPolicyServer, threading.Thread]] = []

    def start(embodiment: Embodiment, policy: Any = None, **options: Any) -> str:
        server = OpenpiPolicyServer(policy or ScriptedPolicy(embodiment), embodiment, port=0, **options)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        servers.append((server, thread))
        return server.address

    yield start
    for server, thread in servers:
        server.stop()
        thread.join(10)


@pytest.fixture
def script() -> Iterator[Callable[[Callable[[Any], None]], str]]:
    """Starts a server that handles each connection with a function; the address."""
    servers: list[Any] = []

    def start(handle: Callable[[Any], None]) -> str:
        servers.append(websockets.sync.server.serve(handle, "127.0.0.1", 0))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"ws://127.0.0.1:{servers[-1].socket.getsockname()[1]}"

    yield start
    for each in servers:
        each.shutdown()


@pytest.mark.parametrize("name", shipped_embodiments())
def test_the_client_gets_metadata_and_actions(name: str, openpi: Serve, observe: Any) -> None:
    embodiment = load_embodiment(name)
    client = OpenpiPolicyClient(openpi(embodiment), embodiment)
    actions = client.infer(observe(embodiment))
    assert list(actions) == list(embodiment.action.keys)
    assert client.metadata["embodiment"] == name
    assert "scripted policy" in client.about
    client.reset()
    again = client.infer(observe(embodiment))
    assert all((actions[key] == again[key]).all() for key in actions)
    client.close()


def test_the_server_speaks_the_published_form(openpi: Serve, so100: Embodiment) -> None:
    """Against bytes that are packed here, not by our codec."""

    def packed(array: np.ndarray) -> dict[Any, Any]:
        return {
            b"__ndarray__": True,
            b"data": array.tobytes(),
            b"dtype": array.dtype.str,
            b"shape": array.shape,
        }

    image = np.zeros((6, 8, 3), dtype=np.uint8)
    request = {
        "observation/front": packed(image),
        "observation/wrist": packed(image),
        "observation/single_arm": packed(np.zeros(5)),
        "observation/gripper": packed(np.zeros(1, dtype=np.float32)),
        "prompt": "go",
    }
    with websockets.sync.client.connect(openpi(so100)) as connection:
        metadata = msgpack.unpackb(connection.recv())
        assert metadata["action_dims"] == {"single_arm": 5, "gripper": 1}
        assert metadata["server"] == "sage groot serve"
        for more in ({}, {"endpoint": "infer"}):
            connection.send(msgpack.packb({**request, **more}))
            reply = msgpack.unpackb(connection.recv())["actions"]
            assert (reply[b"dtype"], reply[b"shape"]) == ("<f4", [16, 6])
        connection.send(msgpack.packb({"endpoint": "reset"}))
        assert connection.recv() == "reset successful"
        connection.send(msgpack.packb({"endpoint": "fly"}))
        assert connection.recv() == "endpoint fly: unknown: send infer or reset"
        with pytest.raises(websockets.exceptions.ConnectionClosedError):
            connection.recv()


@pytest.mark.parametrize(
    "message", [b"\xc1", b"", "text", msgpack.packb([1]), msgpack.packb({"prompt": 3}), b"\x80\x04K\x01."]
)
def test_garbage_gets_a_text_frame_and_the_server_answers_afterwards(
    message: Any, openpi: Serve, so100: Embodiment, observe: Any
) -> None:
    address = openpi(so100)
    with websockets.sync.client.connect(address) as connection:
        connection.recv()
        connection.send(message)
        assert isinstance(connection.recv(), str)
    OpenpiPolicyClient(address, so100).infer(observe(so100))


def test_a_token_is_needed_where_the_server_has_one(openpi: Serve, so100: Embodiment, observe: Any) -> None:
    address = openpi(so100, api_token="right")
    for token in (None, "wrong"):
        with pytest.raises(PolicyFailure, match="401"):
            OpenpiPolicyClient(address, so100, api_token=token).connect()
    OpenpiPolicyClient(address, so100, api_token="right").infer(observe(so100))


def good_reply(embodiment: Embodiment) -> bytes:
    actions = {name: np.zeros((1, 16, key.dim)) for name, key in embodiment.action.keys.items()}
    return openpi_codec.pack(actions_to_reply(embodiment, actions))


def test_a_late_acknowledgement_is_not_an_answer(script: Any, so100: Embodiment, observe: Any) -> None:
    def handle(connection: Any) -> None:
        connection.send(openpi_codec.pack({}))
        connection.recv()
        connection.send("reset successful")
        connection.send("Reset successful\n")
        connection.send(good_reply(so100))
        connection.recv()

    client = OpenpiPolicyClient(script(handle), so100)
    assert list(client.infer(observe(so100))) == ["single_arm", "gripper"]
    assert client.num_late_acknowledgements == 2
    client.close()


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ("Traceback (most recent call last):\n  File\nValueError: no camera", "ValueError: no camera"),
        ("", "an error without a text"),
        (b"\xc1", "not msgpack"),
        (openpi_codec.pack({"actions": np.zeros((16, 5))}), "6 numbers a step"),
        (openpi_codec.pack({"actions": np.zeros((3, 6))}), "shape"),
        (openpi_codec.pack({"actions": np.full((16, 6), np.nan)}), "NaN"),
        (openpi_codec.pack({"actions": [1.0]}), "no array 'actions'"),
        (openpi_codec.pack({}), "no array 'actions'"),
    ],
    ids=["error", "empty", "garbage", "narrow", "short", "nan", "list", "nothing"],
)  # fmt: skip
def test_a_reply_that_cannot_be_used_is_a_failure_and_the_next_call_connects_anew(
    reply: Any, said: str, script: Any, so100: Embodiment, observe: Any
) -> None:
    num_connections = 0

    def handle(connection: Any) -> None:
        nonlocal num_connections
        num_connections += 1
        connection.send(openpi_codec.pack({"policy": "p"}))
        connection.recv()
        connection.send(reply if num_connections == 1 else good_reply(so100))
        connection.recv()

    client = OpenpiPolicyClient(script(handle), so100)
    with pytest.raises(PolicyFailure, match=said):
        client.infer(observe(so100))
    client.infer(observe(so100))
    assert num_connections == 2
    client.close()


def test_metadata_that_is_no_map_is_a_failure(script: Any, so100: Embodiment) -> None:
    for first in ("hello", openpi_codec.pack([1]), b"\xc1"):

        def handle(connection: Any, first: Any = first) -> None:
            connection.send(first)
            connection.recv()

        with pytest.raises(PolicyFailure):
            OpenpiPolicyClient(script(handle), so100).connect()


def test_the_time_limit_holds(script: Any, so100: Embodiment, observe: Any) -> None:
    release = threading.Event()

    def handle(connection: Any) -> None:
        connection.send(openpi_codec.pack({}))
        release.wait(60)

    client = OpenpiPolicyClient(script(handle), so100, timeout_secs=0.5)
    with pytest.raises(PolicyTimeout, match="no answer within"):
        client.infer(observe(so100))
    release.set()
    with pytest.raises(PolicyFailure, match="start the server"):
        OpenpiPolicyClient("ws://127.0.0.1:9", so100).connect()


def test_a_server_that_closes_is_a_failure(script: Any, so100: Embodiment, observe: Any) -> None:
    def handle(connection: Any) -> None:
        connection.send(openpi_codec.pack({}))
        connection.recv()

    with pytest.raises(PolicyFailure, match="the connection is closed"):
        OpenpiPolicyClient(script(handle), so100).infer(observe(so100))


def test_an_error_of_the_server_is_a_refusal(openpi: Serve, so100: Embodiment, observe: Any) -> None:
    class Failing(ScriptedPolicy):
        def act(self, observation: Any) -> Any:
            raise RuntimeError("out of ideas")

    with pytest.raises(PolicyRefusal, match="RuntimeError: out of ideas"):
        OpenpiPolicyClient(openpi(so100, Failing(so100)), so100).infer(observe(so100))


def test_the_address_chooses_the_client(so100: Embodiment) -> None:
    assert isinstance(make_client("ws://a:1", so100), OpenpiPolicyClient)
    assert isinstance(make_client("tcp://a:1", so100), ZmqPolicyClient)
    for address, dialect in (("http://a", "auto"), ("ws://a:1", "n1.5")):
        with pytest.raises(InputError):
            make_client(address, so100, dialect=dialect)


class Alone:
    """A policy that is called by one thread at a time, and counts those that meet."""

    about = "alone"

    def __init__(self, embodiment: Embodiment) -> None:
        self._scripted = ScriptedPolicy(embodiment)
        self._lock = threading.Lock()
        self.num_met = 0

    def act(self, observation: Any) -> dict[str, np.ndarray]:
        is_alone = self._lock.acquire(blocking=False)
        self.num_met += not is_alone
        threading.Event().wait(0.01)
        if is_alone:
            self._lock.release()
        return self._scripted.act(observation)

    def reset(self, options: Any) -> dict[str, Any]:
        return {}


def in_threads(call: Callable[[int], None], num: int = 4) -> list[BaseException]:
    """Calls with 0, 1, ... at once; their errors."""
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            call(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(num)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    return errors


def test_the_policy_is_called_by_one_connection_at_a_time(
    openpi: Serve, so100: Embodiment, observe: Any
) -> None:
    policy = Alone(so100)
    address = openpi(so100, policy)

    def ask(number: int) -> None:
        client = OpenpiPolicyClient(address, so100)
        for _ in range(5):
            client.infer(observe(so100))
        client.close()

    assert in_threads(ask) == []
    assert policy.num_met == 0


@pytest.mark.parametrize("protocol", ["openpi", "zmq"])
def test_threads_that_share_a_client_get_their_own_answers(
    protocol: str, openpi: Serve, serve: Any, so100: Embodiment, observe: Any
) -> None:
    address = openpi(so100) if protocol == "openpi" else serve(so100).address
    client = make_client(address, so100)
    policy = ScriptedPolicy(so100)

    def ask(number: int) -> None:
        observation = observe(so100, seed=number)
        wanted = policy.act(observation)
        for _ in range(10):
            found = client.infer(observation)
            assert all(np.array_equal(found[key], wanted[key]) for key in wanted)
            client.reset()

    assert in_threads(ask) == []
    client.close()


@pytest.mark.parametrize("protocol", ["openpi", "zmq"])
def test_a_call_that_waits_for_another_ends_in_time(
    protocol: str, openpi: Serve, serve: Any, so100: Embodiment, observe: Any
) -> None:
    class Slow(ScriptedPolicy):
        def act(self, observation: Any) -> dict[str, np.ndarray]:
            is_free.wait(30)
            return super().act(observation)

    is_free = threading.Event()
    policy = Slow(so100)
    address = openpi(so100, policy) if protocol == "openpi" else serve(so100, policy=policy).address
    client = make_client(address, so100, timeout_secs=0.5)
    errors = in_threads(lambda number: client.infer(observe(so100)), 3)
    is_free.set()
    assert [type(error) for error in errors] == [PolicyTimeout] * 3
    client.close()
