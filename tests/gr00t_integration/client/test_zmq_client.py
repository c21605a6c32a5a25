"""The client against our server, and against servers with every fault."""

from __future__ import annotations

import pickle
import time
from typing import Any

import numpy as np
import pytest

from sage.errors import InputError
from sage.gr00t_integration.client.contract import (
    ClientStopped,
    PolicyFailure,
    PolicyRefusal,
    PolicyTimeout,
)
from sage.gr00t_integration.client.zmq_client import ZmqPolicyClient
from sage.gr00t_integration.dialects import DIALECTS, dialect_named
from sage.gr00t_integration.embodiment import Embodiment, load_embodiment, shipped_embodiments
from sage.gr00t_integration.wire import codec


@pytest.mark.parametrize("dialect", list(DIALECTS))
@pytest.mark.parametrize("name", shipped_embodiments())
def test_the_client_finds_the_dialect_and_gets_actions(
    dialect: str, name: str, serve: Any, observe: Any
) -> None:
    embodiment = load_embodiment(name)
    client = ZmqPolicyClient(serve(embodiment, dialect).address, embodiment)
    client.ping()
    assert client.connect().name == dialect
    client.reset()
    actions = client.infer(observe(embodiment))
    assert list(actions) == list(embodiment.action.keys)
    assert client.num_sockets == 1
    client.close()


def test_a_token_is_sent(serve: Any, so100: Embodiment) -> None:
    server = serve(so100, api_token="right")
    with pytest.raises(PolicyRefusal, match="Unauthorized"):
        ZmqPolicyClient(server.address, so100).connect()
    ZmqPolicyClient(server.address, so100, api_token="right").connect()


def test_a_server_of_another_embodiment_is_refused(serve: Any, so100: Embodiment) -> None:
    client = ZmqPolicyClient(serve(load_embodiment("gr1")).address, so100)
    with pytest.raises(PolicyFailure, match="not the embodiment so100: video: the server has ego_view"):
        client.connect()


def test_without_a_server_the_time_limit_holds(so100: Embodiment) -> None:
    client = ZmqPolicyClient("tcp://127.0.0.1:9", so100, timeout_secs=0.1)
    for num_sockets in (1, 2):
        with pytest.raises(PolicyTimeout, match=r"within 0\.1 s"):
            client.ping()
        assert client.num_sockets == num_sockets


def test_a_late_answer_is_not_taken_for_the_next_one(serve: Any, so100: Embodiment, observe: Any) -> None:
    import threading

    release = threading.Event()
    num_asked = 0

    def answer(data: bytes) -> bytes:
        nonlocal num_asked
        request = codec.unpack(data)
        if request["endpoint"] == "ping":
            num_asked += 1
            if num_asked == 1:
                release.wait(10)
                return codec.pack({"status": "late"})
        return codec.pack({"status": "ok"})

    client = ZmqPolicyClient(serve(answer=answer).address, so100, timeout_secs=0.2)
    with pytest.raises(PolicyTimeout):
        client.ping()
    release.set()
    client.ping()
    assert client.num_sockets == 2


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (b"ERROR", "the server answered ERROR"),
        (codec.pack({"error": ""}), "an error without a text"),
        (codec.pack({"error": "out of memory"}), "out of memory"),
        (b"\xc1garbage", "not msgpack"),
        (pickle.dumps([1]), "CVE-2026-25874"),
        (codec.pack(None), "the reply is a NoneType"),
        (codec.pack([]), "the reply is a list"),
    ],
    ids=["raw", "empty", "text", "garbage", "pickle", "nil", "list"],
)
def test_a_reply_that_cannot_be_used_is_a_failure(
    reply: bytes, said: str, serve: Any, so100: Embodiment, observe: Any
) -> None:
    modalities = codec.pack(dialect_named("n1.7").modalities(so100))

    def answer(data: bytes) -> bytes:
        return modalities if b"get_modality_config" in data else reply

    client = ZmqPolicyClient(serve(answer=answer).address, so100)
    with pytest.raises(PolicyFailure, match=said):
        client.infer(observe(so100))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda a: {**a, "gripper": a["gripper"][:, :3]}, "shape"),
        (lambda a: {**a, "gripper": a["gripper"] * np.nan}, "NaN"),
        (lambda a: {"single_arm": a["single_arm"]}, "missing"),
        (lambda a: {**a, "gripper": "open"}, "a str"),
        (lambda a: {}, "missing"),
    ],
)
def test_actions_that_do_not_fit_are_a_failure(
    change: Any, said: str, serve: Any, so100: Embodiment, observe: Any
) -> None:
    dialect = dialect_named("n1.7")
    good = {name: np.zeros((1, 16, key.dim), dtype=np.float32) for name, key in so100.action.keys.items()}

    def answer(data: bytes) -> bytes:
        if b"get_modality_config" in data:
            return codec.pack(dialect.modalities(so100))
        return codec.pack([change(good), {}])

    with pytest.raises(PolicyFailure, match=said):
        ZmqPolicyClient(serve(answer=answer).address, so100).infer(observe(so100))


def test_a_server_that_restarts_with_another_dialect_is_found_again(
    serve: Any, so100: Embodiment, observe: Any
) -> None:
    first = serve(so100, "n1.5")
    client = ZmqPolicyClient(first.address, so100, timeout_secs=0.3)
    client.infer(observe(so100))
    first.stop()
    with pytest.raises(PolicyTimeout):
        client.infer(observe(so100))
    serve(so100, "n1.7", address=first.address)
    client.infer(observe(so100))
    assert client.about == "n1.7"


def test_stop_ends_a_request_in_progress(so100: Embodiment) -> None:
    import threading

    client = ZmqPolicyClient("tcp://127.0.0.1:9", so100, timeout_secs=60)
    raised: list[Exception] = []

    def call() -> None:
        try:
            client.ping()
        except PolicyFailure as error:
            raised.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    client.stop()
    thread.join(10)
    assert isinstance(raised[0], ClientStopped)
    with pytest.raises(ClientStopped):
        client.ping()


@pytest.mark.parametrize("address", ["localhost:5555", "http://127.0.0.1", ""])
def test_an_address_of_another_form_is_refused(address: str, so100: Embodiment) -> None:
    with pytest.raises(InputError, match="give tcp://HOST:PORT"):
        ZmqPolicyClient(address, so100)


def test_an_address_in_use_is_an_error_with_a_remedy(serve: Any, so100: Embodiment) -> None:
    with pytest.raises(InputError, match="give another --host or --port"):
        serve(so100, address=serve(so100).address)


def test_kill_ends_a_server_that_allows_it(serve: Any, so100: Embodiment) -> None:
    server = serve(so100, allows_kill=True)
    client = ZmqPolicyClient(server.address, so100)
    assert client._call({"endpoint": "kill"}, time.monotonic() + 15) is None
    assert server.wait_ended()
