"""Backends of model servers against a scripted server: what they send, what they read, and every failure."""

from __future__ import annotations

import math
import socket
from collections.abc import Callable

import pytest

from sage.errors import InputError
from sage.sensors.contract import SensorUnavailable
from sage.sensors.language.http_transport import HttpTransport, checked_url
from sage.sensors.language.model import AskFailed, LanguageModel
from sage.sensors.language.servers import (
    OLLAMA_EMBEDDING,
    OPENAI_EMBEDDING,
    OllamaModel,
    OpenAIModel,
    Request,
    ServerEmbedder,
)
from sage.sensors.testing.fake_language_server import Failing, FakeLanguageServer, Reply

PROMPT = "How warm is it?"
REQUEST = Request(model="a-model", system="Be brief.", max_new_tokens=9, asks_logprobs=True)
MODELS = (OpenAIModel, OllamaModel)
Make = Callable[[HttpTransport, Request], LanguageModel]


def transport(url: str, *, max_body_bytes: int = 1 << 20, key_env: str | None = None) -> HttpTransport:
    return HttpTransport(checked_url(url, ()), key_env=key_env, max_body_bytes=max_body_bytes)


@pytest.mark.parametrize("make", MODELS)
def test_a_server_gets_the_prompt_and_returns_a_text(make: Make) -> None:
    with FakeLanguageServer([Reply(text="It is warm.")]) as server:
        said = make(transport(server.url), REQUEST).ask(PROMPT, 5.0)
        (_, body, _) = server.requests[0]
    assert said.text == "It is warm."
    assert said.num_tokens == 10
    assert body["model"] == "a-model"
    assert body["stream"] is False
    assert [each["content"] for each in body["messages"]] == ["Be brief.", PROMPT]
    assert 9 in (body.get("max_tokens"), body.get("options", {}).get("num_predict"))


def test_log_probabilities_are_the_confidence() -> None:
    with FakeLanguageServer([Reply(logprobs=(-0.1, -0.3)), Reply()]) as server:
        model = OpenAIModel(transport(server.url), REQUEST)
        assert model.ask(PROMPT, 5.0).confidence == pytest.approx(math.exp(-0.2))
        assert model.ask(PROMPT, 5.0).confidence is None
        assert server.requests[0][1]["logprobs"] is True


@pytest.mark.parametrize("endpoint", [OPENAI_EMBEDDING, OLLAMA_EMBEDDING])
def test_a_server_embeds_a_text(endpoint: tuple[str, tuple[str | int, ...]]) -> None:
    path, place = endpoint
    with FakeLanguageServer([Reply(embedding=(0.5, -0.5))]) as server:
        embedder = ServerEmbedder(transport(server.url), "e", 2, path=path, place=place)
        assert embedder.embed("warm", 5.0).tolist() == [0.5, -0.5]
        assert server.requests[0][:2] == (path, {"model": "e", "input": "warm"})


def test_a_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SensorUnavailable, match="SOME_KEY is not set"):
        transport("http://127.0.0.1:1", key_env="SOME_KEY")
    monkeypatch.setenv("SOME_KEY", "abc")
    with FakeLanguageServer() as server:
        OpenAIModel(transport(server.url, key_env="SOME_KEY"), REQUEST).ask(PROMPT, 5.0)
        assert server.requests[0][2] == "Bearer abc"


@pytest.mark.parametrize(
    ("failing", "failure"),
    [
        ("status", "status"),
        ("redirect", "status"),
        ("garbage", "garbage"),
        ("form", "garbage"),
        ("huge", "size"),
        ("cut", "garbage"),
        ("silent", "garbage"),
    ],
)
@pytest.mark.parametrize("make", MODELS)
def test_each_failure_of_a_server_has_its_kind(make: Make, failing: Failing, failure: str) -> None:
    with FakeLanguageServer([Reply(failing=failing), Reply()]) as server:
        model = make(transport(server.url, max_body_bytes=4096), REQUEST)
        with pytest.raises(AskFailed) as failed:
            model.ask(PROMPT, 5.0)
        assert failed.value.failure == failure
        assert model.ask(PROMPT, 5.0).text == Reply().text


@pytest.mark.parametrize("failing", ["hang", "drip"])
def test_a_server_that_is_too_slow_is_a_timeout(failing: Failing) -> None:
    """One byte at a time restarts a timeout of the socket, but not the deadline."""
    with FakeLanguageServer([Reply(failing=failing)]) as server:
        with pytest.raises(AskFailed) as failed:
            OpenAIModel(transport(server.url), REQUEST).ask(PROMPT, 0.1)
        assert failed.value.failure == "timeout"


def test_a_server_that_is_not_there_is_refused() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(AskFailed) as failed:
            OpenAIModel(transport(f"http://127.0.0.1:{bound.getsockname()[1]}"), REQUEST).ask(PROMPT, 5.0)
    assert failed.value.failure == "refused"


def test_an_announced_length_above_the_limit_is_not_read() -> None:
    with FakeLanguageServer([Reply(text="x" * 5000)]) as server:
        model = OpenAIModel(transport(server.url, max_body_bytes=4096), REQUEST)
        with pytest.raises(AskFailed, match="the reply has 5"):
            model.ask(PROMPT, 5.0)


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("ftp://127.0.0.1", "give http://HOST:PORT"),
        ("http://127.0.0.1:99999", "give http://HOST:PORT"),
        ("http://user:word@127.0.0.1", "no user"),
        ("http://192.0.2.7:80", "not on loopback"),
        ("http://localhost.example.com", "not on loopback"),
    ],
)
def test_a_url_is_on_loopback_and_has_no_credentials(url: str, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint) as refused:
        checked_url(url, ())
    assert "word@" not in str(refused.value)


def test_other_hosts_are_allowed_by_name() -> None:
    assert (
        checked_url("https://models.example.com/v1", ["models.example.com"]).hostname == "models.example.com"
    )
    for url in ("http://localhost:1", "http://[::1]:1", "http://127.3.2.1"):
        assert checked_url(url, ()).geturl() == url
